import { loadZstd } from '../format/zstd.ts';
import type { Zstd } from '../format/zstd.ts';
import { useNativeKernels } from '../base/native-kernels.ts';
import { nativeCode } from '../platform/native.ts';
import { endThread, serveTasks } from '../platform/worker-pool.ts';
import { encodeLong } from './long-encodes.ts';
import type { LongEncoded } from './long-encodes.ts';
import { encodeTogether } from './short-encodes.ts';
import type { EncodedTogether } from './short-encodes.ts';
import { decodeNow } from './early-decodes.ts';
import { decodeLegacyNow, encodeLegacyNow, warmUpNow } from './transcoder.ts';
import type { TranscodeTask } from './transcoder.ts';

/** The program of the transcoder's worker threads; `?native=off` at its URL: without native code. */
const mode = new URL(import.meta.url).searchParams.get('native') === 'off' ? 'off' : 'auto';
useNativeKernels(nativeCode(mode).code);

let loaded: Zstd | undefined;

/**
 * Without descriptors it cannot be loaded, and Node remembers in each thread what files of packages it could not
 * read: so this thread answers and ends, and another one takes its place.
 */
function zstd(): Zstd {
  try {
    loaded ??= loadZstd();
    return loaded;
  } catch (error) {
    endThread();
    throw error;
  }
}

type TranscodeResult = LongEncoded | EncodedTogether | Uint8Array | number | undefined;

serveTasks<TranscodeTask, TranscodeResult>((task) => {
  switch (task.kind) {
    case 'encode':
      return encodeLong(task, zstd);
    case 'encode-together': {
      const result = encodeTogether(task.tasks, zstd);
      return { result, transfer: [result.bytes.buffer] };
    }
    case 'decode':
      decodeNow(task, zstd);
      return undefined;
    case 'encode-legacy': {
      const result = encodeLegacyNow(task, zstd);
      if (result === undefined || !(result.buffer instanceof ArrayBuffer)) return result;
      return { result, transfer: [result.buffer] };
    }
    case 'decode-legacy':
      return decodeLegacyNow(task, zstd);
    case 'warm-up':
      warmUpNow(zstd());
      return undefined;
    default:
      return task satisfies never;
  }
});
