import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../base/assert.ts';
import { limits } from '../blocks/limits.ts';
import { frameHeaderLength } from '../format/frame.ts';
import type { Extent } from './extent.ts';
import type { MemoryUsage } from './memory-tier.ts';
import { SlabMemoryTier } from './slab-memory-tier.ts';

const unit = limits.extentBytesUnit;
const never = (): void => assert.fail('nothing is evicted here');

/** An extent of that many bytes that is resident and not pinned. */
function addResident(tier: SlabMemoryTier, byteLength: number, onEvict: () => void): Extent {
  const extent = tier.allocate(byteLength);
  assert.ok(extent !== undefined, `room for ${byteLength} bytes`);
  tier.makeResident(extent, onEvict);
  extent.unpin();
  return extent;
}

/** Where the extent lies, to compare. */
function placeOf(extent: Extent | undefined): readonly [ArrayBufferLike | undefined, number] {
  return [extent?.bytes.buffer, extent?.bytes.byteOffset ?? -1];
}

describe('an extent', () => {
  it('is as long as was asked for, and shared memory', () => {
    const tier = new SlabMemoryTier(64 * unit);
    for (const byteLength of [1, unit - 1, unit, unit + 1, 10 * unit]) {
      const extent = tier.allocate(byteLength);
      assert.equal(extent?.bytes.length, byteLength);
      assert.ok(extent.bytes.buffer instanceof SharedArrayBuffer);
    }
  });

  it('may be empty, and is then resident and evicted as any other', () => {
    const tier = new SlabMemoryTier(unit);
    let evictions = 0;
    const extent = addResident(tier, 0, () => (evictions += 1));
    assert.equal(extent.bytes.length, 0);
    assert.equal(tier.usage.entries, 1);
    assert.equal(tier.usage.bytes, 0);
    assert.ok(tier.allocate(unit) !== undefined);
    assert.equal(evictions, 1);
  });

  it('that ended cannot be used any more', () => {
    const tier = new SlabMemoryTier(4 * unit);
    const extent = tier.allocate(unit);
    assert.ok(extent !== undefined);
    extent.unpin();
    assert.throws(() => extent.unpin(), AssertionError);
    assert.throws(() => extent.pin(), AssertionError);
    assert.throws(() => extent.bytes, AssertionError);
    assert.throws(() => tier.touch(extent), AssertionError);
    assert.throws(() => tier.makeResident(extent, never), AssertionError);
    assert.throws(() => tier.remove(extent), AssertionError);
  });

  it('is refused by another tier, and by its own when its state is wrong', () => {
    const tier = new SlabMemoryTier(4 * unit);
    const extent = tier.allocate(unit);
    assert.ok(extent !== undefined);
    assert.throws(() => new SlabMemoryTier(unit).touch(extent), AssertionError);
    assert.throws(() => tier.remove(extent), AssertionError);
    tier.makeResident(extent, never);
    assert.throws(() => tier.makeResident(extent, never), AssertionError);
    extent.unpin();
    assert.throws(() => extent.unpin(), AssertionError);
  });
});

