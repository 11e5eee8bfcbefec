import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crc32c } from '../../src/base/crc32c.ts';
import type { KvStore, StoreStats } from '../../src/blocks/kv-store.ts';
import { decodeRecord, headerLength, recordLength } from '../../src/cache/log-record.ts';
import type { LogRecord } from '../../src/cache/log-record.ts';
import { segmentNumber } from '../../src/cache/log-segment.ts';
import { segmentHeaderBytes } from '../../src/cache/segment-header.ts';
import { historyWorld } from './crash-history.ts';
import { DirectoryNode, FileNode } from './disk-nodes.ts';
import { sameBytes } from './same-bytes.ts';
import { cacheDirectory } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';

const place = `${cacheDirectory}/v1/0`;
const tokens = [3, 1, 4, 1, 5];
/** A gap at a segment's end that is longer than any header is damage; a shorter one may be torn. */
const headerBytesMax = 256;

/** Bytes of a log that do one job. */
interface Region {
  readonly file: FileNode;
  readonly start: number;
  readonly end: number;
  readonly job: string;
  /** What a changed byte of it must add to the counters. */
  readonly damagedRecords: 0 | 1;
  readonly corrupt: 0 | 1;
  /** Of the keys of a save: which. */
  readonly saveId?: number;
  /** Of the tag of a raw tail's object: the sequence number of the raw tail. */
  readonly tagOf?: number;
}

/** A host with a log that holds a record of every type and kind, closed. */
class LoggedWorld {
  readonly world: SimWorld = historyWorld(1);
  /** The save of each payload that waits for upload, by the records that {@link regions} walks. */
  readonly #pendingOf = new Map<string, number>();
  /** The sequence number of the last raw tail that has a tag. */
  #lastTag: number | undefined;
  readonly #bytes = new Map<string, Uint8Array>();

  payload(name: string): Uint8Array {
    const known = this.#bytes.get(name) ?? this.world.payloads.bytes(name, 130);
    this.#bytes.set(name, known);
    return known;
  }

  async fill(): Promise<void> {
    const { world } = this;
    const [slot] = world.slots;
    const key = (name: string) => world.payloads.key(name);
    await world.open(slot);
    const { store } = slot;
    assert.ok(store !== undefined);
    for (const name of ['block', 'gone']) {
      await store.save([{ key: key(name), payload: this.payload(name) }], { durable: true });
    }
    await store.delete({ kind: 'blocks', keys: [key('gone')] });
    await store.saveTail({ tip: key('tip'), tokens, payload: this.payload('tail') });
    for (const name of ['old raw tail', 'raw tail']) {
      await store.saveRawTail(key('tip'), this.payload(name));
      await store.flush();
    }
    await store.save([{ key: key('last'), payload: this.payload('last') }], { durable: true });
    await world.close(slot);
  }

  segments(): { readonly name: string; readonly file: FileNode }[] {
    const directory = this.world.machines[0].disk.find(place);
    assert.ok(directory instanceof DirectoryNode);
    return [...directory.entries]
      .filter(([name]) => segmentNumber(name) !== undefined)
      .map(([name, file]) => {
        assert.ok(file instanceof FileNode);
        return { name, file };
      });
  }

  write(file: FileNode, position: number, bytes: Uint8Array): void {
    const write = { kind: 'write' as const, position, bytes };
    this.world.machines[0].disk.apply({ kind: 'write', serial: file.serial, write });
  }

  /** Opens the log as the next process does, checks every payload, and forgets what that wrote. */
  async reopen(what: string): Promise<StoreStats> {
    const { world } = this;
    const [slot] = world.slots;
    const before = new Set(this.segments().map(({ name }) => name));
    await world.open(slot);
    assert.ok(slot.store !== undefined, what);
    await this.#check(slot.store, what);
    const stats = await slot.store.stats();
    world.kill(slot);
    const after = this.segments().map(({ name }) => name);
    assert.ok(
      [...before].every((name) => after.includes(name)),
      'nothing was dropped',
    );
    const { disk } = world.machines[0];
    for (const name of after) {
      if (!before.has(name)) disk.apply({ kind: 'remove', path: `${place}/${name}` });
    }
    return stats;
  }

