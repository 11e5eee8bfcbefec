import type { LogFields, Logger } from '../base/logger.ts';
import type { Clock } from '../platform/clock.ts';

/** Writes events of the daemon as JSON, one a line: every change of state, and nothing else. */
export class DaemonEvents implements Logger {
  readonly #write: (line: string) => void;
  readonly #clock: Clock;
  /** Told of each line, for somebody who does not read them. */
  onTell: (event: string, fields: Readonly<Record<string, unknown>>) => void = () => undefined;

  constructor(write: (line: string) => void, clock: Clock) {
    this.#write = write;
    this.#clock = clock;
  }

  /** A line with any fields. */
  tell(event: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#write(`${JSON.stringify({ event, atMs: this.#clock.wallMs(), ...fields })}\n`);
    this.onTell(event, fields);
  }

  error(event: string, fields: LogFields = {}): void {
    this.tell(event, { level: 'error', ...fields });
  }

  info(event: string, fields: LogFields = {}): void {
    this.tell(event, fields);
  }

  debug(): void {}
}