describe('the memory tier', () => {
  it('gives nothing for a budget of 0, and nothing larger than its budget', () => {
    assert.equal(new SlabMemoryTier(0).allocate(0), undefined);
    assert.equal(new SlabMemoryTier(unit - 1).allocate(1), undefined);
    assert.equal(new SlabMemoryTier(8 * unit).allocate(8 * unit + 1), undefined);
    assert.ok(new SlabMemoryTier(8 * unit).allocate(8 * unit) !== undefined);
  });

  it('uses the memory that was freed last first', () => {
    const tier = new SlabMemoryTier(64 * unit);
    const extents = [1, 2, 3, 4].map(() => tier.allocate(unit));
    const places = extents.map(placeOf);
    for (const index of [2, 0, 3]) extents[index]?.unpin();
    assert.deepEqual(placeOf(tier.allocate(unit)), places[3]);
    assert.deepEqual(placeOf(tier.allocate(unit)), places[0]);
    assert.deepEqual(placeOf(tier.allocate(unit)), places[2]);
  });

  it('evicts in order of the last touch or last unpin', () => {
    const tier = new SlabMemoryTier(4 * unit);
    const evicted: number[] = [];
    const extents = [0, 1, 2, 3].map((i) => addResident(tier, unit, () => evicted.push(i)));
    tier.touch(extents[3]);
    tier.touch(extents[0]);
    extents[1].pin();
    tier.touch(extents[1]);
    tier.touch(extents[2]);
    extents[1].unpin();
    for (let i = 0; i < 4; i += 1) tier.allocate(unit);
    assert.deepEqual(evicted, [3, 0, 2, 1]);
    assert.equal(tier.allocate(unit), undefined);
    assert.equal(tier.usage.evictions, 4);
  });

  it('evicts what was used once first, while that is more than a quarter', () => {
    const tier = new SlabMemoryTier(8 * unit);
    const evicted: number[] = [];
    const extents = Array.from({ length: 8 }, (_, i) =>
      addResident(tier, unit, () => evicted.push(i)),
    );
    for (const i of [0, 1, 2, 3]) tier.touch(extents[i]);
    for (let i = 8; i < 18; i += 1) addResident(tier, unit, () => evicted.push(i));
    assert.deepEqual(evicted, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    for (const extent of extents.slice(0, 4)) tier.touch(extent);
  });

  it('counts what its owner knows from elsewhere as used again', () => {
    const tier = new SlabMemoryTier(2 * unit);
    const evicted: string[] = [];
    const extent = tier.allocate(unit);
    assert.ok(extent !== undefined);
    tier.makeResident(extent, () => evicted.push('known'), true);
    extent.unpin();
    for (const name of ['a', 'b', 'c']) addResident(tier, unit, () => evicted.push(name));
    assert.deepEqual(evicted, ['a', 'b']);
  });

  it('keeps a pinned extent, and calls onEvict once after its last user left', () => {
    const tier = new SlabMemoryTier(unit);
    let evictions = 0;
    const extent = tier.allocate(unit);
    assert.ok(extent !== undefined);
    tier.makeResident(extent, () => (evictions += 1));
    extent.pin();
    extent.unpin();
    assert.equal(tier.allocate(1), undefined);
    assert.equal(evictions, 0);
    extent.unpin();
    tier.allocate(1)?.unpin();
    tier.allocate(1)?.unpin();
    assert.equal(evictions, 1);
  });

  it('reuses the memory of a pinned extent that was removed only after its last user left', () => {
    const tier = new SlabMemoryTier(unit);
    const extent = tier.allocate(100);
    assert.ok(extent !== undefined);
    tier.makeResident(extent, never);
    tier.remove(extent);
    assert.deepEqual(pick(tier.usage, 'entries', 'bytes', 'pinnedBytes'), [0, 0, 100]);
    assert.equal(tier.allocate(1), undefined);
    extent.bytes[0] = 7;
    extent.unpin();
    assert.ok(tier.allocate(1) !== undefined);
  });

  it('removes an extent that nobody pins at once, without onEvict', () => {
    const tier = new SlabMemoryTier(unit);
    const extent = addResident(tier, unit, never);
    tier.remove(extent);
    assert.deepEqual(pick(tier.usage, 'entries', 'bytes', 'evictions'), [0, 0, 0]);
    assert.ok(tier.allocate(unit) !== undefined);
  });

  it('loses nothing for a request that fails', () => {
    const tier = new SlabMemoryTier(8 * unit);
    for (let i = 0; i < 4; i += 1) addResident(tier, unit, never);
    const pinned = tier.allocate(4 * unit);
    assert.equal(tier.allocate(5 * unit), undefined);
    assert.equal(tier.usage.entries, 4);
    pinned?.unpin();
  });

  it('counts what it holds', () => {
    const tier = new SlabMemoryTier(64 * unit);
    const first = tier.allocate(100);
    const second = tier.allocate(unit + 1);
    assert.ok(first !== undefined && second !== undefined);
    tier.makeResident(first, never);
    second.pin();
    assert.deepEqual(tier.usage, {
      entries: 1,
      bytes: 100,
      slabBytes: 3 * unit,
      budgetBytes: 64 * unit,
      evictions: 0,
      pinnedBytes: 100 + unit + 1,
    });
    first.unpin();
    second.unpin();
    assert.equal(tier.usage.pinnedBytes, unit + 1);
    second.unpin();
    assert.deepEqual(pick(tier.usage, 'entries', 'pinnedBytes', 'slabBytes'), [1, 0, 3 * unit]);
  });

  it('lives with what it has when the system gives no more memory', () => {
    let isRefusing = false;
    const tier = new SlabMemoryTier(64 * unit, (byteLength) =>
      isRefusing ? undefined : new Uint8Array(new SharedArrayBuffer(byteLength)),
    );
    const evicted: number[] = [];
    addResident(tier, unit, () => evicted.push(0));
    addResident(tier, unit, () => evicted.push(1));
    isRefusing = true;
    assert.ok(tier.allocate(unit) !== undefined);
    assert.equal(tier.allocate(3 * unit), undefined);
    isRefusing = false;
    assert.ok(tier.allocate(unit) !== undefined);
    assert.deepEqual(evicted, [0, 1]);
    assert.equal(tier.usage.slabBytes, 2 * unit);
  });
});

describe('slabs', () => {
  it('begin with one extent and double, up to a sixteenth of the budget', () => {
    const made: number[] = [];
    const tier = new SlabMemoryTier(64 * unit, (byteLength) => {
      made.push(byteLength / unit);
      return new Uint8Array(new SharedArrayBuffer(byteLength));
    });
    for (let i = 0; i < 16; i += 1) assert.ok(tier.allocate(unit) !== undefined);
    assert.deepEqual(made, [1, 1, 2, 4, 4, 4]);
  });

  it('hold one extent each when it is larger than a quarter slab', () => {
    const made: number[] = [];
    const tier = new SlabMemoryTier(256 * unit, (byteLength) => {
      made.push(byteLength / unit);
      return new Uint8Array(new SharedArrayBuffer(byteLength));
    });
    for (let i = 0; i < 6; i += 1) assert.ok(tier.allocate(5 * unit) !== undefined);
    assert.ok(tier.allocate(40 * unit) !== undefined);
    assert.deepEqual(made, [5, 5, 5, 5, 5, 5, 40]);
  });

  it('of many lengths share the budget', () => {
    const tier = new SlabMemoryTier(2 * 128 * 64 * unit);
    for (let length = 1; length <= 128; length += 1) addResident(tier, length * unit, never);
    assert.equal(tier.usage.entries, 128);
    assert.ok(tier.usage.slabBytes <= 128 * 65 * unit);
  });

  it('of the class that rested longest make room for a class that has none', () => {
    const tier = new SlabMemoryTier(32 * unit);
    const evicted: string[] = [];
    for (let i = 0; i < 16; i += 1) addResident(tier, unit, () => evicted.push('one'));
    for (let i = 0; i < 8; i += 1) addResident(tier, 2 * unit, () => evicted.push('two'));
    assert.ok(tier.allocate(16 * unit) !== undefined);
    assert.deepEqual(evicted, new Array<string>(16).fill('one'));
  });

  it('without extents go first, and keep their pages when the length suits', () => {
    const tier = new SlabMemoryTier(8 * unit);
    addResident(tier, 3 * unit, never);
    const left = tier.allocate(4 * unit);
    addResident(tier, unit, never);
    const buffer = left?.bytes.buffer;
    left?.unpin();
    const next = tier.allocate(4 * unit - 1);
    assert.equal(next?.bytes.buffer, buffer, 'the same class');
    next?.unpin();
    const other = tier.allocate(2 * unit);
    assert.equal(other?.bytes.buffer, buffer, 'another class, half as long');
  });

  it('serve blocks of one length whose headers differ', () => {
    const tier = new SlabMemoryTier(16 * limits.largeExtentBytesMin);
    const payloadBytes = 1_760_000;
    const first = tier.allocate(payloadBytes + frameHeaderLength(0));
    const place = placeOf(first);
    first?.unpin();
    const second = tier.allocate(payloadBytes + frameHeaderLength(limits.followingKeysMax));
    assert.deepEqual(placeOf(second), place);
  });

  it('without extents go before a class evicts its own', () => {
    const tier = new SlabMemoryTier(8 * unit);
    const left = tier.allocate(4 * unit);
    for (let i = 0; i < 4; i += 1) addResident(tier, unit, never);
    left?.unpin();
    for (let i = 0; i < 4; i += 1) addResident(tier, unit, never);
    assert.equal(tier.usage.entries, 8);
  });

  it('are not reused by a class that wants much less', () => {
    const tier = new SlabMemoryTier(64 * unit);
    addResident(tier, 32 * unit, () => undefined);
    for (let i = 0; i < 16; i += 1) addResident(tier, 2 * unit, never);
    assert.ok(tier.allocate(unit) !== undefined);
    assert.equal(tier.usage.slabBytes, 33 * unit);
  });

  it('with a pinned extent stay', () => {
    const tier = new SlabMemoryTier(8 * unit);
    const extents = [0, 1, 2, 3, 4, 5, 6, 7].map(() => addResident(tier, unit, () => undefined));
    for (const extent of extents) extent.pin();
    assert.equal(tier.allocate(2 * unit), undefined);
    assert.equal(tier.usage.entries, 8);
    extents[3].unpin();
    extents[6].unpin();
    assert.ok(tier.allocate(2 * unit) !== undefined);
    assert.equal(tier.usage.entries, 6);
  });

  it('leave a class that nobody uses for one that keeps evicting its own', () => {
    const tier = new SlabMemoryTier(64 * unit);
    for (let i = 0; i < 62; i += 1) addResident(tier, unit, () => undefined);
    const small = 2 * unit;
    const alive = new Set<number>();
    for (let i = 0; i < 200; i += 1) {
      addResident(tier, small, () => alive.delete(i));
      alive.add(i);
    }
    assert.ok(alive.size >= 24, `${alive.size} of at most 32 extents`);
  });

  it('of two classes in equal use stay where they are', () => {
    const tier = new SlabMemoryTier(64 * unit);
    let held = 0;
    const add = (byteLength: number): void => {
      held += 1;
      addResident(tier, byteLength, () => (held -= 1));
    };
    for (let i = 0; i < 100; i += 1) {
      add(unit);
      add(unit);
      add(2 * unit);
      assert.equal(held, 3 * Math.min(i + 1, 16));
    }
  });
});

describe('prefault', () => {
  it('takes slabs ahead of need, which classes then use', () => {
    const made: number[] = [];
    const tier = new SlabMemoryTier(64 * unit, (byteLength) => {
      made.push(byteLength / unit);
      return new Uint8Array(new SharedArrayBuffer(byteLength));
    });
    tier.prefault(18 * unit);
    assert.deepEqual(made.splice(0), [4, 4, 4, 4, 2]);
    assert.equal(tier.usage.slabBytes, 18 * unit);
    for (let i = 0; i < 18; i += 1) assert.ok(tier.allocate(unit) !== undefined);
    assert.deepEqual(made, []);
    assert.ok(tier.allocate(unit) !== undefined);
    assert.deepEqual(made, [4]);
  });

  it('takes slabs that the first large payloads get, though they need little of them', () => {
    const mib = 1024 * 1024;
    const tier = new SlabMemoryTier(1024 * mib);
    tier.prefault(64 * mib);
    for (let i = 0; i < 14; i += 1) assert.ok(tier.allocate(1.5 * mib) !== undefined);
    assert.equal(tier.usage.slabBytes, 64 * mib);
  });

  it('stays within the budget and gives way to other lengths', () => {
    const tier = new SlabMemoryTier(64 * unit);
    tier.prefault(1000 * unit);
    assert.equal(tier.usage.slabBytes, 64 * unit);
    assert.ok(tier.allocate(10 * unit) !== undefined);
    assert.equal(tier.usage.slabBytes, 62 * unit);
    assert.equal(tier.prefaultStep(), false);
    assert.ok(tier.allocate(54 * unit) !== undefined);
  });

  it('writes no page that is in use', () => {
    const slabBytes = 2 * 1024 * 1024;
    const tier = new SlabMemoryTier(16 * slabBytes);
    tier.planPrefault(slabBytes);
    assert.equal(tier.prefaultStep(), true);
    const extents = [1, 2].map(() => tier.allocate(slabBytes / 2));
    for (const extent of extents) extent?.bytes.fill(0xaa);
    while (tier.prefaultStep());
    for (const extent of extents) assert.ok(extent?.bytes.every((byte) => byte === 0xaa));
  });
});

// Goal: whatever the owner does, memory that is pinned or resident is never reused, the budget holds,
// every eviction is told once and is the right one, and the figures are exact.
// Method: random steps against a model that keeps every extent with a pattern of its own, and looks
// at all of them after every step.
describe('the memory tier against a model', () => {
  it('agrees with it', () => {
    fc.assert(fc.property(budgetArbitrary, stepsArbitrary, run), { numRuns: 200 });
  });
});

interface Step {
  readonly kind: 'add' | 'fill' | 'keep' | 'unpin' | 'pin' | 'touch' | 'remove' | 'prefault';
  readonly byteLength: number;
  readonly choice: number;
}

const stepArbitrary: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(
    ...(['fill', 'fill', 'fill', 'fill', 'fill', 'add', 'keep', 'unpin', 'unpin'] as const),
    ...(['pin', 'touch', 'touch', 'remove', 'prefault'] as const),
  ),
  byteLength: fc.oneof(
    fc.constantFrom(0, unit, 2 * unit - 1, 2 * unit),
    fc.integer({ min: 0, max: 5 * unit }),
    fc.integer({ min: 0, max: 64 * unit }),
  ),
  choice: fc.nat({ max: 1000 }),
});

