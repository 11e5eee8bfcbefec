import { useNativeKernels } from '../base/native-kernels.ts';
import { loadZstd } from '../format/zstd.ts';
import type { Zstd } from '../format/zstd.ts';
import { nativeCode } from '../platform/native.ts';
import { serveTasks } from '../platform/worker-pool.ts';
import { decodeFromWire, encodeForWire, warmUp } from './wire-tasks.ts';
import type { EncodedForWire, WireTask } from './wire-tasks.ts';

/** The program of the threads of a `WireCodec`; `?native=off` at its URL: without native code. */
const mode = new URL(import.meta.url).searchParams.get('native') === 'off' ? 'off' : 'auto';
useNativeKernels(nativeCode(mode).code);

let loaded: Zstd | undefined;

function zstd(): Zstd {
  loaded ??= loadZstd();
  return loaded;
}

serveTasks<WireTask, EncodedForWire | number | undefined>((task) => {
  switch (task.kind) {
    case 'encode': {
      const result = encodeForWire(task.payload, zstd());
      const { compressed } = result;
      return compressed === undefined ? result : { result, transfer: [compressed.stored.buffer] };
    }
    case 'decode':
      return decodeFromWire(task.stored, task.filter, task.target, zstd());
    case 'warm-up':
      warmUp(zstd());
      return undefined;
    default:
      return task satisfies never;
  }
});
