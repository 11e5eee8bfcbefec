import assert from 'node:assert/strict';
import { copyFile, mkdir } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { concatBytes } from '../../src/base/bytes.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { FrameRelay } from '../support/frame-relay.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { buildAbiTest, reportTests, runProgram, withoutTestCompiler } from './c-program.ts';
import type { ProgramEnd } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';

/**
 * Goal: a put of the C library over shared memory moves no payload over the socket, and whatever a daemon says of memory
 * that it lends, the library writes nowhere else. Method: the real library and daemon, and a relay between the two
 * that counts, or changes what the daemon lends.
 */
const skip = withoutTestCompiler() || withoutNative();
const mib = 1024 * 1024;

interface Put {
  readonly end: ProgramEnd;
  readonly sentBytes: number;
  /** Messages that said memory to be filled. */
  readonly filled: number;
  /** Calls of the save. */
  readonly saves: number;
}

interface PutOptions {
  /** Bytes of the daemon's memory, as a setting; `64MiB` when absent. */
  readonly memory?: string;
  readonly alterLent?: (body: Uint8Array) => Uint8Array;
  readonly variables?: Readonly<Record<string, string>>;
}

/** One program puts 8 blocks of 1 MiB, and gets them. */
async function put({ memory = '64MiB', alterLent, variables }: PutOptions = {}): Promise<Put> {
  const program = await buildAbiTest();
  const home = await startDaemonHome({ memory });
  const directory = await makeTemporaryDirectory('relay');
  try {
    const daemon = `${home.unix['WMBT_KV_RUNTIME_DIR']}/capi.sock`;
    const run = `${directory.path}/run`;
    await mkdir(run, { mode: 0o700 });
    const path = `${run}/capi.sock`;
    // Clients find the memory beside the socket that they connect to.
    await copyFile(`${daemon}.shm`, `${path}.shm`);
    const relay = await FrameRelay.open({
      ...{ path, daemon },
      alter: (type, body) => (type === 'lent' && alterLent ? alterLent(body) : body),
    });
    try {
      const environment = { ...home.unix, WMBT_KV_RUNTIME_DIR: run, ...variables };
      const end = await runProgram(program, ['one-put'], { environment });
      const { receivedBytes: sentBytes, received } = relay;
      return {
        ...{ end, sentBytes },
        ...{ filled: received.get('filled') ?? 0, saves: received.get('save') ?? 0 },
      };
    } finally {
      await relay.close();
    }
  } finally {
    await home.close();
    await directory.remove();
  }
}

/** The first place with other words. */
function placeWith(words: Readonly<Record<number, number>>): (body: Uint8Array) => Uint8Array {
  return (body) => {
    const changed = Uint8Array.from(body);
    const view = new DataView(changed.buffer);
    for (const [at, value] of Object.entries(words)) {
      view.setUint32(4 + 4 * Number(at), value, true);
    }
    return changed;
  };
}

function withCount(count: number, places: Uint8Array): Uint8Array {
  return concatBytes([new Uint8Array(Uint32Array.of(count).buffer), places]);
}

describe('a put of the C library over shared memory', { skip }, () => {
  it('moves no payload over the socket', async (context) => {
    const { end, sentBytes, filled, saves } = await put();
    await reportTests(context, end);
    assert(sentBytes < 64 * 1024, `${sentBytes} bytes went over the socket`);
    assert(filled >= 1 && saves === 1);
  });

  it('goes over the socket where the daemon lends too little', async (context) => {
    const { end, sentBytes, filled } = await put({ memory: '4MiB' });
    await reportTests(context, end);
    assert(sentBytes > 8 * mib && filled === 0, `${sentBytes} bytes went over the socket`);
  });

  const wrongs: readonly (readonly [string, (body: Uint8Array) => Uint8Array])[] = [
    ['no place', () => withCount(0, new Uint8Array(0))],
    [
      'more places than payloads are due',
      (body) => {
        const places = body.subarray(4);
        return withCount(16, concatBytes([places, places]));
      },
    ],
    ['fewer places than it says', (body) => body.subarray(0, body.length - 1)],
    ['a place at the end of its segment', placeWith({ 1: 0xffffffff })],
    ['a place in a segment that is not there', placeWith({ 0: 200 })],
    ['a place in a segment beyond all that there can be', placeWith({ 0: 0x10000 })],
  ];
  for (const [what, alterLent] of wrongs) {
    it(`is made again, over the socket, when the daemon lends ${what}`, async (context: TestContext) => {
      const { end, sentBytes, saves } = await put({ alterLent });
      await reportTests(context, end);
      assert(sentBytes > 8 * mib, `${sentBytes} bytes went over the socket`);
      assert(saves >= 2);
    });
  }

  for (const [what, words] of [
    ['the memory of another daemon', { 2: 1 }],
    ['what it has taken back', { 3: 0x7fffffff }],
  ] as const) {
    it(`writes nothing and fails by its deadline when the daemon lends ${what}`, async () => {
      const variables = { WMBT_KV_REMOTE_CALL_TIMEOUT_MS: '1000' };
      const { end, filled } = await put({ alterLent: placeWith(words), variables });
      assert.equal(end.status, 1);
      assert.match(end.lines.join('\n'), /put gives -1 .*deadline of (1000|9\d\d) ms has passed/);
      assert.equal(filled, 0);
    });
  }
});
