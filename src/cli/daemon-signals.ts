import { deferred } from '../base/deferred.ts';

/** What the system tells the daemon. */
export interface Signals {
  /** The first SIGTERM or SIGINT. After it another one ends the process at once. */
  readonly first: Promise<NodeJS.Signals>;
  /** Called for every SIGHUP from now on. One that comes before is without effect. */
  onReload(callback: () => void): void;
  forget(): void;
}

/** Listens for signals; a second one that stops ends the process with that exit code. */
export function listenForSignals(exitCode: number): Signals {
  const first = deferred<NodeJS.Signals>();
  let count = 0;
  let reload = (): void => undefined;
  const onStop = (signal: NodeJS.Signals): void => {
    count += 1;
    if (count > 1) process.exit(exitCode);
    first.resolve(signal);
  };
  // Without a listener it would end the process.
  const onHangUp = (): void => reload();
  process.on('SIGTERM', onStop).on('SIGINT', onStop).on('SIGHUP', onHangUp);
  return {
    first: first.promise,
    onReload: (callback) => {
      reload = callback;
    },
    forget: () => {
      process.off('SIGTERM', onStop).off('SIGINT', onStop).off('SIGHUP', onHangUp);
    },
  };
}