const stepsArbitrary = fc.array(stepArbitrary, { minLength: 1, maxLength: 150, size: 'max' });
const budgetArbitrary = fc.integer({ min: 0, max: 128 });

interface Known {
  readonly extent: Extent;
  readonly pattern: Buffer;
  pins: number;
  isResident: boolean;
  isUsedAgain: boolean;
  lastUse: number;
}

const firstUse = { isResident: false, isUsedAgain: false };

/** What the tier should hold. */
class Model {
  readonly tier: SlabMemoryTier;
  readonly known: Known[] = [];
  evictions = 0;
  #stamp = 0;
  #uses = 0;
  /** The class being allocated from; evictions outside of that are faults. */
  #allocating: number | undefined = undefined;

  constructor(budgetBytes: number) {
    this.tier = new SlabMemoryTier(budgetBytes);
  }

  apply({ kind, byteLength, choice }: Step): void {
    if (kind === 'add' || kind === 'fill') {
      this.#add(byteLength, kind === 'fill');
    } else if (kind === 'prefault') {
      this.tier.planPrefault(byteLength * 8);
      this.tier.prefaultStep();
    } else if (this.known.length > 0) {
      this.#applyTo(this.known[choice % this.known.length], kind);
    }
  }

  #applyTo(one: Known, kind: 'keep' | 'unpin' | 'pin' | 'touch' | 'remove'): void {
    switch (kind) {
      case 'keep':
        if (!one.isResident) this.#keep(one);
        break;
      case 'unpin':
        if (one.pins > 0) this.#unpin(one);
        break;
      case 'pin':
        if (one.pins === 0) one.isUsedAgain = true;
        one.extent.pin();
        one.pins += 1;
        break;
      case 'touch':
        this.tier.touch(one.extent);
        if (one.pins > 0) break;
        one.isUsedAgain = true;
        this.#use(one);
        break;
      case 'remove':
        if (one.isResident) this.#remove(one);
        break;
      default:
        kind satisfies never;
    }
  }

  check(): void {
    const { usage } = this.tier;
    const residents = this.known.filter((one) => one.isResident);
    const pinned = this.known.filter((one) => one.pins > 0);
    assert.equal(usage.entries, residents.length);
    assert.equal(usage.bytes, sumOfLengths(residents));
    assert.equal(usage.pinnedBytes, sumOfLengths(pinned));
    assert.equal(usage.evictions, this.evictions);
    assert.ok(usage.slabBytes <= usage.budgetBytes);
    assert.ok(usage.slabBytes >= usage.bytes);
    for (const { extent, pattern } of this.known) {
      assert.ok(pattern.equals(extent.bytes), 'the bytes of an extent changed');
    }
  }

  letGoOfAll(): void {
    for (const one of this.known.slice()) while (one.pins > 0) this.#unpin(one);
  }

  #unpin(one: Known): void {
    one.extent.unpin();
    one.pins -= 1;
    if (one.pins === 0) this.#use(one);
    this.#forgetUnused(one);
  }

  #add(byteLength: number, isKept: boolean): void {
    this.#allocating = unitsOf(byteLength);
    const extent = this.tier.allocate(byteLength);
    this.#allocating = undefined;
    if (extent === undefined) {
      const neverFits = unitsOf(byteLength) * unit > this.tier.usage.budgetBytes;
      assert.ok(neverFits || this.known.some((one) => one.pins > 0), 'there was room');
      return;
    }
    this.#stamp += 1;
    const pattern = Buffer.alloc(byteLength, `${this.#stamp},`);
    extent.bytes.set(pattern);
    const one: Known = { extent, pattern, pins: 1, lastUse: 0, ...firstUse };
    this.known.push(one);
    if (!isKept) return;
    this.#keep(one);
    this.#unpin(one);
  }

  #keep(one: Known): void {
    one.isResident = true;
    // What was removed and is kept again begins anew.
    one.isUsedAgain = false;
    this.tier.makeResident(one.extent, () => this.#onEvict(one));
  }

  #remove(one: Known): void {
    this.tier.remove(one.extent);
    one.isResident = false;
    this.#forgetUnused(one);
  }

  #onEvict(one: Known): void {
    assert.ok(this.#allocating !== undefined, 'only an allocation evicts');
    assert.ok(one.isResident && one.pins === 0, 'only residents without users are evicted, once');
    const length = unitsOf(one.pattern.length);
    if (length === this.#allocating) assert.equal(one, this.#victimOf(length));
    one.isResident = false;
    this.evictions += 1;
    this.#forgetUnused(one);
  }

  /** Of those used once the oldest, unless they are a quarter of the class or less. */
  #victimOf(length: number): Known | undefined {
    const evictable = this.known
      .filter(({ isResident, pins }) => isResident && pins === 0)
      .filter(({ pattern }) => unitsOf(pattern.length) === length)
      .sort((a, b) => a.lastUse - b.lastUse);
    const once = evictable.filter(({ isUsedAgain }) => !isUsedAgain);
    const again = evictable.filter(({ isUsedAgain }) => isUsedAgain);
    const isOnceFirst = again.length === 0 || once.length > evictable.length / 4;
    return isOnceFirst ? once[0] : again[0];
  }

  #use(one: Known): void {
    this.#uses += 1;
    one.lastUse = this.#uses;
  }

  #forgetUnused(one: Known): void {
    if (one.pins > 0 || one.isResident) return;
    this.known.splice(this.known.indexOf(one), 1);
    assert.throws(() => one.extent.pin(), AssertionError);
  }
}

function run(budgetUnits: number, steps: readonly Step[]): void {
  const model = new Model(budgetUnits * unit);
  for (const step of steps) {
    model.apply(step);
    model.check();
  }
  model.letGoOfAll();
  model.check();
  model.apply({ kind: 'add', byteLength: budgetUnits * unit, choice: 0 });
  model.check();
  assert.equal(model.known.length, budgetUnits === 0 ? 0 : 1);
}

function unitsOf(byteLength: number): number {
  return Math.max(1, Math.ceil(byteLength / unit));
}

function sumOfLengths(known: readonly Known[]): number {
  return known.reduce((sum, one) => sum + one.pattern.length, 0);
}

function pick(usage: MemoryUsage, ...names: readonly (keyof MemoryUsage)[]): readonly number[] {
  return names.map((name) => usage[name]);
}
