import { crc32c } from '../base/crc32c.ts';
import { syntheticKv } from '../../test/golden/synthetic-kv.ts';
import { decodePayloadInto, encodePayload, shuffle2, unshuffle2Into } from './payload-codec.ts';
import { loadZstd } from './zstd.ts';

/**
 * Prints MB/s (10^6 raw bytes) of each transform on synthetic KV, the best of some rounds, and what
 * remains of a compressed payload. Run it with `node dist/src/format/payload-codec.bench.js`.
 */
const payloadBytes = 1024 * 1024;
/** Rounds are short and many, so that some are undisturbed on a busy machine. */
const roundMs = 3;
const rounds = 300;

function megabytesPerSecond(transform: () => void): number {
  let best = 0;
  for (let round = 0; round < rounds; round += 1) {
    const start = performance.now();
    let count = 0;
    while (performance.now() - start < roundMs) {
      transform();
      count += 1;
    }
    best = Math.max(best, (count * payloadBytes) / 1000 / (performance.now() - start));
  }
  return best;
}

function report(name: string, transform: () => void, note = ''): void {
  console.log(
    `${name.padEnd(34)}${megabytesPerSecond(transform).toFixed(0).padStart(6)} MB/s${note}`,
  );
}

function shuffleByBytes(source: Uint8Array, target: Uint8Array): void {
  const count = source.length >>> 1;
  for (let i = 0; i < count; i += 1) {
    target[i] = source[2 * i];
    target[count + i] = source[2 * i + 1];
  }
}

function unshuffleByBytes(source: Uint8Array, target: Uint8Array): void {
  const count = source.length >>> 1;
  for (let i = 0; i < count; i += 1) {
    target[2 * i] = source[i];
    target[2 * i + 1] = source[count + i];
  }
}

const zstd = loadZstd();
const target = new Uint8Array(payloadBytes);
for (const type of ['f16', 'bf16'] as const) {
  const kv = syntheticKv(type, payloadBytes);
  const shuffled = shuffle2(kv);
  const encoded = encodePayload(kv, { compress: true, level: 1 }, zstd);
  const stored = { ...encoded, rawLength: kv.length };
  const part = ` (${encoded.filter}, ${(encoded.stored.length / kv.length).toFixed(3)} of raw)`;
  console.log(`${type}, ${payloadBytes} bytes, Node ${process.version}`);
  report('  shuffle, words', () => shuffle2(kv));
  report('  shuffle, bytes', () => shuffleByBytes(kv, target));
  report('  unshuffle, words', () => unshuffle2Into(shuffled, target));
  report('  unshuffle, bytes', () => unshuffleByBytes(shuffled, target));
  report('  zstd level 1 alone, shuffled', () => zstd.compress(shuffled, 1));
  report('  zstd level 1 alone, plain', () => zstd.compress(kv, 1));
  report(
    '  encode (trial and whole)',
    () => encodePayload(kv, { compress: true, level: 1 }, zstd),
    part,
  );
  report('  decode', () => decodePayloadInto(stored, target, zstd));
  report('  crc32c', () => crc32c(kv));
}
