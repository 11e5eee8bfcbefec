import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { chainOf } from '../../test/support/chains.ts';
import type { Chain } from '../../test/support/chains.ts';
import { doorOf, startDaemon } from '../../test/support/daemon-world.ts';
import { rawTranscoder } from '../../test/support/raw-transcoder.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { concatBytes } from '../base/bytes.ts';
import { silentLogger } from '../base/logger.ts';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { PayloadLease, ServedStore } from '../blocks/served-store.ts';
import { outgoingOf } from '../client/http-outgoing.ts';
import { resolveStoreConfig } from '../config/store-config.ts';
import { FaultyObjectStore } from '../objectstore/faulty-object-store.ts';
import { MemoryObjectStore } from '../objectstore/memory-object-store.ts';
import { withNative } from '../platform/native.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { bulkParts, bulkType, encodeBulkHead } from '../protocol/http1-bulk.ts';
import { operationPath } from '../protocol/http1-paths.ts';
import { assembleStore } from '../store/assemble-store.ts';

const mib = 1024 * 1024;
const memoryBytes = 64 * mib;
const namespace = parseNamespace('default');

interface Rig {
  readonly store: ServedStore;
  readonly port: number;
  close(): Promise<void>;
}

/** A daemon whose store lends memory, and whose bucket takes nothing: what is accepted stays pending. */
async function open(backlogBytesMax: number): Promise<Rig> {
  const { path, remove } = await makeTemporaryDirectory('http-save');
  const platform = withNative(nodePlatform(), 'auto');
  const config = { objectStore: 'memory:', cacheDirectory: `${path}/cache`, memoryBytes };
  const settings = {
    ...resolveStoreConfig(config, platform.host),
    ...{ backlogBytesMax, drainMs: 0, sharedDirectory: `${path}/memory` },
  };
  const objects = new FaultyObjectStore(new MemoryObjectStore(platform.clock), ({ verb }) =>
    verb === 'put' ? { kind: 'fail-before' } : undefined,
  );
  const store = await assembleStore({
    ...{ platform, logger: silentLogger, objects, transcoder: rawTranscoder, settings },
  });
  const daemon = await startDaemon(store, doorOf('http', path, 'daemon'));
  return {
    store,
    port: Number(new URL(daemon.addresses[0].url).port),
    close: async () => {
      await daemon.stop();
      await remove();
    },
  };
}

/** The body of a save of the chain, and where each of its payloads ends. */
function bodyOf(
  { blocks }: Chain,
  { isLastFirst = true, leftOut = 0 } = {},
): { readonly bytes: Uint8Array; readonly ends: readonly number[] } {
  const outgoing = blocks.map((block, at) => outgoingOf({ ...block, isLeftOut: at < leftOut }));
  const records = outgoing.map((one) => ({ ...one, byteLength: one.payload.length }));
  // A left out record still says how long its payload is, to whoever asks.
  const head = encodeBulkHead({ records, attributes: {}, isLastFirst });
  const sent = outgoing.slice(leftOut);
  const payloads = isLastFirst ? sent.reverse() : sent;
  let end = head.length;
  const ends = payloads.map(({ payload }) => (end += payload.length + 4));
  return { bytes: concatBytes([...bulkParts(head, payloads)]), ends };
}

