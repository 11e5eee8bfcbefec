import { nativeKernels } from '../base/native-kernels.ts';
import type { NativeKernels } from '../base/native-kernels.ts';
import { packedOf } from './payload-codec.ts';
import type { StoredPayload } from './payload-codec.ts';
import { checkedFrame, corrupt } from './zstd.ts';

/**
 * As `decodePayloadInto`, by the zstd of the system: straight into the target, without another copy and without the start
 * of an implementation that belongs to a package (docs/decisions/0124). Gives the CRC32C of the payload; undefined when
 * nothing was done: there is no native code, no such library, or the payload is not compressed.
 *
 * @throws StoreError `CORRUPT` as `decodePayloadInto`.
 */
export function decodeBySystem(payload: StoredPayload, target: Uint8Array): number | undefined {
  const task = taskOf(payload, target);
  if (task === undefined) return undefined;
  try {
    return task.native.decode(...task.parts);
  } catch (cause) {
    throw corrupt(payload.stored, cause);
  }
}

/** The same on a thread of the system's. What is stored stays as it is meanwhile; rejects with what that throws. */
export async function decodeBySystemLater(
  payload: StoredPayload,
  target: Uint8Array,
): Promise<number | undefined> {
  const task = taskOf(payload, target);
  if (task === undefined) return undefined;
  try {
    return await task.native.decodeLater(...task.parts);
  } catch (cause) {
    throw corrupt(payload.stored, cause);
  }
}

interface SystemTask {
  readonly native: NativeKernels;
  readonly parts: Parameters<NativeKernels['decode']>;
}

/** What native code is given, which has been checked. */
function taskOf(payload: StoredPayload, target: Uint8Array): SystemTask | undefined {
  const native = nativeKernels();
  const { codec, filter, stored, rawLength } = payload;
  if (native === undefined || codec !== 'zstd') return undefined;
  const packed = packedOf(payload, target);
  const frame = checkedFrame(packed.stored, packed.rawLength);
  const lows = stored.subarray(0, rawLength - packed.rawLength);
  return { native, parts: [target, frame, lows, filter !== 'none'] };
}
