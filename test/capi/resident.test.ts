import assert from 'node:assert/strict';
import { copyFile, mkdir } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import { FrameRelay } from '../support/frame-relay.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { FrameType } from '../../src/protocol/frame-types.ts';
import { buildAbiTest, reportTests, runProgram, withoutTestCompiler } from './c-program.ts';
import type { ProgramEnd } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';

/**
 * Goal: what a get of the C library brings into the daemon's memory is borrowed there and does not go over the socket, and
 * a daemon that says wrong things of it harms nobody. Method: the real library and daemon, which begins anew so that the
 * blocks are on its disk alone, and a relay between the two that counts, or changes what the daemon says.
 */
const skip = withoutTestCompiler() || withoutNative();

interface Get {
  readonly end: ProgramEnd;
  /** Messages of the daemon by their type. */
  readonly sent: ReadonlyMap<FrameType, number>;
  /** Calls that load. */
  readonly loads: number;
}

interface GetOptions {
  /** Groups of the program: 8 blocks of 1 MiB, or two tails, of which one is raw, of as much each. Blocks when absent. */
  readonly groups?: readonly [put: string, get: string];
  /** Bytes of the daemon's memory, as a setting; `64MiB` when absent. */
  readonly memory?: string;
  /** What becomes of a message that says what lies in memory. */
  readonly alterResident?: (body: Uint8Array) => Uint8Array;
  readonly isBorrowed: boolean;
}

const tails = ['put-tails', 'get-tails'] as const;
const isResident = (type: FrameType): boolean => type === 'resident' || type === 'resident-tail';

/** One program puts; behind a restart of the daemon another gets. */
async function get({
  groups: [putGroup, getGroup] = ['one-put', 'one-get'],
  memory = '64MiB',
  alterResident,
  isBorrowed,
}: GetOptions): Promise<Get> {
  const program = await buildAbiTest();
  const home = await startDaemonHome({ memory });
  const directory = await makeTemporaryDirectory('relay');
  try {
    const put = await runProgram(program, [putGroup], { environment: home.unix });
    assert.equal(put.status, 0, put.lines.join('\n'));
    await home.daemon().stop();
    await home.restart();
    const daemon = `${home.unix['WMBT_KV_RUNTIME_DIR']}/capi.sock`;
    const run = `${directory.path}/run`;
    await mkdir(run, { mode: 0o700 });
    const path = `${run}/capi.sock`;
    // Clients find the memory beside the socket that they connect to.
    await copyFile(`${daemon}.shm`, `${path}.shm`);
    const sent = new Map<FrameType, number>();
    const relay = await FrameRelay.open({
      ...{ path, daemon },
      alter: (type, body) => {
        sent.set(type, (sent.get(type) ?? 0) + 1);
        return isResident(type) && alterResident ? alterResident(body) : body;
      },
    });
    try {
      const borrowed = isBorrowed ? { WMBT_TEST_BORROWED: '1' } : {};
      const environment = { ...home.unix, WMBT_KV_RUNTIME_DIR: run, ...borrowed };
      const end = await runProgram(program, [getGroup], { environment });
      const calls = ['load', 'load-tail', 'load-raw-tail', 'borrow-raw-tail'] as const;
      const loads = calls.reduce((sum, type) => sum + (relay.received.get(type) ?? 0), 0);
      return { end, sent, loads };
    } finally {
      await relay.close();
    }
  } finally {
    await home.close();
    await directory.remove();
  }
}

describe('a get of the C library of what is not in shared memory', { skip }, () => {
  it('is borrowed there when it has been brought, and not sent', async (context) => {
    const { end, sent, loads } = await get({ isBorrowed: true });
    await reportTests(context, end);
    assert((sent.get('resident') ?? 0) >= 1);
    assert.equal(sent.get('payload'), undefined);
    assert.equal(loads, 1);
  });

  it('is sent where the daemon has too little memory', async (context) => {
    const { end, sent } = await get({ memory: '4MiB', isBorrowed: false });
    await reportTests(context, end);
    assert((sent.get('payload') ?? 0) > 0);
  });

  const wrongs: readonly (readonly [string, (body: Uint8Array) => Uint8Array])[] = [
    ['that nothing lies there', () => new Uint8Array(4)],
    [
      'that more lie there than were asked for',
      () => Uint8Array.of(200, 0, 0, 0, ...Array(200).fill(0)),
    ],
    ['less than it announces', (body) => body.subarray(0, body.length - 1)],
    [
      'a tier that there is not',
      (body) => Uint8Array.from(body, (byte, at) => (at < 4 ? byte : 3)),
    ],
  ];
  for (const [what, alterResident] of wrongs) {
    it(`is made again, over the socket, when the daemon says ${what}`, async (context) => {
      const { end, sent, loads } = await get({ alterResident, isBorrowed: false });
      await reportTests(context, end);
      assert.equal(loads, 2);
      assert((sent.get('payload') ?? 0) > 0);
    });
  }
});

describe('a load of tails by the C library which only the daemon can answer', { skip }, () => {
  it('is borrowed, and not sent', async (context) => {
    const { end, sent, loads } = await get({ groups: tails, isBorrowed: true });
    await reportTests(context, end);
    assert.deepEqual([sent.get('resident-tail'), sent.get('payload'), loads], [2, undefined, 2]);
  });

  it('is sent where the daemon has too little memory', async (context) => {
    const { end, sent, loads } = await get({ groups: tails, memory: '512KiB', isBorrowed: false });
    await reportTests(context, end);
    assert.deepEqual([sent.get('resident-tail'), sent.get('payload'), loads], [undefined, 2, 2]);
  });

  const wrongs: readonly (readonly [string, (body: Uint8Array) => Uint8Array])[] = [
    ['of more tokens than were asked for', () => Uint8Array.of(200, 0, 0, 0, 1)],
    ['of so many tokens as no tail has', () => Uint8Array.of(3, 0, 0, 0, 1)],
    ['with less than it announces', (body) => body.subarray(0, body.length - 1)],
    ['from a tier that there is not', (body) => Uint8Array.of(...body.subarray(0, 4), 3)],
  ];
  for (const [what, alterResident] of wrongs) {
    it(`is made again, over the socket, when the daemon tells ${what}`, async (context) => {
      const { end, sent, loads } = await get({ groups: tails, alterResident, isBorrowed: false });
      await reportTests(context, end);
      // What the first attempt met the second load heeds.
      assert.deepEqual([sent.get('resident-tail'), sent.get('payload'), loads], [1, 2, 3]);
    });
  }
});
