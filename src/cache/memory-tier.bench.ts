/**
 * What the memory tier costs: `node dist/src/cache/memory-tier.bench.js`. Rates of copying are in
 * bytes per nanosecond (GB/s), each the median of several rounds; "warm copy" is the limit.
 */
import { SlabMemoryTier } from './slab-memory-tier.ts';

const mib = 1024 * 1024;
const payload = new Uint8Array(1.5 * mib).fill(0x5a);
const extentsPerRound = 128;
const rounds = 7;

interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/** Copies the payload once; told which extent of the round it is. */
type CopyOne = (index: number) => void;

const rows: readonly Row[] = [
  { name: 'warm copy of 1.5 MiB, no tier', value: rate(copyWithoutTier()), unit: 'GB/s' },
  { name: 'allocate and copy 1.5 MiB, fresh memory', value: rate(copyFresh), unit: 'GB/s' },
  { name: 'the same, prefaulted', value: rate(copyPrefaulted), unit: 'GB/s' },
  { name: 'the same, warm by unpin', value: rate(copyUnpinned()), unit: 'GB/s' },
  { name: 'the same, warm by eviction', value: rate(copyEvicting()), unit: 'GB/s' },
  { name: 'prefault', value: prefaultMsPerMib(), unit: 'ms/MiB' },
  { name: 'allocate and unpin', value: nanoseconds(allocateAndUnpin()), unit: 'ns' },
  { name: 'allocate, keep, unpin, with eviction', value: nanoseconds(keepAndEvict()), unit: 'ns' },
  { name: 'pin, touch, unpin of a resident', value: nanoseconds(pinTouchUnpin()), unit: 'ns' },
];
for (const { name, value, unit } of rows) {
  process.stdout.write(`${name.padEnd(42)} ${value.toFixed(2).padStart(9)} ${unit}\n`);
}

/** Gigabytes per second of the median copy, over all extents of all rounds but the first. */
function rate(prepareRound: () => CopyOne): number {
  const times: number[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const copyOne = prepareRound();
    for (let i = 0; i < extentsPerRound; i += 1) {
      const ms = timed(() => copyOne(i));
      if (round > 0) times.push(ms);
    }
  }
  return payload.length / median(times) / 1e6;
}

function median(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[Math.floor(values.length / 2)];
}

function timed(work: () => void): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

function newTier(): SlabMemoryTier {
  return new SlabMemoryTier(16 * 32 * mib);
}

function copyWithoutTier(): () => CopyOne {
  const target = new Uint8Array(new SharedArrayBuffer(extentsPerRound * payload.length));
  return () => (i) => target.set(payload, i * payload.length);
}

function copyInto(tier: SlabMemoryTier, isKept: boolean): CopyOne {
  return () => {
    const extent = tier.allocate(payload.length);
    extent?.bytes.set(payload);
    if (isKept && extent !== undefined) tier.makeResident(extent, ignore);
    extent?.unpin();
  };
}

function copyFresh(): CopyOne {
  return copyInto(newTier(), true);
}

function copyPrefaulted(): CopyOne {
  const tier = newTier();
  tier.prefault(8 * 32 * mib);
  return copyInto(tier, true);
}

function copyUnpinned(): () => CopyOne {
  const tier = newTier();
  return () => copyInto(tier, false);
}

function copyEvicting(): () => CopyOne {
  const tier = new SlabMemoryTier(192 * mib);
  return () => copyInto(tier, true);
}

function prefaultMsPerMib(): number {
  const round = (): number => timed(() => newTier().prefault(128 * mib));
  return median(Array.from({ length: rounds }, round)) / 128;
}

/** Nanoseconds of one call. */
function nanoseconds(repeat: (count: number) => void): number {
  const count = 200_000;
  repeat(count);
  return (median(Array.from({ length: rounds }, () => timed(() => repeat(count)))) * 1e6) / count;
}

function allocateAndUnpin(): (count: number) => void {
  const tier = newTier();
  return (count) => {
    for (let i = 0; i < count; i += 1) tier.allocate(payload.length)?.unpin();
  };
}

function keepAndEvict(): (count: number) => void {
  const tier = new SlabMemoryTier(192 * mib);
  return (count) => {
    for (let i = 0; i < count; i += 1) {
      const extent = tier.allocate(payload.length);
      if (extent === undefined) continue;
      tier.makeResident(extent, ignore);
      extent.unpin();
    }
  };
}

function pinTouchUnpin(): (count: number) => void {
  const tier = newTier();
  const extents = Array.from({ length: 256 }, () => tier.allocate(4096)).filter(
    (extent) => extent !== undefined,
  );
  for (const extent of extents) {
    tier.makeResident(extent, ignore);
    extent.unpin();
  }
  return (count) => {
    for (let i = 0; i < count; i += 1) {
      const extent = extents[(i * 101) % extents.length];
      extent.pin();
      tier.touch(extent);
      extent.unpin();
    }
  };
}

function ignore(): void {
  // The benchmark forgets what is evicted.
}