  async #check(store: KvStore, what: string): Promise<void> {
    const key = (name: string) => this.world.payloads.key(name);
    const found: [string, Uint8Array | undefined][] = [];
    for (const name of ['block', 'last', 'gone']) {
      const borrow = await store.load([key(name)]);
      const payload = borrow.blocks[0]?.payload.slice();
      borrow.release();
      // A deleted payload whose note was lost may come back; never as another one.
      if (name !== 'gone' || payload !== undefined) found.push([name, payload]);
    }
    const tail = await store.loadTail({ tip: key('tip'), tokens });
    found.push(['tail', tail?.payload.slice()]);
    tail?.release();
    const rawTail = await store.loadRawTail(key('tip'));
    found.push(['raw tail', rawTail?.payload.slice()]);
    rawTail?.release();
    for (const [name, payload] of found) {
      const isRight = payload !== undefined && sameBytes(payload, this.payload(name));
      assert.ok(isRight, `${what}: ${name} is ${payload === undefined ? 'lost' : 'wrong'}`);
    }
  }

  /** Every byte of the log by its job, found by walking it. */
  regions(): Region[] {
    const regions = this.segments().flatMap(({ name, file }) => this.#regionsOf(name, file));
    // Of a save that is durable the list of keys is of no use any more, and is not read; nor is the tag of a raw tail
    // that was replaced.
    return regions.map((region) => {
      const { saveId, tagOf } = region;
      if (tagOf !== undefined && tagOf !== this.#lastTag) {
        return { ...region, damagedRecords: 0, job: 'tag out of use' };
      }
      return saveId === undefined || this.#pendingSaves.has(saveId)
        ? region
        : { ...region, damagedRecords: 0, job: 'keys of a durable save' };
    });
  }

  /** Takes note of which saves still wait for upload after the record. */
  #noteSave({ type, kind, key, saveId, isDurable }: LogRecord): void {
    const id = `${kind} ${key}`;
    if (type === 'payload' && !isDurable) this.#pendingOf.set(id, saveId);
    else if (type !== 'save') this.#pendingOf.delete(id);
  }

  get #pendingSaves(): ReadonlySet<number> {
    return new Set(this.#pendingOf.values());
  }

  #regionsOf(name: string, file: FileNode): Region[] {
    const none = { file, damagedRecords: 0, corrupt: 0 } as const;
    const one = { ...none, damagedRecords: 1 } as const;
    const header = { ...one, start: 0, end: segmentHeaderBytes, job: 'segment header' };
    const regions: Region[] = [header];
    const seed = crc32c(file.bytes.subarray(12, 28));
    for (let offset = segmentHeaderBytes; offset < file.byteLength;) {
      const at = { segment: segmentNumber(name) ?? 0, offset, seed };
      const record = decodeRecord(file.bytes.subarray(offset), at);
      assert.ok(record !== undefined, `record at ${offset} of ${name}`);
      const { type, payloadLength, saveId } = record;
      this.#noteSave(record);
      const next = offset + recordLength(record);
      const payload = offset + headerLength(record);
      const isTorn = next === file.byteLength && next - offset < headerBytesMax;
      const told = isTorn ? none : one;
      regions.push({ ...told, start: offset, end: payload, job: `header: ${type}` });
      const end = payload + payloadLength;
      if (type === 'save') {
        regions.push({ ...one, start: payload, end, job: 'keys of a save', saveId });
      } else if (type === 'payload') {
        const bytes = file.bytes.slice(payload, end);
        const used = ['block', 'last', 'tail', 'raw tail'];
        const isUsed = used.some((one) => sameBytes(bytes, this.payload(one)));
        const job = `${isUsed ? 'payload' : 'payload out of use'}: ${record.kind}`;
        regions.push({ ...none, corrupt: isUsed ? 1 : 0, start: payload, end, job });
      } else if (payloadLength > 0) {
        this.#lastTag = record.sequence;
        regions.push({ ...one, start: payload, end, job: 'tag', tagOf: record.sequence });
      }
      regions.push({ ...none, start: end, end: next, job: 'padding' });
      offset = next;
    }
    return regions;
  }
}

// Goal: no changed byte of any record of the log gives wrong bytes, loses what can be had elsewhere,
// or goes uncounted, and none is counted twice. Method: a log with a record of every type (payloads of
// every kind, lists of keys, the notes "uploaded" and "removed") is walked, so that the job of each
// byte is known; each byte of the first record of a type, and every fourth of later ones, is changed,
// and the next process loads everything and tells its counters.
describe('corruption of the log', () => {
  it('of any byte is counted once where a payload or an intact header misses', async (t) => {
    const began = performance.now();
    const logged = new LoggedWorld();
    const counts = new Map<string, number>();
    const run = async (): Promise<void> => {
      await logged.fill();
      const sound = await logged.reopen('the control');
      assert.deepEqual([sound.damagedRecords, sound.corrupt], [0, 0]);
      for (const { file, start, end, job, damagedRecords, corrupt } of logged.regions()) {
        const step = counts.has(job) ? 4 : 1;
        for (let at = start; at < end; at += step) {
          const byte = file.bytes[at];
          const what = `${job}, byte ${at - start}`;
          logged.write(file, at, Uint8Array.of(byte ^ (at % 2 === 0 ? 0xff : 1 << (at % 8))));
          const stats = await logged.reopen(what);
          logged.write(file, at, Uint8Array.of(byte));
          const counted = [stats.damagedRecords, stats.corrupt];
          assert.deepEqual(counted, [damagedRecords, corrupt], what);
          counts.set(job, (counts.get(job) ?? 0) + 1);
        }
      }
    };
    await logged.world.scheduler.run(run());
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    t.diagnostic(`${seconds} s; changes by job: ${JSON.stringify(Object.fromEntries(counts))}`);
    for (const job of ['save', 'payload', 'uploaded', 'removed']) {
      assert.ok((counts.get(`header: ${job}`) ?? 0) >= 150, job);
    }
    for (const kind of ['block', 'tail', 'raw-tail'])
      assert.ok(counts.has(`payload: ${kind}`), kind);
    assert.ok(counts.has('tag'), 'the tag of an object');
  });

  it('by a cut at any length is a torn end: nothing is wrong, and nothing is counted', async () => {
    const logged = new LoggedWorld();
    const { disk } = logged.world.machines[0];
    const run = async (): Promise<void> => {
      await logged.fill();
      for (const { name, file } of logged.segments()) {
        const whole = file.bytes.slice();
        for (let byteLength = segmentHeaderBytes; byteLength < whole.length; byteLength += 7) {
          disk.apply({ kind: 'truncate', serial: file.serial, byteLength });
          const stats = await logged.reopen(`${name} cut to ${byteLength} bytes`);
          logged.write(file, 0, whole);
          assert.deepEqual([stats.damagedRecords, stats.corrupt], [0, 0]);
        }
      }
    };
    await logged.world.scheduler.run(run());
  });
});
