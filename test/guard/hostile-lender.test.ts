import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { limits } from '../../src/blocks/limits.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import type { LentPlace } from '../../src/blocks/served-store.ts';
import type { SharedFiller } from '../../src/cache/shared-reader.ts';
import { RemotePeer } from '../../src/client/remote-peer.ts';
import { RemoteStore } from '../../src/client/remote-store.ts';
import { directChecksums } from '../../src/platform/checksums.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { nodeSockets } from '../../src/platform/node-sockets.ts';
import { clientBytes, hazardsMax, offsetUnitBytes } from '../../src/platform/shared-memory.ts';
import { encodeFrame } from '../../src/protocol/frame.ts';
import { FrameReader } from '../../src/protocol/frame-reader.ts';
import type { FrameType } from '../../src/protocol/frame-types.ts';
import { encodeWelcome, features } from '../../src/protocol/session-messages.ts';
import {
  decodeFilled,
  encodeLent,
  encodeSaved,
  encodeWanted,
} from '../../src/protocol/write-messages.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf } from '../support/chains.ts';
import { LendingRig, rigSalt } from '../support/lending-rig.ts';

const mib = 1024 * 1024;
const budgetBytes = 16 * mib;
const chain = chainOf('hostile lender', 3, 100_000);
const deadlineMs = 250;
/** For a save that fails before its time is over. */
const patientMs = 20_000;

/** What the daemon sends for a save: each is a frame for the call. */
type Answer = readonly (readonly [type: FrameType, body: Uint8Array])[];

const wanted = ['wanted', encodeWanted({ isWanted: [true, true, true], grantBytes: 0 })] as const;

function lent(...places: readonly LentPlace[]): readonly [FrameType, Uint8Array] {
  return ['lent', encodeLent(places)];
}

/** A daemon that says what the test wants it to say, and notes what it is told. */
class HostileDaemon {
  readonly heard: string[] = [];
  readonly crcs: number[] = [];
  answer: Answer = [];
  /** When this frame comes the save is answered as if it were stored. */
  savedBehind: FrameType | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(path: string) {
    this.#server = createServer((socket) => this.#serve(socket)).listen(path);
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    const send = (type: FrameType, id: number, body?: Uint8Array): void => {
      for (const part of encodeFrame(type, id, body)) socket.write(part);
    };
    const reader = new FrameReader({
      bodyBytesMax: () => limits.messageBytesMax,
      bodyMemory: ({ length }) => new Uint8Array(length),
      onFrame: ({ type, id }, body) => {
        this.heard.push(type);
        if (type === 'hello') send('welcome', 0, welcome);
        if (type === 'filled') this.crcs.push(...decodeFilled(body));
        if (type === 'save') for (const [kind, bytes] of this.answer) send(kind, id, bytes);
        if (type === this.savedBehind) {
          send('saved', id, encodeSaved({ saved: 3, known: 0, savedBytes: 300_000 }));
        }
      },
      dataTarget: () => undefined,
      onData: () => this.heard.push('data'),
    });
    socket.on('data', (chunk: Buffer) => {
      for (let at = 0; at < chunk.length;) {
        const into = reader.nextBuffer();
        const part = chunk.subarray(at, at + into.length);
        into.set(part);
        at += part.length;
        reader.received(part.length);
      }
    });
  }
}

const welcome = encodeWelcome({
  ...{ version: 1, features: features.lending, bodyBytesMax: limits.messageBytesMax },
  ...{ dataBytesMax: limits.pieceBytesMax, eagerBytesMax: limits.eagerBytesMax },
  ...{ callsMax: 8, connectionsMax: 8, agent: 'hostile' },
});

