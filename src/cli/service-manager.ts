// oxlint-disable-next-line import/no-nodejs-modules -- Node has no datagram sockets of Unix
import { execFile } from 'node:child_process';
import { messageOf } from '../base/errors.ts';
import type { NativeMode } from '../platform/native.ts';
import type { Platform } from '../platform/platform.ts';
import { tellServiceManager } from '../platform/service-manager.ts';
import type { ServiceState } from '../platform/service-manager.ts';
import type { DaemonEvents } from './daemon-events.ts';

/** systemd-notify waits for systemd to have read what it sends. */
const notifyMs = 5000;

/**
 * Tells the service manager that started this process, if one did and wants to know: by native code,
 * else by the program systemd-notify. That it cannot be told is an event and no reason to end, though
 * who waits for the word would take a daemon that works for one that hangs.
 */
export async function notifyServiceManager(
  platform: Platform,
  mode: NativeMode,
  state: ServiceState,
  events: DaemonEvents,
): Promise<void> {
  const message = tellServiceManager(platform, mode, state);
  if (message === undefined) return;
  const words = [`--pid=${platform.host.processId}`, state];
  await new Promise<void>((resolve) => {
    execFile('systemd-notify', words, { timeout: notifyMs }, (error) => {
      if (error !== null) {
        const both = `${message}; nor can systemd-notify: ${messageOf(error)}`;
        events.error('service-manager', { message: both.trim() });
      }
      resolve();
    });
  });
}
