/**
 * Where the native CRC32C overtakes the table: `node dist/src/base/crc32c.bench.js`. Nanoseconds of
 * one call, the best of some rounds, so that some are undisturbed on a busy machine.
 */
import { createRequire } from 'node:module';
import { crc32c, crc32cByTable, crc32cCombine } from './crc32c.ts';

const roundMs = 3;
const rounds = 100;
const sizes = [16, 64, 128, 160, 192, 256, 512, 4096, 65_536, 1024 * 1024];

const require = createRequire(import.meta.url);
const native = require('@node-rs/crc32') as { crc32c(input: Uint8Array, initial?: number): number };

const columns = ['bytes', 'table', 'native', 'as chosen', 'chosen, GB/s'];
console.log(columns.map((title) => title.padStart(13)).join(''));
for (const size of sizes) {
  const input = Uint8Array.from({ length: size }, (_, i) => (i * 31) & 255);
  const table = nanoseconds(() => crc32cByTable(0, input));
  const byNative = nanoseconds(() => native.crc32c(input, 0));
  const chosen = nanoseconds(() => crc32c(input));
  const cells = [size, table, byNative, chosen].map((value) => value.toFixed(0));
  console.log([...cells, (size / chosen).toFixed(2)].map((cell) => cell.padStart(13)).join(''));
}
const combining = nanoseconds(() => crc32cCombine(1, 2, 1_500_000));
console.log(`combining two checksums: ${combining.toFixed(0)} ns`);

function nanoseconds(run: () => unknown): number {
  let best = Infinity;
  for (let round = 0; round < rounds; round += 1) {
    const start = performance.now();
    let count = 0;
    while (performance.now() - start < roundMs) {
      for (let i = 0; i < 8; i += 1) run();
      count += 8;
    }
    best = Math.min(best, ((performance.now() - start) * 1e6) / count);
  }
  return best;
}
