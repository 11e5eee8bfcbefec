import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { deferred } from '../base/deferred.ts';
import { systemErrorCode } from '../base/errors.ts';
import type { FileStep, Files } from './files.ts';
import { NativeFileSteps } from './native-file-steps.ts';
import type { StepsCode } from './native-file-steps.ts';
import { nativeCode } from './native.ts';
import type { NativeCode } from './native.ts';
import { nodeFiles } from './node-files.ts';

const directory = await makeTemporaryDirectory('file-steps');
after(() => directory.remove());

/** Set-up has built it where there is a compiler; a failure to load is one of these tests. */
function native(): NativeCode {
  const { code } = nativeCode('auto');
  assert(code !== undefined, 'native code is there');
  return code;
}

let names = 0;

async function freshDirectory(): Promise<string> {
  names += 1;
  const path = `${directory.path}/${names}`;
  await mkdir(path);
  return path;
}

function text(path: string): Promise<string> {
  return readFile(path, 'utf8');
}

function bytes(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}

const implementations: readonly (readonly [string, boolean | string, () => Files['steps']])[] = [
  ['call by call', false, () => (steps, signal) => nodeFiles.steps(steps, signal)],
  [
    'native',
    withoutNative(),
    () => {
      const carrying = new NativeFileSteps(native(), nodeFiles);
      return (steps, signal) => carrying.run(steps, signal);
    },
  ],
];

for (const [name, skip, make] of implementations) {
  describe(`steps on files, ${name}`, { skip }, () => {
    it('are carried out in their order', async () => {
      const at = await freshDirectory();
      const steps: readonly FileStep[] = [
        { kind: 'expect-absent', path: `${at}/object` },
        { kind: 'write-new', path: `${at}/new`, parts: [bytes('one, '), bytes(''), bytes('two')] },
        { kind: 'link', existing: `${at}/new`, path: `${at}/object` },
        { kind: 'sync-directory', path: at },
        { kind: 'rename', from: `${at}/new`, to: `${at}/second` },
        { kind: 'remove', path: `${at}/object` },
        { kind: 'remove', path: `${at}/never-there` },
      ];
      assert.deepEqual(await make()(steps), { done: 7, failure: undefined });
      assert.deepEqual(await readdir(at), ['second']);
      assert.equal(await text(`${at}/second`), 'one, two');
      assert.equal((await stat(`${at}/second`)).mode & 0o777, 0o600);
    });

    it('write more parts than one call of the system takes, and than one hand-over', async () => {
      for (const count of [600, 1024, 1025]) await writesParts(count);
    });

    async function writesParts(count: number): Promise<void> {
      const at = await freshDirectory();
      const parts = Array.from({ length: count }, (_, index) => bytes(`${index},`));
      const shared = new Uint8Array(new SharedArrayBuffer(300_000)).fill(0x41);
      parts[550] = shared.subarray(7);
      const outcome = await make()([{ kind: 'write-new', path: `${at}/file`, parts }]);
      assert.deepEqual(outcome, { done: 1, failure: undefined });
      assert.deepEqual(await readFile(`${at}/file`), Buffer.concat(parts));
    }

    it('take names that are not ASCII', async () => {
      const at = await freshDirectory();
      const path = `${at}/größer 🐱`;
      await make()([{ kind: 'write-new', path, parts: [bytes('x')] }]);
      assert.deepEqual(await readdir(at), ['größer 🐱']);
    });

    it('end with the first that fails, and say which and why', async () => {
      const at = await freshDirectory();
      await writeFile(`${at}/file`, 'there');
      await symlink('/nowhere', `${at}/dangling`);
      const [file, missing] = [`${at}/file`, `${at}/missing`];
      const failing: readonly (readonly [string, FileStep])[] = [
        ['EEXIST', { kind: 'expect-absent', path: file }],
        ['EEXIST', { kind: 'expect-absent', path: `${at}/dangling` }],
        ['EEXIST', { kind: 'write-new', path: file, parts: [bytes('other')] }],
        ['ENOENT', { kind: 'write-new', path: `${missing}/new`, parts: [] }],
        ['ENOTDIR', { kind: 'write-new', path: `${file}/new`, parts: [] }],
        ['EEXIST', { kind: 'link', existing: file, path: `${at}/dangling` }],
        ['ENOENT', { kind: 'link', existing: file, path: `${missing}/name` }],
        ['ENOENT', { kind: 'rename', from: missing, to: `${at}/renamed` }],
        ['ENOENT', { kind: 'sync-directory', path: missing }],
        ['EISDIR', { kind: 'remove', path: at }],
      ];
      for (const [code, step] of failing) {
        const steps: readonly FileStep[] = [
          { kind: 'sync-directory', path: at },
          step,
          { kind: 'remove', path: file },
        ];
        const { done, failure } = await make()(steps);
        const what = `${code} of ${step.kind}`;
        assert.equal(systemErrorCode(failure), code, `${what}: ${String(failure)}`);
        assert.ok(failure instanceof Error && failure.message.startsWith(code), what);
        assert.equal(done, 1, what);
        assert.equal(await text(file), 'there', what);
      }
    });

    it('look past a file where a directory would be', async () => {
      const at = await freshDirectory();
      await writeFile(`${at}/file`, '');
      const steps: readonly FileStep[] = [
        { kind: 'expect-absent', path: `${at}/file/below` },
        { kind: 'remove', path: `${at}/file/below` },
      ];
      assert.equal((await make()(steps)).done, 2);
    });

    it('do not begin after the signal', async () => {
      const at = await freshDirectory();
      const steps: readonly FileStep[] = [{ kind: 'write-new', path: `${at}/file`, parts: [] }];
      const outcome = await make()(steps, AbortSignal.abort());
      assert.deepEqual(outcome, { done: 0, failure: undefined });
      assert.deepEqual(await readdir(at), []);
    });

    it('come far or not at all when the signal fires meanwhile, and say how far', async () => {
      for (let round = 0; round < 20; round += 1) {
        const at = await freshDirectory();
        const controller = new AbortController();
        const steps = Array.from({ length: 50 }, (_, index) => ({
          kind: 'rename' as const,
          from: `${at}/${index}`,
          to: `${at}/${index + 1}`,
        }));
        await writeFile(`${at}/0`, '');
        const running = make()(steps, controller.signal);
        for (let turn = 0; turn < round; turn += 1) await nextTurn();
        controller.abort();
        const { done, failure } = await running;
        assert.equal(failure, undefined);
        assert.deepEqual(await readdir(at), [String(done)]);
      }
    });
  });
}

