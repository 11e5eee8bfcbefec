/** Structured fields of an event. Never a secret, a prompt or a token. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * Where events go. `error`: someone should look. `info`: a change of state. `debug`: the rest.
 * The library is silent unless its owner passes a logger.
 */
export interface Logger {
  error(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  debug(event: string, fields?: LogFields): void;
}

const ignore = (): void => undefined;

/** Takes every event and does nothing with it. */
export const silentLogger: Logger = { error: ignore, info: ignore, debug: ignore };
