import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { historyProfile } from './crash-history.ts';
import { DirectoryNode, FileNode } from './disk-nodes.ts';
import { sameBytes } from './same-bytes.ts';
import { cacheDirectory, keyPrefix, SimWorld } from './sim-world.ts';
import type { Slot } from './slot.ts';

/** A change of a file: bits of one byte, or its end cut off. */
interface Damage {
  readonly at: number;
  readonly mask: number | 'cut';
}

/**
 * A machine for two processes. The first takes place 0 a second time, so that there is a sweep mark,
 * and accepts a block that the bucket does not take.
 */
class OwnedWorld {
  readonly world = new SimWorld(
    { seed: 1, profile: { ...historyProfile, processesPerMachine: 2 }, operations: [] },
    false,
  );
  readonly payload = this.world.payloads.bytes('pending', 200);
  readonly key = this.world.payloads.key('pending');

  get owner(): Slot {
    return this.world.slots[0];
  }

  get other(): Slot {
    return this.world.slots[1];
  }

  async begin(): Promise<void> {
    const { world, owner } = this;
    await world.open(owner);
    await world.close(owner);
    await world.open(owner);
    assert.ok(world.bucket !== undefined);
    world.bucket.mode = 'refusing puts';
    await owner.store?.save([{ key: this.key, payload: this.payload.slice() }]);
  }

  names(number: number): string[] {
    const directory = this.world.machines[0].disk.find(`${cacheDirectory}/v1/${number}`);
    return directory instanceof DirectoryNode ? [...directory.entries.keys()].sort() : [];
  }

  /** Changes the file of place 0; what it gives undoes that. */
  damage(name: string, { at, mask }: Damage): () => void {
    const { disk } = this.world.machines[0];
    const file = disk.find(`${cacheDirectory}/v1/0/${name}`);
    assert.ok(file instanceof FileNode, name);
    const { serial } = file;
    const whole = file.bytes.slice();
    const write = (position: number, bytes: Uint8Array): void =>
      disk.apply({ kind: 'write', serial, write: { kind: 'write', position, bytes } });
    if (mask === 'cut') disk.apply({ kind: 'truncate', serial, byteLength: at });
    else write(at, Uint8Array.of(whole[at] ^ mask));
    return () => write(0, whole);
  }

  byteLength(name: string): number {
    const file = this.world.machines[0].disk.find(`${cacheDirectory}/v1/0/${name}`);
    assert.ok(file instanceof FileNode, name);
    return file.byteLength;
  }

  async loads(slot: Slot): Promise<boolean> {
    assert.ok(slot.store !== undefined);
    const borrow = await slot.store.load([this.key]);
    const [block] = borrow.blocks;
    const isRight = block !== undefined && sameBytes(block.payload, this.payload);
    borrow.release();
    return isRight;
  }

  run(task: () => Promise<void>): Promise<void> {
    return this.world.scheduler.run(task());
  }
}

const files = ['owner-2', 'owners-swept'];

/** Each byte changed by one bit and by all, and each seventh length. */
async function damagesOf(name: string): Promise<Damage[]> {
  const owned = new OwnedWorld();
  await owned.run(() => owned.begin());
  const damages: Damage[] = [];
  for (let at = 0; at < owned.byteLength(name); at += 1) {
    damages.push({ at, mask: 0xff }, { at, mask: 1 << (at % 8) });
    if (at % 7 === 0) damages.push({ at, mask: 'cut' });
  }
  return damages;
}

// Goal: whatever happens to a file that says who owns a place, the place never has two owners, never
// goes to another store, and what was accepted there is found and uploaded by the next process.
// Method: every byte changed, and cuts, while the owner lives, after it was killed, and for a store of
// another prefix, on the simulated disk.
describe('corruption of the files of a place', () => {
  for (const name of files) {
    it(`${name}, of a dead owner: the next process takes the place and uploads`, async (t) => {
      const began = performance.now();
      const damages = await damagesOf(name);
      for (const damage of damages) {
        const what = `${name} ${JSON.stringify(damage)}`;
        const owned = new OwnedWorld();
        const { world, owner, other } = owned;
        await owned.run(async () => {
          await owned.begin();
          world.kill(owner);
          owned.damage(name, damage);
          assert.ok(world.bucket !== undefined);
          world.bucket.mode = 'normal';
          await world.open(other);
          assert.ok(await owned.loads(other), what);
          assert.ok(owned.names(0).includes('owner-3'), `${what}: the place was taken`);
          await other.store?.flush();
          assert.equal([...world.bucket.keys()].length, 1, what);
          const stats = await other.store?.stats();
          assert.equal(stats?.damagedRecords, name === 'owner-2' ? 1 : 0, what);
          await world.close(other);
        });
      }
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      t.diagnostic(`${seconds} s; ${damages.length} changes`);
    });

    it(`${name}, of a living owner, or seen by another store: the place is left alone`, async () => {
      const damages = await damagesOf(name);
      const owned = new OwnedWorld();
      const { world, owner, other } = owned;
      const look = async (prefix: string, damage: Damage): Promise<void> => {
        const before = owned.names(0);
        const undo = owned.damage(name, damage);
        await world.open(other, prefix);
        assert.ok(other.store !== undefined);
        assert.deepEqual(owned.names(0), before, `${name} ${JSON.stringify(damage)}`);
        assert.ok(owned.names(1).includes('owner-1'), 'it has a place of its own');
        if (prefix !== keyPrefix) assert.ok(!(await owned.loads(other)), 'theirs is not given');
        await world.close(other);
        world.machines[0].disk.removeTree(`${cacheDirectory}/v1/1`);
        undo();
      };
      await owned.run(async () => {
        await owned.begin();
        for (const damage of damages) await look(keyPrefix, damage);
        assert.ok(await owned.loads(owner), 'the owner goes on');
        world.kill(owner);
        for (const damage of damages) await look('kv/other', damage);
        // Nothing was lost by all that.
        await world.open(other);
        assert.ok(await owned.loads(other));
        await world.close(other);
      });
    });
  }
});
