import { StoreError } from '../../src/base/errors.ts';
import type { Zstd } from '../../src/format/zstd.ts';
import { encodeNow } from '../../src/store/encode-now.ts';
import { decodeNow } from '../../src/store/early-decodes.ts';
import { decodeLegacyNow, encodeLegacyNow } from '../../src/store/transcoder.ts';
import type { Transcoder } from '../../src/store/transcoder.ts';
import type { SimProcess } from './sim-process.ts';

/** The real codec and checksums, at the moment that the schedule says instead of in a thread. */
export function simTranscoder(process: SimProcess, zstd: () => Zstd): Transcoder {
  return {
    encode: (task) =>
      process.ask(0.1, () => {
        if (task.compress && process.machine.refusesMemory('process')) throw refusal();
        return encodeNow(task, zstd);
      }),
    decode: (task) => process.ask(0.1, () => decodeNow(task, zstd)),
    encodeLegacy: (task) => process.ask(0.1, () => encodeLegacyNow(task, zstd)),
    decodeLegacy: (task) => process.ask(0.1, () => decodeLegacyNow(task, zstd)),
    close: () => Promise.resolve(),
  };
}

/** What the pool says of a thread that had no memory for what it encodes. */
function refusal(): StoreError {
  return new StoreError('UNAVAILABLE', 'Array buffer allocation failed');
}
