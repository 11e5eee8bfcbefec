// oxlint-disable-next-line import/no-nodejs-modules -- Node has no datagram sockets of Unix
import { execFile } from 'node:child_process';
import { messageOf } from '../base/errors.ts';
import type { DaemonEvents } from './daemon-events.ts';

/** systemd-notify waits for systemd to have read what it sends. */
const notifyMs = 5000;

/**
 * Tells the service manager that started this process, if one did and wants to know, by the program
 * systemd-notify. That it cannot be told is an event and no reason to end.
 */
export async function tellServiceManager(
  state: 'ready' | 'stopping',
  environment: Readonly<Record<string, string | undefined>>,
  events: DaemonEvents,
): Promise<void> {
  if ((environment['NOTIFY_SOCKET'] ?? '') === '') return;
  const words = [`--${state}`, `--pid=${process.pid}`];
  if (state === 'stopping') words.splice(0, 1, 'STOPPING=1');
  await new Promise<void>((resolve) => {
    execFile('systemd-notify', words, { timeout: notifyMs }, (error) => {
      if (error !== null) {
        events.error('service manager not told', { state, why: messageOf(error) });
      }
      resolve();
    });
  });
}