/** A save under way: its head is sent, and of its body whatever the test sends. */
class RawSave {
  readonly #socket: Socket;
  #answer = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.#answer += chunk.toString();
    });
  }

  static async begin(port: number, byteLength: number): Promise<RawSave> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const save = new RawSave(socket);
    const path = operationPath(namespace, 'save');
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: ${bulkType}\r\n` +
        `content-length: ${byteLength}\r\n\r\n`,
    );
    return save;
  }

  async send(bytes: Uint8Array): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.write(bytes, () => resolve()));
  }

  breakOff(): void {
    this.#socket.destroy();
  }

  /** Status and body of the answer. */
  async answer(): Promise<{ readonly status: number; readonly text: string }> {
    if (!this.#socket.closed) await once(this.#socket, 'close');
    const [head, text] = this.#answer.split('\r\n\r\n');
    return { status: Number(head.split(' ')[1]), text };
  }
}

async function save(
  port: number,
  bytes: Uint8Array,
): Promise<{ readonly status: number; readonly text: string }> {
  const raw = await RawSave.begin(port, bytes.length);
  await raw.send(bytes);
  return raw.answer();
}

/** How many payloads of 1 MiB the store can lend memory for: less when somebody has kept some. */
function lendable(store: ServedStore): number {
  const leases: PayloadLease[] = [];
  for (let one = store.lease(mib); one !== undefined; one = store.lease(mib)) leases.push(one);
  for (const lease of leases) lease.release();
  return leases.length;
}

/** What is stored of keys whose payloads of those lengths are to be saved. */
async function ask(
  port: number,
  keys: readonly string[],
  lengths: readonly unknown[],
): Promise<{ readonly status: number; readonly text: string }> {
  const url = `http://127.0.0.1:${port}${operationPath(namespace, 'contains')}`;
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ keys, lengths });
  const response = await fetch(url, { method: 'POST', headers, body });
  return { status: response.status, text: await response.text() };
}

/** Resolves when the condition holds; the runner's own limit ends a test that waits in vain. */
async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
}

