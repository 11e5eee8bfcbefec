import { messageOf } from '../base/errors.ts';
import { nativeCode } from './native.ts';
import type { NativeMode } from './native.ts';
import type { Platform } from './platform.ts';

/** What a service tells whoever supervises it, in the words of sd_notify(3). */
export type ServiceState = 'READY=1' | 'STOPPING=1';

/**
 * Tells the service manager that started this process, if it asked by `NOTIFY_SOCKET`. Returns why it
 * could not be told, and undefined when it was or nobody asked. Never waits.
 */
export function tellServiceManager(
  { environment }: Platform,
  mode: NativeMode,
  state: ServiceState,
): string | undefined {
  const address = environment['NOTIFY_SOCKET'];
  if (address === undefined || address === '') return undefined;
  const asked = `the service manager at ${address} asked to be told ${state}`;
  const native = nativeCode(mode);
  if (native.code === undefined) return `${asked}, which needs native code: ${native.reason}`;
  try {
    native.code.notify(address, state);
    return undefined;
  } catch (error) {
    return `${asked}: ${messageOf(error)}`;
  }
}
