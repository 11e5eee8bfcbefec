import type { Zstd } from '../format/payload-codec.ts';
import { loadZstd } from '../format/zstd.ts';
import { serveTasks } from '../platform/worker-pool.ts';
import { decodeNow, encodeNow } from './transcoder.ts';
import type { EncodedPayload, TranscodeTask } from './transcoder.ts';

/** The program of the transcoder's worker threads. */
let loaded: Zstd | undefined;

function zstd(): Zstd {
  loaded ??= loadZstd();
  return loaded;
}

serveTasks<TranscodeTask, EncodedPayload | undefined>((task) => {
  if (task.kind === 'encode') return encodeNow(task, zstd);
  decodeNow(task, zstd);
  return undefined;
});