describe('a client whose daemon lends what it should not', { skip: withoutNative() }, () => {
  let rig: LendingRig;
  let daemon: HostileDaemon;
  let store: KvStore;

  beforeEach(async () => {
    rig = await LendingRig.open(budgetBytes);
    const { clock, random, memory } = withNative(nodePlatform(), 'auto');
    const path = join(rig.temporary.path, 'daemon.sock');
    daemon = new HostileDaemon(path);
    const address = { kind: 'unix', path } as const;
    const sockets = nodeSockets;
    const machine = { sockets, clock, random, memory };
    const peer = new RemotePeer({ ...machine, address, token: '', agent: 'test' });
    const reads = { lookupMs: 1000, loadMs: 1000, tailMs: 1000 };
    const deadlines = { ...reads, saveMs: 1000, deleteMs: 1000 };
    store = new RemoteStore({
      ...{ peer, clock, memory, namespace: parseNamespace('default'), deadlines },
      ...{ checksums: directChecksums, fillerOf: () => rig.reader.filler() },
    });
  });

  afterEach(async () => {
    await store.close();
    await daemon.close();
    await rig.close();
  });

  /** A place for a block of the chain, that is really lent. */
  function place(): LentPlace {
    return rig.lend(100_000).place;
  }

  /** The save fails, soon and with that message; the client's hazards are all free and name nothing. */
  async function assertFails(
    answer: Answer,
    message: RegExp,
    saveMs: number = patientMs,
  ): Promise<void> {
    daemon.answer = answer;
    const startMs = performance.now();
    await assert.rejects(store.save(chain.blocks, { deadlineMs: saveMs }), (error: unknown) => {
      assert(error instanceof Error);
      assert.equal((error as Error & { code?: string }).code, 'UNAVAILABLE');
      assert.match(error.message, message);
      return true;
    });
    const ms = performance.now() - startMs;
    assert(ms < 10_000, `it took ${ms} ms`);
    assert(!daemon.heard.includes('filled'), daemon.heard.join());
    assert(!daemon.heard.includes('payload'), daemon.heard.join());
    // A reader that has closed gives its lock up when its last hazard is free.
    if (rig.reader.isOpen) assertHazardsFree();
    else assertLeft();
    const clients = await readFile(join(rig.directory, 'clients'));
    assert(
      clients.subarray(64, clientBytes).every((byte) => byte === 0),
      'no hazard names anything',
    );
  }

  function assertLeft(): void {
    const clients = rig.shared.open(join(rig.directory, 'clients'), 'read-write');
    assert.equal(clients.isLocked(0, clientBytes), false, 'its lock is given up');
    clients.close();
  }

  function assertHazardsFree(): void {
    const fillers: SharedFiller[] = [];
    for (let one = rig.reader.filler(); one !== undefined; one = rig.reader.filler())
      fillers.push(one);
    for (const one of fillers) one.end();
    assert.equal(fillers.length, hazardsMax);
  }

  it('fills what an honest one lends: the rig is right', async () => {
    const places = [place(), place(), place()];
    daemon.answer = [wanted, lent(...places.slice(0, 2)), lent(places[2])];
    daemon.savedBehind = 'filled';
    assert.equal((await store.save(chain.blocks, { deadlineMs: patientMs })).saved, 3);
    assertHazardsFree();
  });

  it('refuses more places than payloads are due', async () => {
    const message = /memory for 4 payloads is lent; that many are not due/;
    await assertFails([wanted, lent(place(), place(), place(), place())], message);
  });

  it('refuses places before it was said what is wanted', async () => {
    await assertFails([lent(place()), wanted], /memory for 1 payloads is lent/);
  });

  it('refuses places when it has sent the payloads unasked', async () => {
    const small = chainOf('hostile lender/small', 2, 1000);
    daemon.answer = [lent(place())];
    await assert.rejects(store.save(small.blocks, { deadlineMs: patientMs }), {
      ...{ code: 'UNAVAILABLE', message: /memory for 1 payloads is lent/ },
    });
    assertHazardsFree();
  });

  for (const [what, offsetIn] of [
    ['behind the end of its segment', (units: number) => units],
    ['so near its end that the payload does not fit', (units: number) => units - 1],
    ['at the largest offset that there is', () => 0xffffffff],
  ] as const) {
    it(`refuses a place ${what}`, async () => {
      const good = place();
      const { size } = await stat(join(rig.directory, 'segment-0'));
      const offset = offsetIn(size / offsetUnitBytes);
      await assertFails([wanted, lent({ ...good, offset })], /lies within its segment/);
    });
  }

  it('writes nothing to places whose stamp is another, and waits no longer than its deadline', async () => {
    const good = [place(), place(), place()];
    const segment = await readFile(join(rig.directory, 'segment-0'));
    const stale = good.map((one, at) =>
      at === 1 ? { ...one, salt: rigSalt + 1 } : { ...one, number: 77 },
    );
    await assertFails([wanted, lent(...stale)], /by the deadline of 250 ms/, deadlineMs);
    assert.equal(
      rig.reader.isOpen,
      false,
      'this memory may be of a daemon that died: it is looked for anew',
    );
    assert(segment.equals(await readFile(join(rig.directory, 'segment-0'))), 'nothing was written');
  });

  it('says of no group that it is filled behind one that is lent no more', async () => {
    const stale = { ...place(), number: 77 };
    const answer = [wanted, lent(stale), lent(place()), lent(place())];
    await assertFails(answer, /by the deadline/, deadlineMs);
  });

  it('leaves the memory of a daemon where a segment is not there, and pins nothing in it', async () => {
    daemon.answer = [wanted, lent({ ...place(), segment: 9 })];
    await assert.rejects(store.save(chain.blocks, { deadlineMs }), { code: 'UNAVAILABLE' });
    assert.equal(rig.reader.isOpen, false);
    assertLeft();
  });
});
