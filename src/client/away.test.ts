import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isStoreError, StoreError } from '../base/errors.ts';
import type { KvStore } from '../blocks/kv-store.ts';
import { defaultNamespaceName, parseNamespace } from '../blocks/namespace.ts';
import { directChecksums } from '../platform/checksums.ts';
import { processMemory } from '../platform/payload-memory.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import type { SocketConnection, Sockets } from '../platform/sockets.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { chainOf } from '../../test/support/chains.ts';
import { HttpClientStore } from './http-client-store.ts';
import { RemotePeer } from './remote-peer.ts';
import { RemoteStore } from './remote-store.ts';

/** What the contract promises, and the longest that a first attempt may take. */
const missMsMax = 50;
const firstMsMax = 10_000;
const { keys } = chainOf('away', 3);
const { random } = nodePlatform();

/** Longer than a call waits for a daemon that is away, shorter than for a server that takes connections again. */
const handshakeMs = 150;

/**
 * `refuses`: at once. `is silent`: attempts wait for ever, as with a host that was switched off. `shakes hands`: somebody
 * takes connections, needs a while to come to terms, and is no daemon.
 */
type Death = 'refuses' | 'is silent' | 'shakes hands';

/** A network behind which no daemon is. */
class DeadNetwork implements Sockets {
  attempts = 0;
  kind: Death;
  readonly #clock: ManualClock;

  constructor(kind: Death, clock: ManualClock) {
    this.kind = kind;
    this.#clock = clock;
  }

  connect(
    _address: unknown,
    { timeoutMs, signal, onReached }: Parameters<Sockets['connect']>[1],
  ): Promise<SocketConnection> {
    this.attempts += 1;
    if (this.kind === 'shakes hands') {
      onReached?.();
      return this.#clock.sleep(handshakeMs, signal).then(() => {
        throw new StoreError('ABORTED', 'no terms');
      });
    }
    if (this.kind === 'refuses') {
      return Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
    }
    return this.#clock.sleep(timeoutMs, signal).then(() => {
      throw new StoreError('ABORTED', `no connection within ${timeoutMs} ms`);
    });
  }

  listen(): Promise<never> {
    throw new RangeError('nobody listens here');
  }

  resolve(host: string): Promise<readonly string[]> {
    return Promise.resolve([host]);
  }
}

type Client = 'the protocol' | 'HTTP';

function clientOf(client: Client, sockets: Sockets, clock: ManualClock): KvStore {
  const namespace = parseNamespace(defaultNamespaceName);
  if (client === 'HTTP') {
    const platform = { clock, random, sockets, memory: processMemory };
    return new HttpClientStore({ platform, host: 'away', port: 1 });
  }
  const address = { kind: 'tcp', host: 'away', port: 1 } as const;
  const machine = { sockets, clock, random, memory: processMemory };
  const peer = new RemotePeer({ ...machine, address, token: '', agent: 'test' });
  const reads = { lookupMs: 10_000, loadMs: 10_000, tailMs: 10_000 };
  const deadlines = { ...reads, saveMs: 10_000, deleteMs: 10_000 };
  const parts = { peer, clock, memory: processMemory, namespace, deadlines };
  return new RemoteStore({ ...parts, checksums: directChecksums });
}

/** Simulated milliseconds until the call fails as it should. */
async function msUntilMiss(
  call: () => Promise<unknown>,
  clock: ManualClock,
  mostMs: number,
): Promise<number> {
  const startMs = clock.nowMs();
  let failure: unknown;
  const settled = call().catch((error: unknown) => {
    failure = error;
  });
  for (let ms = 0; ms < mostMs && failure === undefined; ms += 1) {
    // Everything that is ready comes to rest before time goes on.
    for (let turn = 0; turn < 5; turn += 1) await clock.yield();
    if (failure === undefined) clock.advance(1);
  }
  assert.ok(isStoreError(failure, 'UNAVAILABLE'), `${String(failure)} within ${mostMs} ms`);
  await settled;
  return clock.nowMs() - startMs;
}

for (const client of ['the protocol', 'HTTP'] as const) {
  for (const kind of ['refuses', 'is silent'] as const) {
    describe(`a client of ${client} whose network ${kind}`, () => {
      it(`fails within ${missMsMax} ms after its first failure, time and again`, async () => {
        const clock = new ManualClock();
        const sockets = new DeadNetwork(kind, clock);
        const store = clientOf(client, sockets, clock);
        await msUntilMiss(() => store.lookup(keys), clock, firstMsMax);
        for (let call = 0; call < 20; call += 1) {
          const ms = await msUntilMiss(() => store.load(keys), clock, firstMsMax);
          assert.ok(ms <= missMsMax, `call ${call} failed after ${ms} ms`);
          clock.advance(7 * call);
        }
        await store.close();
      });

      it('does not try to connect more often than every few milliseconds', async () => {
        const clock = new ManualClock();
        const sockets = new DeadNetwork(kind, clock);
        const store = clientOf(client, sockets, clock);
        await msUntilMiss(() => store.lookup(keys), clock, firstMsMax);
        const before = sockets.attempts;
        const startMs = clock.nowMs();
        while (clock.nowMs() - startMs < 1000) {
          const calls = Array.from({ length: 10 }, () =>
            msUntilMiss(() => store.lookup(keys), clock, firstMsMax),
          );
          await Promise.all(calls);
        }
        const perSecond = sockets.attempts - before;
        assert.ok(perSecond <= 250, `${perSecond} attempts in a second`);
        await store.close();
      });
    });
  }
}

for (const client of ['the protocol', 'HTTP'] as const) {
  it(`a client of ${client} waits for the handshake of a daemon that takes connections again`, async () => {
    const clock = new ManualClock();
    const sockets = new DeadNetwork('refuses', clock);
    const store = clientOf(client, sockets, clock);
    await msUntilMiss(() => store.lookup(keys), clock, firstMsMax);
    sockets.kind = 'shakes hands';
    const ms = await msUntilMiss(() => store.lookup(keys), clock, firstMsMax);
    assert.ok(ms >= handshakeMs, `the call failed after ${ms} ms`);
    await store.close();
  });
}
