import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { open, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { connect } from '../../src/client.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { assertThere } from '../support/ring-scenes.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { eventually } from '../support/waiting.ts';
import { DaemonProcess } from './daemon-process.ts';
import { runCli } from './run-cli.ts';
import type { CliResult } from './run-cli.ts';

/** What `verify --json` says of a tier, as far as it is looked at here. */
interface TierJson {
  readonly payloads: number;
  readonly bytes: number;
  readonly pending: number;
  readonly corrupt: number;
  readonly damagedRecords: number;
  readonly findings: readonly { readonly kind: string; readonly isLost: boolean }[];
}

interface PartJson extends TierJson {
  readonly memory: TierJson;
}

const called = chainOf('memory left by calls', 3, 30_000);
const leftInRing = chainOf('memory left in a ring', 4, 3000);

// Goal: what a daemon has accepted in shared memory alone is seen by the commands, while it lives and when it was
// killed, and is as it was afterwards. Method: the real daemon and the real commands. The daemon is stopped before its log is
// written, which it is a second after the last save; a client goes on leaving saves in its ring, for nobody is asked.
describe(
  'commands on a store whose memory holds what is nowhere else',
  { skip: withoutNative() },
  () => {
    let directory: TemporaryDirectory;
    let bucket: string;
    let daemon: DaemonProcess;
    let client: KvStore;
    let accepted: readonly Chain[] = [];
    /** Blocks that were accepted before the daemon was stopped, and their bytes. */
    let byCalls = 0;

    afterEach(async () => {
      await daemon.stop('SIGKILL');
      await client.close();
    });

    before(async () => {
      directory = await makeTemporaryDirectory('memory-left');
      bucket = join(directory.path, '.wombatkv', 'objects');
    });
    after(() => directory.remove());

    const startDaemon = async (): Promise<string> => {
      const home = { HOME: directory.path, WMBT_KV_RUNTIME_DIR: `${directory.path}/run` };
      const settings = { ...home, WMBT_KV_PUFFER_RAM_BYTES: '64MiB' };
      daemon = new DaemonProcess(['--prefix', 'left'], settings);
      await daemon.ready();
      return `shm:${directory.path}/run/left.sock`;
    };

    const run = (args: readonly string[]): Promise<CliResult> =>
      runCli(args, { home: directory.path });

    const partOf = async (): Promise<PartJson & { readonly exitCode: number | undefined }> => {
      const { exitCode, stdout, stderr } = await run(['verify', '--json']);
      assert.notEqual(stdout, '', stderr);
      const [part] = JSON.parse(stdout).cacheDirectories;
      return { ...part, exitCode };
    };

    /** The daemon's memory. */
    const memoryPath = async (): Promise<string> => {
      const text = await readFile(`${directory.path}/run/left.sock.shm`, 'utf8');
      return text.trim();
    };

    /** A digest of every file that the store has, in memory and in its place, and how much of it has memory. */
    const digests = async (): Promise<readonly string[]> => {
      const found: string[] = [];
      for (const path of [await memoryPath(), placePath()]) {
        for (const { name, isFile } of await filesIn(path)) {
          if (isFile) found.push(`${name} ${await digestOf(join(path, name))}`);
        }
      }
      return found.sort();
    };

    const placePath = (): string => join(directory.path, '.wombatkv', 'puffer', 'v1', '0');

    /** A daemon that is stopped, with blocks that no file on disk and no object has. */
    beforeEach(async () => {
      await rm(join(directory.path, '.wombatkv'), { recursive: true, force: true });
      const url = await startDaemon();
      // A file in the way: nothing is uploaded.
      await writeFile(bucket, 'in the way').catch(async () => {
        await rename(bucket, `${bucket}-away`);
        await writeFile(bucket, 'in the way');
      });
      const store = await connect(url);
      const probes: Chain[] = [];
      const save = async (chain: Chain): Promise<void> => {
        await store.save(chain.blocks);
        probes.push(chain);
      };
      await save(called);
      // The ring is asked for beside the first save, and there soon.
      await eventually('the client has a ring', async () => {
        await save(chainOf(`probe ${probes.length}`, 1, 500));
        return (await filesIn(await memoryPath())).some(({ name }) => /^ring-\d+$/.test(name));
      });
      await save(chainOf(`probe ${probes.length}`, 1, 500));
      // What is in the ring by now is taken out before a call that reads.
      const asker = await connect(url.replace('shm:', 'unix:'));
      for (const probe of probes) await assertThere(asker, probe);
      await asker.close();
      byCalls = probes.reduce((sum, { keys }) => sum + keys.length, 0);
      daemon.child.kill('SIGSTOP');
      await save(leftInRing);
      accepted = probes;
      client = store;
    });

    it('status, verify and explain see it in a daemon that lives, and change nothing', async () => {
      const before = await digests();
      const status = JSON.parse((await run(['status', '--json'])).stdout).cacheDirectories[0];
      assert.deepEqual(
        [status.state, status.pending, status.inMemory, status.damagedRecords],
        ['alive', byCalls, byCalls, 0],
      );
      const part = await partOf();
      assert.deepEqual(
        [part.payloads, part.memory.payloads, part.memory.pending],
        [0, byCalls, byCalls],
      );
      assert.deepEqual(part.memory.findings, []);
      const explained = await run(['explain', ...called.keys]);
      assert.match(
        explained.stdout,
        /^ +1–2 +memory \(part 0, in use\), .* pending +[0-9a-f]{16}$/m,
      );
      assert.deepEqual(await digests(), before);
    });

    it('status, verify and explain see it when the daemon was killed, with what is in its ring', async () => {
      await daemon.stop('SIGKILL');
      const before = await digests();
      const all = byCalls + leftInRing.keys.length;
      const bytes = accepted.reduce((sum, { byteLength }) => sum + byteLength, 0);
      const json = JSON.parse((await run(['status', '--json'])).stdout).cacheDirectories[0];
      const { state, pending, pendingBytes, inMemory, inMemoryBytes } = json;
      assert.deepEqual(
        [state, pending, pendingBytes, inMemory, inMemoryBytes],
        ['dead', all, bytes, all, bytes],
      );
      const { stdout: status } = await run(['status']);
      assert.match(status, /^ +part +bytes +to upload +in memory alone +damaged +state/m);
      const row = `^ +0 .* ${all} payloads, .* ${all} payloads, .* left behind; the next store`;
      assert.match(status, new RegExp(row, 'm'));
      const { stdout: verified } = await run(['verify']);
      const sum = `${all} payloads, .*, ${all} of them wait for upload: 0 damaged`;
      assert.match(
        verified,
        new RegExp(`^cache part 0, memory: ${sum} \\(the next store takes it over\\)$`, 'm'),
      );
      for (const chain of [called, leftInRing]) {
        const { stdout } = await run(['explain', ...chain.keys]);
        assert.match(stdout, /^ +1–[23] +memory \(part 0\), .* pending +[0-9a-f]{16}$/m);
        assert.match(stdout.replaceAll('\n', ' '), /the next store here takes it over/);
      }
      assert.deepEqual(await digests(), before);
    });

    it('what they saw is taken over whole by the next store, and seen there no more', async () => {
      await daemon.stop('SIGKILL');
      await run(['verify', '--repair']);
      await run(['explain', ...called.keys]);
      await rm(bucket);
      const url = await startDaemon();
      const store = await connect(url.replace('shm:', 'unix:'));
      for (const chain of accepted) await assertThere(store, chain);
      await store.close();
      const { memory, pending, exitCode } = await partOf();
      assert.deepEqual([memory.payloads, pending, exitCode], [0, 0, 0]);
    });

    it('warm takes it over, as every store does', async () => {
      await daemon.stop('SIGKILL');
      await rm(bucket);
      const { exitCode, stdout } = await run(['warm', '--json', ...leftInRing.keys]);
      const { had, byTier, onDisk } = JSON.parse(stdout);
      const blocks = leftInRing.keys.length;
      assert.deepEqual(
        [exitCode, had, byTier.object.blocks, onDisk.blocks],
        [0, blocks, 0, blocks],
      );
    });

    it('verify finds each kind of damage there, and leaves it', async () => {
      await daemon.stop('SIGKILL');
      const memory = await memoryPath();
      const [ring] = (await filesIn(memory)).filter(({ name }) => /^ring-\d+$/.test(name));
      const [link] = (await filesIn(placePath())).filter(({ name }) => name.startsWith('memory-'));
      const segment = join(memory, 'segment-0');
      const at = (await readFile(segment)).indexOf(called.blocks[1].payload);
      assert.ok(at > 0, 'the payload lies in the segment');
      const all = byCalls + leftInRing.keys.length;
      const cases: readonly (readonly [string, number, string, number, boolean])[] = [
        [segment, at + 20_000, 'payload', all, true],
        [segment, at - 2304 + 40, 'header', all - 1, true],
        [segment, at - 2304 + 270, 'keys', all, false],
        [join(memory, 'index'), 3, 'index', leftInRing.keys.length, true],
        [join(memory, ring.name), await firstEntry(join(memory, ring.name)), 'ring', byCalls, true],
        [join(placePath(), link.name), 30, 'link', all, false],
      ];
      for (const [path, offset, kind, payloads, isLost] of cases) {
        await withFlipped(path, offset, async () => {
          const before = await digests();
          const part = await partOf();
          assert.equal(part.exitCode, 1, kind);
          assert.deepEqual(
            part.memory.findings.map((finding) => [finding.kind, finding.isLost]),
            [[kind, isLost]],
          );
          assert.equal(part.memory.payloads, payloads, kind);
          const counts = [part.memory.corrupt, part.memory.damagedRecords];
          assert.deepEqual(counts, kind === 'payload' ? [1, 0] : [0, 1], kind);
          if (kind === 'header') {
            const { stdout } = await run(['verify', '--repair']);
            assert.match(
              stdout,
              /^damaged {2}cache part 0, memory, header at [\d,]+ of .*segment-0/m,
            );
          }
          assert.deepEqual(await digests(), before, kind);
        });
      }
      assert.deepEqual((await partOf()).memory.findings, []);
      await withFlipped(segment, at + 20_000, async () => {
        const { stdout } = await run(['explain', '--json', ...called.keys]);
        const { had, detail } = JSON.parse(stdout);
        assert.equal(had, 1);
        assert.equal(detail, 'its copy in the memory of cache part 0 is damaged');
      });
      await rm(memory, { recursive: true });
      assert.deepEqual(
        (await partOf()).memory.findings.map(({ kind }) => kind),
        ['gone'],
      );
    });
  },
);

/** Runs the task with a byte of the file changed, and puts it back. */
async function withFlipped(path: string, offset: number, task: () => Promise<void>): Promise<void> {
  const flip = async (): Promise<void> => {
    const file = await open(path, 'r+');
    const byte = new Uint8Array(1);
    await file.read(byte, 0, 1, offset);
    byte[0] ^= 0x10;
    await file.write(byte, 0, 1, offset);
    await file.close();
  };
  await flip();
  await task();
  await flip();
}

async function digestOf(path: string): Promise<string> {
  const digest = createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
  return `${digest} ${(await stat(path)).blocks}`;
}

/** Where the first entry begins that waits in a ring. */
async function firstEntry(path: string): Promise<number> {
  const bytes = await readFile(path);
  const dataBytes = bytes.length - 4096;
  return 4096 + ((bytes.readUInt32LE(128) * 64) % dataBytes);
}

async function filesIn(
  path: string,
): Promise<readonly { readonly name: string; readonly isFile: boolean }[]> {
  const names = await readdir(path, { withFileTypes: true });
  return names.map((entry) => ({ name: entry.name, isFile: entry.isFile() }));
}
