import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openStore } from '../../src/open-store.ts';
import { chainOf } from '../support/chains.ts';
import { faultsInTurn } from '../support/s3-server/server-faults.ts';
import { S3Server } from '../support/s3-server/s3-server.ts';
import { testCertificate } from '../support/s3-server/test-certificate.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCli } from './run-cli.ts';
import type { CliResult } from './run-cli.ts';

const secretKey = 'hunter2-secret';

/** A chain of three blocks in a bucket behind TLS, with a certificate that only settings trust. */
describe('the commands on a bucket', () => {
  const chain = chainOf('bucket commands', 3);
  let server: S3Server;
  let directory: TemporaryDirectory;
  let environment: Readonly<Record<string, string>>;

  before(async () => {
    server = await S3Server.start({ secretKey, tls: testCertificate });
    directory = await makeTemporaryDirectory('bucket-commands');
    const caFile = join(directory.path, 'ca.pem');
    await writeFile(caFile, testCertificate.cert);
    environment = {
      WMBT_KV_BUCKET: 'wombat',
      WMBT_KV_S3_ENDPOINT: server.endpoint,
      WMBT_KV_S3_ACCESS_KEY: 'test',
      WMBT_KV_S3_SECRET_KEY: secretKey,
      WMBT_KV_S3_CA_FILE: caFile,
    };
    const store = await openStore({
      ...{ bucket: 'wombat', s3Endpoint: server.endpoint, s3CaFile: caFile },
      ...{ s3AccessKey: 'test', s3SecretKey: secretKey, cacheDirectory: false },
    });
    await store.save(chain.blocks, { durable: true });
    await store.close();
  });
  after(async () => {
    await server.close();
    await directory.remove();
  });

  const run = async (args: readonly string[], more = {}): Promise<CliResult> => {
    const result = await runCli(args, {
      home: directory.path,
      environment: { ...environment, ...more },
    });
    assert.doesNotMatch(result.stdout + result.stderr, new RegExp(secretKey));
    return result;
  };

  it('ls and inspect show what is in it', async () => {
    const listed = await run(['ls', '--json']);
    assert.equal(listed.exitCode, 0, listed.stderr);
    const { objectStore, objects } = JSON.parse(listed.stdout);
    assert.equal(objectStore, `s3://wombat?endpoint=${server.endpoint}`);
    assert.equal(objects.length, 3);
    const inspected = await run(['inspect', chain.keys[1]]);
    assert.equal(inspected.exitCode, 0, inspected.stderr);
    assert.match(inspected.stdout, new RegExp(chain.keys[1]));
  });

  it('status shows it, and no key', async () => {
    const { exitCode, stdout, stderr } = await run(['status', '--json']);
    assert.equal(exitCode, 0, stderr);
    const { settings, objectStore } = JSON.parse(stdout);
    assert.equal(settings.s3SecretKey, '(not shown)');
    assert.equal(objectStore.isReachable, true);
    assert.equal(objectStore.namespaces[0].objects, 3);
    assert.equal((await run(['status'])).exitCode, 0);
    assert.equal((await run(['config'])).exitCode, 0);
  });

  it('status tells what is stored and what its own look cost, at prices that can be set', async () => {
    const { stdout } = await run(['status', '--prices', 'write=1000,read=0,storage=1']);
    assert.match(
      stdout,
      /^ {2}stored +less than \$0\.0001 a month for what is stored, at \$1 a GiB$/m,
    );
    assert.match(stdout, /^ {2}this look +\$1\.00$/m, 'one listing');
    const { cost } = JSON.parse((await run(['status', '--json'])).stdout);
    assert.deepEqual(cost.prices, { write: 0.005, read: 0.0004, storage: 0.023 });
    assert.equal(cost.thisLook, 0.000005);
    assert.doesNotMatch((await run(['status', '--prices', 'off'])).stdout, /Cost/);
  });

  // The rights of a bucket are often mended after the first save: nothing may be lost until then.
  it('status and statistics show uploads that the server refuses with 403, and that wait', async () => {
    const cacheDirectory = join(directory.path, 'refused-cache');
    const { blocks, byteLength } = chainOf('refused upload', 2);
    server.faults = ({ method }) =>
      method === 'PUT' ? { kind: 'refuse', status: 403, code: 'AccessDenied' } : undefined;
    const store = await openStore({
      ...{
        bucket: 'wombat',
        s3Endpoint: server.endpoint,
        s3CaFile: join(directory.path, 'ca.pem'),
      },
      ...{ s3AccessKey: 'test', s3SecretKey: secretKey, cacheDirectory },
    });
    try {
      await store.save(blocks);
      await assert.rejects(store.flush(), /AccessDenied \(status 403\)/);
      const { pending, pendingBytes, uploadFailures, lastFailure, object } = await store.stats();
      assert.deepEqual([pending, pendingBytes], [2, byteLength]);
      assert.ok(uploadFailures >= 1);
      assert.match(lastFailure ?? '', /AccessDenied \(status 403\)/);
      const { put, list } = object.requests;
      assert.equal(
        object.billed.write,
        put + list,
        'a refused put is billed, once, and so is a list',
      );
      const { stdout } = await run(['status', '--cache-directory', cacheDirectory]);
      assert.match(stdout, /^ +0 .* 2 payloads, 2 KiB +– +0 +in use/m);
      server.faults = () => undefined;
      await store.flush();
      const after = await run(['status', '--cache-directory', cacheDirectory]);
      assert.match(after.stdout, /^ +0 .* – +0 +in use/m);
    } finally {
      server.faults = () => undefined;
      await store.close();
    }
  });

  it('--store names another prefix of the server, which is empty', async () => {
    const { exitCode, stdout, stderr } = await run([
      'ls',
      '--json',
      '--store',
      's3://wombat/other',
    ]);
    assert.equal(exitCode, 0, stderr);
    assert.deepEqual(JSON.parse(stdout).objects, []);
  });

  it('say what is wrong with a server, and exit with 1', async () => {
    const untrusted = await run(['status'], { WMBT_KV_S3_CA_FILE: '' });
    assert.equal(untrusted.exitCode, 1);
    assert.match(untrusted.stdout.replaceAll(/\s+/g, ' '), /self-signed certificate/);
    const refused = { kind: 'refuse', status: 403, code: 'AccessDenied' } as const;
    server.faults = faultsInTurn('GET', [refused]);
    const forbidden = await run(['ls']);
    assert.equal(forbidden.exitCode, 1);
    assert.match(forbidden.stderr, /AccessDenied \(status 403\)/);
  });

  it('exit with 2 for settings that cannot be', async () => {
    const wrong: readonly (readonly [Readonly<Record<string, string>>, RegExp])[] = [
      [{ WMBT_KV_S3_SECRET_KEY: '' }, /both, or neither/],
      [{ WMBT_KV_BUCKET: '' }, /nothing names a bucket/],
      [{ WMBT_KV_S3_CA_FILE: '/nowhere' }, /WMBT_KV_S3_CA_FILE: \/nowhere cannot be read/],
    ];
    for (const [more, message] of wrong) {
      const { exitCode, stderr } = await run(['ls'], more);
      assert.equal(exitCode, 2, stderr);
      assert.match(stderr, message);
    }
  });
});
