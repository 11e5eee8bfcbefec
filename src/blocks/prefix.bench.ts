/**
 * What the keys of a prompt cost: `node dist/src/blocks/prefix.bench.js`. Microseconds, the best of
 * some rounds, so that some are undisturbed on a busy machine.
 */
import { nativeKernels, useNativeKernels } from '../base/native-kernels.ts';
import { nativeCode } from '../platform/native.ts';
import { limits } from './limits.ts';
import { Prefix, seedOf, tailDigest } from './prefix.ts';

const roundMs = 20;
const rounds = 30;
const blockTokens = limits.blockTokensUnit;
const seed = seedOf('benchmark');

for (const kernels of [undefined, nativeCode('auto').code]) {
  useNativeKernels(kernels);
  measure();
}

function measure(): void {
  const by = nativeKernels() === undefined ? 'portable' : 'native';
  for (const blocks of [1, 13, 80, 256]) {
    const tokens = Array.from({ length: blocks * blockTokens }, (_, i) => (i * 7919) % 150_000);
    const micros = microseconds(() => new Prefix(seed, blockTokens).append(tokens));
    report(`${by}: keys of ${blocks} blocks`, micros, micros / blocks);
  }
  const block = Array.from({ length: blockTokens }, (_, i) => i);
  let growing = new Prefix(seed, blockTokens);
  const next = microseconds(() => {
    if (growing.keys.length >= 256) growing = new Prefix(seed, blockTokens);
    growing.append(block);
  });
  report(`${by}: one block more`, next, next);
  const tail = Int32Array.from({ length: blockTokens - 1 }, (_, i) => i);
  const digest = microseconds(() => tailDigest(seed, tail));
  report(`${by}: digest of a tail of 127 tokens`, digest, digest);
}

function report(name: string, micros: number, microsPerBlock: number): void {
  const times = `${micros.toFixed(1).padStart(9)} µs, ${microsPerBlock.toFixed(2)} µs a block`;
  console.log(`${name.padEnd(42)}${times}`);
}

function microseconds(run: () => unknown): number {
  let best = Infinity;
  for (let round = 0; round < rounds; round += 1) {
    const start = performance.now();
    let count = 0;
    while (performance.now() - start < roundMs) {
      run();
      count += 1;
    }
    best = Math.min(best, ((performance.now() - start) * 1000) / count);
  }
  return best;
}
