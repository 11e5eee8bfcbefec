import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { BucketRound } from '../support/bucket-child.ts';
import { CredentialPlaces } from '../support/credential-places.ts';
import type { CredentialPlace, GivenCredentials } from '../support/credential-places.ts';
import { S3Server } from '../support/s3-server/s3-server.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';

const child = fileURLToPath(new URL('../support/bucket-child.js', import.meta.url));
const minute = 60_000;

// Goal: what docs/OBJECT-STORES.md says of credentials holds with AWS's own package, as a program has it that finds nothing else.
// Method: processes of their own, for the chain looks at the environment of its process; servers here for the places that it asks;
// and a strict S3 server, which takes only requests that are signed with what was given, its session token included.
describe('credentials that @aws-sdk/credential-providers finds', () => {
  let directory: TemporaryDirectory;
  let places: CredentialPlaces;
  let server: S3Server;
  const running: ChildProcess[] = [];
  let given = 0;

  before(async () => {
    directory = await makeTemporaryDirectory('credentials');
    places = await CredentialPlaces.start(directory.path);
    server = await S3Server.start();
  });
  after(async () => {
    await server.close();
    await places.close();
    await directory.remove();
  });
  beforeEach(() => {
    places.asked.length = 0;
    server.requests.length = 0;
    server.skewMs = 0;
  });
  afterEach(async () => {
    for (const one of running.splice(0)) {
      const ended = once(one, 'exit');
      one.disconnect();
      await ended;
    }
  });

  /** Others than before, which alone the server takes from now on, and which the place gives. */
  const giveOthers = (expiresMs: number): GivenCredentials => {
    given += 1;
    const pair = { accessKey: `AKIAWOMBAT${given}`, secretKey: `secret/${given}+=` };
    const fresh = { ...pair, sessionToken: `token/${given}+=`, expiresMs };
    places.given = fresh;
    server.identity = { ...server.identity, ...pair, sessionToken: fresh.sessionToken };
    return fresh;
  };

  /** A process with the bucket open, and with nothing in its environment but this. */
  const start = (environment: Readonly<Record<string, string>>): ChildProcess => {
    const settings = { WMBT_KV_BUCKET: 'wombat', WMBT_KV_S3_ENDPOINT: server.endpoint };
    const path = process.env['PATH'] ?? '';
    const one = fork(child, { env: { PATH: path, ...settings, ...environment }, execArgv: [] });
    running.push(one);
    return one;
  };

  const roundOf = async (one: ChildProcess, aheadMs = 0): Promise<BucketRound> => {
    const told = once(one, 'message', { signal: AbortSignal.timeout(60_000) });
    one.send(aheadMs);
    const [round] = (await told) as [BucketRound];
    return round;
  };

  const assertDone = async (one: ChildProcess, aheadMs = 0): Promise<void> =>
    assert.deepEqual(await roundOf(one, aheadMs), { outcome: 'done', message: '' });

  const everywhere: readonly CredentialPlace[] = [
    'profile',
    'process',
    'web-identity',
    'sso',
    'container',
    'machine',
  ];
  for (const place of everywhere) {
    it(`come from the place “${place}”, with their session token, and are fetched once`, async () => {
      giveOthers(Date.now() + 60 * minute);
      const one = start(await places.setUp(place));
      await assertDone(one);
      await assertDone(one);
      assert.equal(server.requests.length, 4, 'no request was refused');
      assert.deepEqual(places.asked, place === 'profile' ? [] : [place]);
    });
  }

  for (const place of ['process', 'web-identity', 'container'] as const) {
    it(`of the place “${place}” are fetched anew five minutes before they end`, async () => {
      const endMs = Date.now() + 60 * minute;
      giveOthers(endMs);
      const one = start(await places.setUp(place));
      await assertDone(one);
      server.skewMs = 54 * minute;
      await assertDone(one, server.skewMs);
      assert.equal(places.asked.length, 1, 'six minutes before');
      giveOthers(endMs + 60 * minute);
      server.skewMs = 56 * minute;
      await assertDone(one, server.skewMs);
      assert.equal(places.asked.length, 2, 'four minutes before');
      await assertDone(one, server.skewMs);
      assert.equal(places.asked.length, 2);
      assert.equal(server.requests.length, 8, 'no request was refused');
    });
  }

  it('are used to their end when there are no others, and are then UNAVAILABLE', async () => {
    const endMs = Date.now() + 60 * minute;
    const { secretKey, sessionToken } = giveOthers(endMs);
    const one = start(await places.setUp('container'));
    await assertDone(one);
    places.given = undefined;
    server.skewMs = 57 * minute;
    await assertDone(one, server.skewMs);
    server.skewMs = 61 * minute;
    const before = server.requests.length;
    const { outcome, code, message } = await roundOf(one, server.skewMs);
    assert.deepEqual([outcome, code], ['failed', 'UNAVAILABLE']);
    assert.match(message, /no S3 credentials: /);
    for (const secret of [secretKey, sessionToken]) assert.ok(!message.includes(secret), message);
    assert.equal(server.requests.length, before, 'nothing is sent with what has ended');
  });

  it('are fetched anew when the server calls their token ended before its time', async () => {
    const old = giveOthers(Date.now() + 60 * minute);
    const one = start(await places.setUp('container'));
    await assertDone(one);
    const fresh = { ...old, sessionToken: `${old.sessionToken} again` };
    places.given = fresh;
    const { sessionToken } = fresh;
    server.identity = { ...server.identity, sessionToken, expiredTokens: [old.sessionToken] };
    server.requests.length = 0;
    await assertDone(one);
    assert.equal(server.requests.length, 3, 'one request was refused');
    assert.equal(places.asked.length, 2);
  });

  it('are not looked for when settings or variables have any', async () => {
    const { accessKey, secretKey, sessionToken } = giveOthers(Date.now() + 60 * minute);
    const chain = await places.setUp('container');
    const variables = {
      AWS_ACCESS_KEY_ID: accessKey,
      AWS_SECRET_ACCESS_KEY: secretKey,
      AWS_SESSION_TOKEN: sessionToken,
    };
    await assertDone(start({ ...chain, ...variables }));
    assert.deepEqual(places.asked, []);
    // Those of the settings come before both, and have no token.
    server.identity = {
      ...server.identity,
      accessKey: 'test',
      secretKey: 'testtest',
      sessionToken: undefined,
    };
    const own = { WMBT_KV_S3_ACCESS_KEY: 'test', WMBT_KV_S3_SECRET_KEY: 'testtest' };
    await assertDone(start({ ...chain, ...variables, ...own }));
    assert.deepEqual(places.asked, []);
  });

  it('that are nowhere are UNAVAILABLE, and nothing is sent', async () => {
    const { AWS_PROFILE: _, AWS_CONFIG_FILE: __, ...nothing } = await places.setUp('process');
    const { outcome, code, message } = await roundOf(start(nothing));
    assert.deepEqual([outcome, code], ['failed', 'UNAVAILABLE']);
    assert.match(message, /no S3 credentials: .*Could not load credentials from any providers/);
    assert.equal(server.requests.length, 0);
  });
});
