import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { seededRandom } from '../support/random.ts';
import { buildAbiTest, reportTests, runProgram, withoutTestCompiler } from './c-program.ts';
import type { ProgramEnd } from './c-program.ts';

/**
 * Goal: the store process of an engine starts, serves and ends with it, whatever the engine does or
 * suffers, and what it accepted is there for the next one.
 * Method: capi/test/library/test-embedded.c as the engine, with the store program of this build. What
 * must be seen from outside, its death, is done here.
 */
const skip = withoutTestCompiler();
const timeout = 180_000;

/** A machine that runs other tests is slow to end a process. */
const endMs = 30_000;

type Settings = Readonly<Record<string, string>>;

async function withHome(task: (settings: Settings, path: string) => Promise<void>): Promise<void> {
  const directory = await makeTemporaryDirectory('embedded');
  const { path } = directory;
  try {
    await task(
      {
        ...{
          HOME: path,
          WMBT_KV_RUNTIME_DIR: join(path, 'run'),
          WMBT_KV_PUFFER_RAM_BYTES: '16MiB',
        },
        // A machine that runs other tests may take longer than usual.
        WMBT_KV_LOOKUP_DEADLINE_MS: '8000',
      },
      path,
    );
  } finally {
    await directory.remove();
  }
}

/** The two processes of the line in which a program names them. */
function processesIn(lines: readonly string[]): {
  readonly engine: number;
  readonly store: number;
} {
  const found = lines.map((line) => /^engine (\d+) store (\d+)$/.exec(line)).find((one) => one);
  return { engine: Number(found?.[1]), store: Number(found?.[2]) };
}

/** One that has ended stays in the list until it is waited for, which is not our business. */
function isRunning(processId: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${processId}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

async function awaitEnd(processId: number): Promise<void> {
  assert.ok(processId > 0, 'the program named its processes');
  for (let waitedMs = 0; isRunning(processId); waitedMs += 20) {
    assert.ok(waitedMs < endMs, `process ${processId} stays behind`);
    await sleep(20);
  }
}

/** Runs a group and kills its engine at the first line that matches. */
async function killedAt(
  group: string,
  pattern: RegExp,
  environment: Settings,
): Promise<ProgramEnd> {
  const program = await buildAbiTest();
  const lines: string[] = [];
  const onLine = (line: string): undefined => {
    lines.push(line);
    if (pattern.test(line)) process.kill(processesIn(lines).engine, 'SIGKILL');
  };
  const end = await runProgram(program, [group], { environment, onLine });
  assert.equal(end.signal, 'SIGKILL', end.lines.concat(end.notes).join('\n'));
  return end;
}

test('a store of its own', { skip, timeout }, async (context) => {
  await withHome(async (environment) => {
    const end = await runProgram(await buildAbiTest(), ['embedded'], { environment });
    for (const line of end.lines.filter((one) => one.startsWith('note '))) context.diagnostic(line);
    await reportTests(context, end);
  });
});

test('a store of its own says why it shares no memory', { skip, timeout }, async () => {
  await withHome(async (environment) => {
    // More than any file system in memory has.
    const large = { ...environment, WMBT_KV_PUFFER_RAM_BYTES: String(2 ** 43) };
    const { notes } = await killedAt('held', /^held$/, large);
    assert.match(
      notes,
      /shared memory is not used: .*: it has \d+ bytes free, and the memory tier takes \d+/,
    );
    const usual = await killedAt('held', /^held$/, environment);
    assert.doesNotMatch(usual.notes, /shared memory/);
  });
});

test('a store of its own and forked children', { skip, timeout }, async (context) => {
  await withHome(async (environment) => {
    await reportTests(
      context,
      await runProgram(await buildAbiTest(), ['embedded-fork'], { environment }),
    );
  });
});

test(
  'the store process of an engine that is killed ends by itself',
  { skip, timeout },
  async () => {
    await withHome(async (environment, path) => {
      const { lines } = await killedAt('held', /^held$/, environment);
      await awaitEnd(processesIn(lines).store);
      assert.deepEqual(readdirSync(join(path, 'run')), [], 'sockets are left');
      const names = readdirSync(join(path, '.wombatkv/puffer'));
      assert.deepEqual(names, ['v1'], 'sockets are left in the cache directory');
    });
  },
);

test('a store whose engine is killed uploads what it had accepted', { skip, timeout }, async () => {
  await withHome(async (environment, path) => {
    const { lines } = await killedAt('saving', /^accepted 60$/, environment);
    const { store } = processesIn(lines);
    const accepted = lines.filter((line) => line.startsWith('accepted ')).length;
    assert.ok(accepted >= 60);
    await awaitEnd(store);
    // Nobody came after it: what is there it has brought there itself.
    const objects = readdirSync(join(path, '.wombatkv/objects'), { recursive: true });
    const blocks = objects.filter((name) => /\/block\/..\/[0-9a-f]{64}$/.test(String(name)));
    assert.ok(blocks.length >= 4 * accepted, `${blocks.length} objects of ${accepted} saves`);
  });
});

test(
  'an engine that is killed while it saves finds all that was accepted',
  { skip, timeout },
  async (context) => {
    await withHome((environment) => killAndFind(context, environment));
  },
);

test('it does so while its old store still uploads', { skip, timeout }, async (context) => {
  // A bucket that takes requests and never answers: the old store would wait for it for a minute.
  const sockets = new Set<Socket>();
  const bucket = createServer((socket) => sockets.add(socket.on('error', () => undefined)));
  await once(bucket.listen(0, '127.0.0.1'), 'listening');
  const { port } = bucket.address() as AddressInfo;
  try {
    await withHome(async (environment, path) => {
      await killAndFind(context, {
        ...environment,
        ...{ WMBT_KV_OBJECT_STORE: 's3://kv', WMBT_KV_S3_ENDPOINT: `http://127.0.0.1:${port}` },
        ...{ WMBT_KV_S3_ACCESS_KEY: 'key', WMBT_KV_S3_SECRET_KEY: 'secret' },
      });
      const places = readdirSync(join(path, '.wombatkv/puffer/v1'));
      assert.deepEqual(places, ['0'], 'the new store has the place of the old one');
    });
    assert.ok(sockets.size > 0, 'the bucket was asked');
  } finally {
    bucket.close();
    for (const socket of sockets) socket.destroy();
  }
});

/** Kills an engine as it saves, and starts it again at once. Left alone, the first store would drain for longer than is waited. */
async function killAndFind(context: TestContext, environment: Settings): Promise<void> {
  const seed = `${process.pid}`;
  context.diagnostic(`seed ${seed}`);
  const last = 5 + seededRandom(seed).below(40);
  const killed = await killedAt('saving', new RegExp(`^accepted ${last}$`), {
    ...environment,
    WMBT_KV_DAEMON_SHUTDOWN_DRAIN_TIMEOUT_SECS: '60',
  });
  const accepted = killed.lines.filter((line) => line.startsWith('accepted ')).length;
  assert.ok(accepted >= last);
  const end = await runProgram(await buildAbiTest(), ['accepted'], {
    environment: {
      ...environment,
      ...{ WMBT_TEST_ACCEPTED: `${accepted}`, WMBT_KV_DAEMON_SHUTDOWN_DRAIN_TIMEOUT_SECS: '1' },
    },
  });
  await reportTests(context, end);
  await awaitEnd(processesIn(end.lines).store);
  await awaitEnd(processesIn(killed.lines).store);
}
