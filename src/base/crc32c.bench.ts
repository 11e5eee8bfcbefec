/**
 * Where native CRC32C overtakes the table: `node dist/src/base/crc32c.bench.js`. `prebuilt` is the
 * package that is used where our own native code is not. Nanoseconds of one call, the best of some
 * rounds, so that some are undisturbed on a busy machine.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { crc32cByTable, crc32cCombine } from './crc32c.ts';

const roundMs = 3;
const rounds = 100;
const sizes = [16, 64, 96, 128, 160, 192, 256, 512, 4096, 65_536, 1024 * 1024];

const require = createRequire(import.meta.url);
const prebuilt = require('@node-rs/crc32') as {
  crc32c(input: Uint8Array, initial?: number): number;
};

const own = ownModule();
const columns = ['bytes', 'table', 'prebuilt', 'own', 'prebuilt, GB/s', 'own, GB/s'];
console.log(columns.map((title) => title.padStart(16)).join(''));
for (const size of sizes) {
  const input = Uint8Array.from({ length: size }, (_, i) => (i * 31) & 255);
  const table = nanoseconds(() => crc32cByTable(0, input));
  const byPrebuilt = nanoseconds(() => prebuilt.crc32c(input, 0));
  const byOwn = own === undefined ? Number.NaN : nanoseconds(() => own.crc32c(input, 0));
  const cells = [size, table, byPrebuilt, byOwn].map((value) => value.toFixed(0));
  const speeds = [byPrebuilt, byOwn].map((value) => (size / value).toFixed(2));
  console.log([...cells, ...speeds].map((cell) => cell.padStart(16)).join(''));
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

/** Loaded by its place, since this folder sees no other; undefined where it is not built. */
function ownModule(): typeof prebuilt | undefined {
  const place = `${process.platform}-${process.arch}/wombatkv-native.node`;
  const path = new URL(`../../../build/native/${place}`, import.meta.url).pathname;
  if (existsSync(path)) return require(path) as typeof prebuilt;
  console.log('our own native code is not built: its columns show nothing');
  return undefined;
}
