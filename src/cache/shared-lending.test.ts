import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { LendingRig, rigSalt } from '../../test/support/lending-rig.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { clientBytes, offsetUnitBytes } from '../platform/shared-memory.ts';
import { extentHeaderBytes } from './extent-header.ts';
import type { SharedFiller } from './shared-reader.ts';

const mib = 1024 * 1024;
const budgetBytes = 8 * mib;
/** Four of these and their headers are all that there is room for. */
const big = 1.75 * mib;

describe('memory that a store lends to a client', { skip: withoutNative() }, () => {
  let rig: LendingRig;
  beforeEach(async () => {
    rig = await LendingRig.open(budgetBytes);
  });
  afterEach(() => rig.close());

  function filler(): SharedFiller {
    const opened = rig.reader.filler();
    assert(opened !== undefined);
    return opened;
  }

  /** Ends a loan as the store does that wants its memory back. */
  function takeBack({ extent, place }: ReturnType<LendingRig['lend']>): void {
    rig.tier.endLoan(place.number);
    extent.unpin();
  }

  it('holds what the client copied, whose checksum it gives', () => {
    const filling = filler();
    for (const length of [0, 1, 65_537, 262_143, 262_144, 262_145, 1_500_000]) {
      const lent = rig.lend(length);
      const { extent, place } = lent;
      const payload = randomPayload(`lent ${length}`, length);
      const crc = filling.fill(place, payload);
      assert.equal(crc, bitwiseCrc32c(payload), `${length} bytes`);
      const held = extent.bytes.subarray(extentHeaderBytes, extentHeaderBytes + length);
      assert.equal(digestOf(held), digestOf(payload));
      takeBack(lent);
    }
    filling.end();
  });

  it('is left alone when it is lent no more, or not to this save', () => {
    const filling = filler();
    const { extent, place } = rig.lend(100_000);
    const before = digestOf(extent.bytes);
    const payload = randomPayload('late', 100_000);
    assert.equal(filling.fill({ ...place, number: place.number + 1 }, payload), undefined);
    assert.equal(filling.fill({ ...place, number: 0 }, payload), undefined);
    assert.equal(filling.fill({ ...place, salt: rigSalt + 1 }, payload), undefined);
    assert.equal(digestOf(extent.bytes), before);
    rig.tier.endLoan(place.number);
    const after = digestOf(extent.bytes);
    assert.equal(filling.fill(place, payload), undefined);
    assert.equal(digestOf(extent.bytes), after);
    extent.unpin();
    filling.end();
  });

  it('is not written beyond its segment', () => {
    const filling = filler();
    const lent = rig.lend(100_000);
    const { place } = lent;
    const payload = randomPayload('long', 100_000);
    const beyond = { ...place, offset: (2 * budgetBytes) / offsetUnitBytes - 1 };
    assert.throws(() => filling.fill(beyond, payload), RangeError);
    assert.throws(() => filling.fill({ ...place, offset: 0xffffffff }, payload), RangeError);
    assert.throws(() => filling.fill({ ...place, segment: 7 }, payload), { code: 'ENOENT' });
    takeBack(lent);
    filling.end();
  });

  it('is not used again while a client that was stopped may still write there', async () => {
    const lent = [1, 2, 3, 4].map(() => rig.lend(big));
    assert.equal(rig.memory.allocate(big), undefined);
    // What the client's memory holds when it is stopped behind its look at the stamp: its hazard.
    const clients = join(rig.directory, 'clients');
    const { segment, offset } = lent[2].place;
    const location = (1n << 63n) | (BigInt(segment) << 40n) | BigInt(offset);
    await writeHazard(clients, location);
    for (const one of lent) takeBack(one);
    const again = [1, 2, 3].map(() => rig.memory.allocate(big));
    const places = again.map(
      (extent) => extent && rig.tier.placeOf(extent.bytes).offset / offsetUnitBytes,
    );
    assert.ok(!places.includes(undefined) && !places.includes(offset));
    assert.equal(rig.memory.allocate(big), undefined);
    await writeHazard(clients, 0n);
    const last = rig.memory.allocate(big);
    assert.equal(last && rig.tier.placeOf(last.bytes).offset / offsetUnitBytes, offset);
  });

  it('takes one hazard for all that is filled one after another', () => {
    const fillers = Array.from({ length: 1016 }, () => filler());
    assert.equal(rig.reader.filler(), undefined);
    fillers[0].end();
    fillers[0].end();
    const another = filler();
    assert.equal(rig.reader.filler(), undefined);
    for (const one of [...fillers, another]) one.end();
  });

  /** Writes the first hazard of the reader, which is client 0 and has pinned nothing. */
  async function writeHazard(clients: string, location: bigint): Promise<void> {
    const bytes = await readFile(clients);
    bytes.writeUInt32LE(1, 0);
    bytes.writeUInt32LE(1, 4);
    bytes.writeBigUInt64LE(location, 64);
    const file = rig.shared.open(clients, 'read-write');
    file.map().set(bytes.subarray(0, clientBytes));
    file.close();
  }
});

/** CRC32C one bit at a time, from its definition. */
function bitwiseCrc32c(bytes: Uint8Array): number {
  let state = 0xffffffff;
  for (const byte of bytes) {
    state ^= byte;
    for (let bit = 0; bit < 8; bit += 1) state = (state >>> 1) ^ (state & 1 ? 0x82f63b78 : 0);
  }
  return (state ^ 0xffffffff) >>> 0;
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
