import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isStoreError } from '../../src/base/errors.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { connect } from '../../src/client/connect.ts';
import { DaemonProcess } from '../cli/daemon-process.ts';
import { chainOf } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { makeHost } from '../support/network-hosts.ts';
import type { NetworkHost } from '../support/network-hosts.ts';
import { S3Server } from '../support/s3-server/s3-server.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';

interface Host {
  readonly network: NetworkHost;
  readonly daemon: DaemonProcess;
  readonly url: string;
}

const cleanUps: (() => Promise<unknown> | void)[] = [];
let bucket: S3Server;
let hosts: readonly Host[] = [];

before(async () => {
  const directory = await makeTemporaryDirectory('two-hosts');
  cleanUps.push(() => directory.remove());
  const networks = [1, 2].map((number) => {
    const network = makeHost(number);
    cleanUps.push(() => network.remove());
    return network;
  });
  bucket = await S3Server.start({ listenAt: '0.0.0.0' });
  cleanUps.push(() => bucket.close());
  writeFileSync(`${directory.path}/tokens`, 'two-hosts-token\n', { mode: 0o600 });
  hosts = await Promise.all(
    networks.map(async (network, at) => {
      const home = `${directory.path}/host-${at}`;
      const daemon = new DaemonProcess(
        ['--tcp', `${network.there}:7700`],
        {
          HOME: home,
          WMBT_KV_RUNTIME_DIR: `${home}/run`,
          WMBT_KV_OBJECT_STORE: `s3://wombat?endpoint=http://${network.here}:${bucket.port}`,
          WMBT_KV_S3_ACCESS_KEY: 'test',
          WMBT_KV_S3_SECRET_KEY: 'testtest',
          WMBT_KV_TOKEN_FILE: `${directory.path}/tokens`,
          WMBT_KV_DAEMON_SHUTDOWN_DRAIN_TIMEOUT_SECS: '2',
        },
        { through: network.through },
      );
      cleanUps.push(() => daemon.stop('SIGKILL'));
      const [url] = await daemon.ready();
      return { network, daemon, url };
    }),
  );
});

after(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function join({ url }: Host): Promise<KvStore> {
  const client = await connect(url, { token: 'two-hosts-token' });
  cleanUps.push(() => client.close());
  return client;
}

async function assertLoads(store: KvStore, chain: Chain): Promise<void> {
  const borrow = await store.load(chain.keys, { deadlineMs: 30_000 });
  assert.equal(borrow.blocks.length, chain.blocks.length, borrow.reason);
  borrow.blocks.forEach(({ payload }, at) => {
    assert.ok(Buffer.from(payload).equals(chain.blocks[at].payload));
  });
  borrow.release();
}

describe('two daemons on two hosts with one bucket', () => {
  it('find what the other made durable', async () => {
    const [one, other] = await Promise.all(hosts.map(join));
    const chain = chainOf('two-hosts', 40, 100_000);
    await one.save(chain.blocks, { durable: true });
    assert.equal((await other.lookup(chain.keys, { deadlineMs: 5000 })).matched, 40);
    await assertLoads(other, chain);
    const second = chainOf('two-hosts/back', 8, 100_000);
    await other.save(second.blocks, { durable: true });
    assert.equal((await one.lookup(second.keys, { deadlineMs: 5000 })).matched, 8);
    await assertLoads(one, second);
  });

  it('go on by themselves after the link to a client was cut in mid-batch', async (context) => {
    const [host] = hosts;
    const client = await join(host);
    for (const call of ['save', 'load'] as const) {
      const chain = chainOf(`two-hosts/cut-${call}`, 64, 1_000_000);
      if (call === 'load') await client.save(chain.blocks);
      const running =
        call === 'save'
          ? client.save(chain.blocks, { deadlineMs: 1500 })
          : client.load(chain.keys, { deadlineMs: 1500 });
      const ended = running.then(
        (result) => ('blocks' in result ? result.blocks.length : result.saved),
        (error: unknown) => error,
      );
      await sleep(20);
      host.network.setLink('down');
      const startMs = performance.now();
      const outcome = await ended;
      const tookMs = performance.now() - startMs;
      const isPart = typeof outcome === 'number' && outcome < 64;
      assert.ok(isPart || isStoreError(outcome, 'UNAVAILABLE'), `${call}: ${String(outcome)}`);
      assert.ok(tookMs < 3000, `${call} ended ${tookMs} ms after the cut`);
      host.network.setLink('up');
      const upMs = performance.now();
      await client.save(chain.blocks, { deadlineMs: 30_000 });
      const nextMs = Math.round(performance.now() - upMs);
      context.diagnostic(`${call}: cut in mid-batch; the next call took ${nextMs} ms`);
      await assertLoads(client, chain);
    }
  });

  it('go on by themselves after the link to the bucket was cut in mid-batch', async (context) => {
    const [one, host] = hosts;
    const writer = await join(one);
    const chain = chainOf('two-hosts/far', 64, 500_000);
    await writer.save(chain.blocks, { durable: true, deadlineMs: 30_000 });
    // Asked from within its own network: the same link leads to client and bucket.
    const answers = bucket.requests.length;
    const client = await join(host);
    const running = client.load(chain.keys, { deadlineMs: 2000 }).then(
      (borrow) => {
        borrow.release();
        return borrow.blocks.length;
      },
      (error: unknown) => error,
    );
    while (bucket.requests.length < answers + 8) await sleep(1);
    host.network.setLink('down');
    const outcome = await running;
    const isPart = typeof outcome === 'number' && outcome < 64;
    assert.ok(isPart || isStoreError(outcome, 'UNAVAILABLE'), String(outcome));
    host.network.setLink('up');
    const upMs = performance.now();
    await assertLoads(client, chain);
    context.diagnostic(`the next load took ${Math.round(performance.now() - upMs)} ms`);
  });

  it('stop in order', async () => {
    for (const { daemon } of hosts) assert.equal(await daemon.stop(), 0);
  });
});