/** Native code whose hand-overs wait for `open`, and what each was given. */
function heldCode(): { code: StepsCode; programs: string[][]; open: () => void } {
  const door = deferred<void>();
  const programs: string[][] = [];
  const code: StepsCode = {
    async carryOut(lists, parts, state) {
      programs.push([...lists]);
      await door.promise;
      await native().carryOut(lists, parts, state);
    },
  };
  return { code, programs, open: () => door.resolve() };
}

function writing(path: string, byteLength = 1): readonly FileStep[] {
  return [{ kind: 'write-new', path, parts: [new Uint8Array(byteLength)] }];
}

describe('native steps, many at once', { skip: withoutNative() }, () => {
  it('go together, to two threads, and those that come meanwhile go with the next', async () => {
    const at = await freshDirectory();
    const { code, programs, open } = heldCode();
    const carrying = new NativeFileSteps(code, nodeFiles);
    const paths = Array.from({ length: 60 }, (_, index) => `${at}/${index}`);
    const running = paths.map((path) => carrying.run(writing(path)));
    await nextTurn();
    open();
    const outcomes = await Promise.all(running);
    for (const outcome of outcomes) assert.deepEqual(outcome, { done: 1, failure: undefined });
    assert.equal((await readdir(at)).length, 60);
    assert.deepEqual(
      programs.map(({ length }) => length),
      [16, 16, 16, 12],
    );
  });

  it('do not wait for one another when they are long', async () => {
    const at = await freshDirectory();
    const { code, programs, open } = heldCode();
    const carrying = new NativeFileSteps(code, nodeFiles);
    const running = Array.from({ length: 8 }, (_, index) =>
      carrying.run(writing(`${at}/${index}`, 1100 * 1024)),
    );
    open();
    await Promise.all(running);
    assert.deepEqual(
      programs.map(({ length }) => length),
      [1, 1, 1, 1, 1, 1, 1, 1],
    );
  });

  it('each have an outcome of their own', async () => {
    const at = await freshDirectory();
    const { code, open } = heldCode();
    const carrying = new NativeFileSteps(code, nodeFiles);
    const paths = Array.from({ length: 12 }, (_, index) => `${at}/${index % 6}`);
    const running = paths.map((path) => carrying.run(writing(path)));
    open();
    const codes = (await Promise.all(running)).map(({ failure }) => systemErrorCode(failure));
    assert.equal(codes.filter((code_) => code_ === undefined).length, 6);
    assert.equal(codes.filter((code_) => code_ === 'EEXIST').length, 6);
  });

  it('are stopped one by one, by a thread or before one has them', async () => {
    const at = await freshDirectory();
    const { code, programs, open } = heldCode();
    const carrying = new NativeFileSteps(code, nodeFiles);
    const controllers = Array.from({ length: 40 }, () => new AbortController());
    const running = controllers.map(({ signal }, index) =>
      carrying.run(writing(`${at}/${index}`), signal),
    );
    await nextTurn();
    for (const stopped of [1, 35]) controllers[stopped].abort();
    // One that waits is answered while all threads hang.
    assert.deepEqual(await running[35], { done: 0, failure: undefined });
    open();
    const done = (await Promise.all(running)).map((outcome) => outcome.done);
    assert.deepEqual(
      done,
      controllers.map((_, index) => (index === 1 || index === 35 ? 0 : 1)),
    );
    assert.equal(existsSync(`${at}/1`), false);
    assert.equal(
      programs.flat().some((program) => program.includes(`${at}/35`)),
      false,
    );
  });

  it('fail with EAGAIN when ten thousand wait', async () => {
    const at = await freshDirectory();
    const { code, open } = heldCode();
    const carrying = new NativeFileSteps(code, nodeFiles);
    const step: FileStep = { kind: 'expect-absent', path: `${at}/nothing` };
    const running = Array.from({ length: 10_000 }, () => carrying.run([step]));
    const { failure } = await carrying.run([step]);
    assert.equal(systemErrorCode(failure), 'EAGAIN');
    open();
    for (const { done } of await Promise.all(running)) assert.equal(done, 1);
  });

  it('are refused by the native code when they are no steps', async () => {
    const carryOut = (program: string): Promise<readonly number[]> => {
      const state = new Int32Array(3);
      return native()
        .carryOut([program], [[]], state)
        .then(() => [...state]);
    };
    const [enosys, einval] = [38, 22];
    assert.deepEqual(await carryOut('x/nowhere\0'), [0, 0, enosys]);
    assert.deepEqual(await carryOut('a/no-terminator'), [0, 0, einval]);
    assert.deepEqual(await carryOut('l/only-one\0'), [0, 0, einval]);
    assert.deepEqual(await carryOut('a/nowhere\0a'), [0, 1, einval]);
    assert.deepEqual(await carryOut(''), [0, 0, 0]);
    const { carryOut: raw } = native();
    assert.throws(() => raw([''], [[]], new Int32Array(2)), /three numbers/);
    assert.throws(() => raw(Array(257).fill(''), [], new Int32Array(771)), /not longer than 256/);
    assert.throws(() => raw([''], [Array(1025)], new Int32Array(3)), /not longer than 1024/);
    assert.throws(() => raw([''], [], new Int32Array(3)), RangeError);
    assert.throws(() => raw(['a'.repeat(2 ** 20 + 1)], [[]], new Int32Array(3)), /1 MiB/);
  });
});