describe('a save over HTTP', { skip: withoutNative() }, () => {
  let rig: Rig;
  before(async () => {
    rig = await open(80 * mib);
  });
  after(() => rig.close());

  const storedOf = async ({ keys }: Chain): Promise<number> =>
    (await rig.store.contains(keys)).filter(Boolean).length;

  const givenBack = (count: number): Promise<void> => until(() => lendable(rig.store) === count);

  it('from its last block to its first is stored as it comes, and seen when it is whole', async () => {
    const chain = chainOf('http-save/groups', 20, mib);
    assert(chain.byteLength > limits.saveGroupBytes);
    const { bytes, ends } = bodyOf(chain);
    const raw = await RawSave.begin(rig.port, bytes.length);
    const part = ends[17];
    await raw.send(bytes.subarray(0, part));
    await until(async () => (await storedOf(chain)) === 16);
    assert.deepEqual(
      await rig.store.contains(chain.keys),
      chain.keys.map((_, at) => at >= 4),
    );
    assert.equal((await rig.store.lookup(chain.keys)).matched, 0);
    await raw.send(bytes.subarray(part));
    const { status, text } = await raw.answer();
    assert.equal(status, 200, text);
    assert.deepEqual(JSON.parse(text), { saved: 20, known: 0, savedBytes: 20 * mib });
    const borrow = await rig.store.load(chain.keys);
    assert.equal(borrow.blocks.length, 20);
    borrow.blocks.forEach(({ payload }, at) =>
      assert(Buffer.from(payload).equals(chain.blocks[at].payload), `block ${at}`),
    );
    borrow.release();
    await rig.store.delete({ kind: 'blocks', keys: chain.keys });
  });

  it('from its first block to its last, as clients of version 1 send it, is stored as a whole', async () => {
    const chain = chainOf('http-save/first version', 20, mib);
    const { bytes, ends } = bodyOf(chain, { isLastFirst: false });
    const broken = await RawSave.begin(rig.port, bytes.length);
    await broken.send(bytes.subarray(0, ends[18]));
    broken.breakOff();
    await broken.answer();
    assert.equal(await storedOf(chain), 0);
    const { status, text } = await save(rig.port, bytes);
    assert.equal(status, 200, text);
    assert.equal((await rig.store.lookup(chain.keys)).matched, 20);
    await rig.store.delete({ kind: 'blocks', keys: chain.keys });
  });

  for (const isLastFirst of [true, false]) {
    const order = isLastFirst ? 'last block to its first' : 'first block to its last';
    it(`from its ${order} gives memory back when its body breaks off`, async () => {
      const chain = chainOf(`http-save/broken ${isLastFirst}`, 8, mib);
      const { bytes, ends } = bodyOf(chain, { isLastFirst });
      const free = lendable(rig.store);
      const raw = await RawSave.begin(rig.port, bytes.length);
      await raw.send(bytes.subarray(0, ends[4] + mib / 2));
      await until(() => lendable(rig.store) <= free - 5);
      raw.breakOff();
      await givenBack(free);
      assert.equal(await storedOf(chain), 0);
    });

    it(`from its ${order} is refused when a payload was damaged, and gives memory back`, async () => {
      const chain = chainOf(`http-save/damaged ${isLastFirst}`, 4, mib);
      const { bytes, ends } = bodyOf(chain, { isLastFirst });
      const free = lendable(rig.store);
      bytes[ends[2] + 77] ^= 4;
      const { status, text } = await save(rig.port, bytes);
      assert.equal(status, 400, text);
      assert.match(text, /"CORRUPT".* was damaged on its way/);
      await givenBack(free);
      assert.equal(await storedOf(chain), 0);
    });
  }

  it('that leaves out what is not stored is told so, and nothing of it is stored', async () => {
    const chain = chainOf('http-save/gone', 5, mib);
    const free = lendable(rig.store);
    const { status, text } = await save(rig.port, bodyOf(chain, { leftOut: 2 }).bytes);
    assert.equal(status, 409, text);
    assert.match(text, /"MISSING"/);
    assert.equal(await storedOf(chain), 0);
    await givenBack(free);
  });

  it('counts what it left out as known', async () => {
    const chain = chainOf('http-save/known', 5, mib);
    await rig.store.save(chain.blocks.slice(0, 2));
    const { status, text } = await save(rig.port, bodyOf(chain, { leftOut: 2 }).bytes);
    assert.equal(status, 200, text);
    assert.deepEqual(JSON.parse(text), { saved: 3, known: 2, savedBytes: 3 * mib });
    assert.equal((await rig.store.lookup(chain.keys)).matched, 5);
  });

  it('asks what is stored with the lengths of its payloads, for which nothing asks the bucket', async () => {
    const chain = chainOf('http-save/asked', 4, 1000);
    await rig.store.save(chain.blocks.slice(0, 2));
    const { requests } = (await rig.store.stats()).object;
    const { status, text } = await ask(rig.port, chain.keys, [1000, 1000, 1000, 1000]);
    assert.equal(status, 200, text);
    assert.deepEqual(JSON.parse(text), {
      stored: [true, true, false, false],
      ...{ bulk: 2, gaps: true, compressed: false },
    });
    assert.equal((await rig.store.stats()).object.requests.head, requests.head);
  });

  it('is told of lengths that are none, or not one for each key', async () => {
    const { keys } = chainOf('http-save/lengths', 2, 10);
    for (const lengths of [[1], [1, 2, 3], [1, -1], [1, 1.5], [1, '1']]) {
      const { status, text } = await ask(rig.port, keys, lengths);
      assert.equal(status, 400, text);
      assert.match(text, /"INVALID".*lengths/);
    }
    assert.equal((await ask(rig.port, keys, [1, 2 ** 31])).status, 413);
  });
});

describe('a save over HTTP without room', { skip: withoutNative() }, () => {
  it('is refused before any group is stored, and gives memory back', async () => {
    const rig = await open(24 * mib);
    const first = chainOf('http-save/first', 8, mib);
    await rig.store.save(first.blocks);
    const { pendingBytes } = await rig.store.stats();
    const free = lendable(rig.store);
    const chain = chainOf('http-save/no room', 20, mib);
    const lengths = chain.blocks.map(({ payload }) => payload.length);
    assert.equal((await ask(rig.port, chain.keys, lengths)).status, 429);
    const { status, text } = await save(rig.port, bodyOf(chain).bytes);
    assert.equal(status, 429, text);
    assert.match(text, /"BUSY".*backlog/);
    assert.equal((await rig.store.stats()).pendingBytes, pendingBytes);
    assert((await rig.store.contains(chain.keys)).every((one) => !one));
    await until(() => lendable(rig.store) === free);
    await rig.close();
  });
});
