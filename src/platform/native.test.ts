import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { crc32c, crc32cAppend, crc32cByTable } from '../base/crc32c.ts';
import { nativeKernels, useNativeKernels } from '../base/native-kernels.ts';
import { Prefix, seedOf } from '../blocks/prefix.ts';
import { nativeCode, withNative } from './native.ts';
import type { NativeCode } from './native.ts';
import { nodeFileLocks } from './node-file-locks.ts';
import { nodePlatform } from './node-platform.ts';
import { tellServiceManager } from './service-manager.ts';

const skip = withoutNative();
const hasPython = spawnedPython();
/** Set-up has built it where there is a compiler; a failure to load is one of these tests. */
const native = (): NativeCode => {
  const choice = nativeCode('auto');
  assert(choice.code !== undefined, choice.code === undefined ? choice.reason : '');
  return choice.code;
};

let temporary: TemporaryDirectory;

describe('native code', { skip }, () => {
  beforeEach(async () => {
    temporary = await makeTemporaryDirectory('native');
  });

  afterEach(async () => {
    useNativeKernels(undefined);
    await temporary.remove();
  });

  it('computes CRC32C as the table does, at any length, alignment and start', () => {
    const memory = Uint8Array.from({ length: 70_000 }, (_, i) => (i * i * 31) % 251);
    const shared = new Uint8Array(new SharedArrayBuffer(memory.length));
    shared.set(memory);
    const lengths = fc.oneof(fc.nat(1000), fc.nat(69_000));
    fc.assert(
      fc.property(fc.nat(300), lengths, fc.nat(0xffffffff), (start, length, crc) => {
        const expected = crc32cByTable(crc, memory.subarray(start, start + length));
        assert.equal(native().crc32c(memory.subarray(start, start + length), crc), expected);
        assert.equal(native().crc32c(shared.subarray(start, start + length), crc), expected);
      }),
      { numRuns: 500 },
    );
  });

  it('takes the place of the portable functions, and gives it back', () => {
    const input = new Uint8Array(5000).fill(7);
    withNative(nodePlatform(), 'auto');
    assert.equal(nativeKernels(), native());
    assert.equal(crc32c(input), crc32cByTable(0, input));
    assert.equal(crc32cAppend(77, input), crc32cByTable(77, input));
    assert.equal(withNative(nodePlatform(), 'off').locks, undefined);
    assert.equal(nativeKernels(), undefined);
  });

  it('computes the keys that the portable code computes, however tokens are appended', () => {
    const seed = seedOf('native');
    const token = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    const parts = fc.array(fc.array(token, { maxLength: 600 }), { maxLength: 5 });
    fc.assert(
      fc.property(parts, fc.constantFrom(128, 256), (appended, blockTokens) => {
        useNativeKernels(undefined);
        const portable = new Prefix(seed, blockTokens);
        for (const part of appended) portable.append(part);
        useNativeKernels(native());
        const other = new Prefix(seed, blockTokens);
        for (const part of appended) other.append(part);
        assert.deepEqual(other.keys, portable.keys);
      }),
      { numRuns: 100 },
    );
  });

  it('refuses what it cannot read', () => {
    const code = native() as unknown as Record<string, (...values: unknown[]) => unknown>;
    const bytes = new Uint8Array(64);
    assert.throws(() => code['crc32c'](), /a typed array was expected/);
    assert.throws(() => code['crc32c'](new Float64Array(4), 0), TypeError);
    assert.throws(() => code['crc32c'](bytes, 'x'), /a number was expected/);
    assert.throws(() => code['chainKeys'](bytes, new Int32Array(5), 128, bytes), RangeError);
    assert.throws(
      () => code['chainKeys'](bytes, new Int32Array(1), 1, new Uint8Array(63)),
      RangeError,
    );
    assert.throws(() => code['mergePlanes'](bytes, bytes, bytes), RangeError);
    const { known } = native();
    const shards = Array.from({ length: 256 }, () => new Int32Array(64));
    const table = known.open(new Int32Array(8), shards);
    assert.equal(known.leading(table, 'a'.repeat(128), 1), 0);
    assert.throws(() => known.open(new Int32Array(7), shards), /a mix has eight words/);
    assert.throws(() => known.open(new Int32Array(8), shards.slice(1)), TypeError);
    assert.throws(() => known.open(new Int32Array(8), [new Int32Array(12), ...shards]), RangeError);
    assert.throws(() => known.move(table, 256, shards[0]), RangeError);
    assert.throws(() => known.move({}, 0, shards[0]), TypeError);
    assert.throws(() => known.leading(table, 'a'.repeat(64), 0), /there is no such owner/);
    assert.throws(() => known.leading(table, 'a', 1), RangeError);
    assert.throws(() => code['notify']('x'.repeat(200), ''), /the text is too long/);
    assert.throws(() => code['lock'](2 ** 30, true), { code: 'EBADF' });
  });

  it('acknowledges what came over TCP, and does nothing to any other descriptor', async () => {
    const path = join(temporary.path, 'file');
    await writeFile(path, 'as it was');
    const file = await open(path, 'r');
    native().acknowledge(file.fd);
    native().acknowledge(2 ** 30);
    assert.equal(await file.readFile('utf8'), 'as it was');
    await file.close();
  });

  it('locks a file for one, and tells others so while it is held', async () => {
    const path = join(temporary.path, 'file');
    await writeFile(path, '');
    const locks = nodeFileLocks(native());
    assert.equal(await locks.isHeld(path), false);
    const lock = await locks.take(path);
    assert.notEqual(lock, undefined);
    assert.equal(await locks.take(path), undefined);
    assert.equal(await locks.isHeld(path), true);
    await lock?.release();
    assert.equal(await locks.isHeld(path), false);
    assert.equal(await locks.isHeld(join(temporary.path, 'absent')), false);
  });

  it('goes without locks on a file system that has none', async () => {
    const path = join(temporary.path, 'file');
    await (await open(path, 'w')).close();
    const refusing = (code: string): { lock(): boolean } => ({
      lock: () => {
        throw Object.assign(new Error(code), { code });
      },
    });
    const locks = nodeFileLocks(refusing('ENOLCK'));
    assert.equal(await locks.take(path), undefined);
    assert.equal(await locks.isHeld(path), false);
    await assert.rejects(nodeFileLocks(refusing('EIO')).take(path), { code: 'EIO' });
  });

  const without = hasPython ? false : 'python3 is not installed';
  for (const kind of ['a file', 'a name without a file']) {
    it(`tells a service manager that listens on ${kind}`, { skip: without }, async () => {
      const name = join(temporary.path, 'notify');
      const address = kind === 'a file' ? name : `@${name}`;
      const received = receiveDatagram(address);
      await received.listening;
      const platform = { ...nodePlatform(), environment: { NOTIFY_SOCKET: address } };
      assert.equal(tellServiceManager(platform, 'auto', 'READY=1'), undefined);
      assert.equal(await received.text, 'READY=1');
    });
  }

  it('says why a service manager was not told, and nothing when nobody asked', () => {
    const path = join(temporary.path, 'absent');
    const platform = { ...nodePlatform(), environment: { NOTIFY_SOCKET: path } };
    const refused = tellServiceManager(platform, 'auto', 'READY=1');
    assert.match(String(refused), new RegExp(`${path} asked to be told READY=1: ENOENT`));
    const off = tellServiceManager(platform, 'off', 'STOPPING=1');
    assert.match(String(off), /needs native code: WMBT_KV_NATIVE is off$/);
    const unasked = { ...platform, environment: {} };
    assert.equal(tellServiceManager(unasked, 'auto', 'READY=1'), undefined);
  });
});

/** Node has no such sockets. */
const receiver = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
a = sys.argv[1]
s.bind('\\0' + a[1:] if a.startswith('@') else a)
s.settimeout(30)
print('listening', flush=True)
print(s.recv(1000).decode())
`;

function receiveDatagram(address: string): { listening: Promise<unknown>; text: Promise<string> } {
  const child = spawn('python3', ['-c', receiver, address], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const listening = once(child.stdout, 'data');
  const text = once(child, 'close').then(() => output.split('\n')[1]);
  return { listening, text };
}

function spawnedPython(): boolean {
  return (process.env['PATH'] ?? '')
    .split(':')
    .some((folder) => existsSync(join(folder, 'python3')));
}
