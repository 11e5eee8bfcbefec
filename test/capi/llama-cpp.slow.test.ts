import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Token } from 'node-llama-cpp';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { connect } from '../../src/client.ts';
import { cachedLibrary } from '../../tools/capi-build.ts';
import { run, warningFlags } from '../../tools/capi-compile.ts';
import { projectRoot } from '../../tools/project.ts';
import { EngineScene, generate, randomTokens } from '../engine/engine-scene.ts';
import { patience } from '../support/patience.ts';
import { runProgram, sharedFlags, testToolchain, withoutTestCompiler } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';
import type { DaemonHome } from './daemon-home.ts';

const root = projectRoot();
const bundled = join(root, 'node_modules/node-llama-cpp/llama');
const binaries = join(root, 'node_modules/@node-llama-cpp/linux-x64/bins/linux-x64');

/** Why the program cannot be built here, or false. */
function withoutLlama(): string | false {
  if (!existsSync(binaries) || process.arch !== 'x64' || process.platform !== 'linux') {
    return 'opt-in: llama.cpp comes prebuilt for Linux on x64 alone';
  }
  for (const program of ['c++', 'git']) {
    if (spawnSync(program, ['--version']).status !== 0) return `there is no ${program}`;
  }
  return withoutTestCompiler();
}

/** The headers of the llama.cpp that node-llama-cpp brings, taken out of its bundle once. */
async function headersOf(release: string): Promise<string> {
  const folder = join(root, 'build/llama.cpp', release);
  if (existsSync(folder)) return folder;
  mkdirSync(join(root, 'build/llama.cpp'), { recursive: true });
  const fresh = mkdtempSync(`${folder}.`);
  try {
    await run('git', ['clone', '-q', '-n', join(bundled, 'gitRelease.bundle'), fresh]);
    await run('git', ['-C', fresh, 'checkout', '-q', 'HEAD', '--', 'include', 'ggml/include']);
    if (!existsSync(folder)) renameSync(fresh, folder);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return folder;
}

async function buildProgram(into: string): Promise<string> {
  const about = JSON.parse(readFileSync(join(bundled, 'llama.cpp.info.json'), 'utf8')) as {
    readonly tag: string;
  };
  const headers = await headersOf(about.tag);
  const library = await cachedLibrary({ ...testToolchain(), flavour: 'plain' });
  const source = join(root, 'examples/llama.cpp');
  const sources = readdirSync(source).filter((name) => name.endsWith('.cpp'));
  const linked = readdirSync(binaries).filter((name) =>
    /^lib(llama\.v|ggml\.v|ggml-base)/.test(name),
  );
  const program = join(into, 'wombat-llama');
  await run('c++', [
    ...['-std=c++17', '-O1', '-pthread', `-DLLAMA_RELEASE="${about.tag}"`],
    ...warningFlags.filter((flag) => flag !== '-Wcast-qual'),
    ...sources.map((name) => join(source, name)),
    ...['include', 'ggml/include'].flatMap((name) => ['-isystem', join(headers, name)]),
    ...[`-I${library.prefix}/include`, ...sharedFlags(library)],
    ...[...linked.map((name) => join(binaries, name)), `-Wl,-rpath,${binaries}`, '-o', program],
  ]);
  return program;
}

/** What the program says. */
interface Said {
  readonly fingerprint: string;
  readonly restored: number;
  readonly answer: readonly number[];
  readonly saved: string;
}

/**
 * Goal: a program in C++ over llama.h and the adapter for node-llama-cpp share what they compute: one
 * fingerprint, the same keys, the same payloads.
 * Method: examples/llama.cpp, linked with the prebuilt libraries of node-llama-cpp, in a process of its own;
 * the adapter in this one; a daemon between them. Whoever comes second computes one token of the prompt, and
 * says the same.
 */
describe('llama.cpp from C++', { skip: withoutLlama() }, () => {
  let scene: EngineScene;
  let home: DaemonHome;
  let store: KvStore;
  let program: string;
  before(async () => {
    scene = await EngineScene.make('llama-cpp');
    home = await startDaemonHome();
    store = await connect(`unix:${home.unix['WMBT_KV_RUNTIME_DIR']}/capi.sock`, patience);
    program = await buildProgram(scene.directory.path);
  });
  after(async () => {
    await scene.remove();
    await store.close();
    await home.close();
  });

  async function ask(tokens: readonly Token[], flags: readonly string[]): Promise<Said> {
    const file = join(scene.directory.path, 'tokens');
    writeFileSync(file, tokens.join(' '));
    const args = [
      ...[await scene.model('micro'), '--tokens', file, '--backends', binaries],
      ...['--context', '1024', '--threads', '1', '--predict', `${answerTokens}`, ...flags],
    ];
    const { status, lines, notes } = await runProgram(program, args, { environment: home.unix });
    assert.equal(status, 0, notes);
    assert.equal(notes, '');
    const said = lines.join('\n');
    const find = (pattern: RegExp): string => pattern.exec(said)?.[1] ?? `not said: ${said}`;
    return {
      fingerprint: find(/^fingerprint (.*)$/m),
      restored: Number(find(/^restored (\d+) of/m)),
      answer: find(/^answer (.*)$/m)
        .split(' ')
        .map(Number),
      saved: find(/^saved (.*)$/m),
    };
  }

  const contexts = [
    { name: 'without flash attention', flashAttention: false, flags: [] },
    { name: 'with flash attention', flashAttention: true, flags: ['--flash'] },
  ] as const;
  for (const { name, flashAttention, flags } of contexts) {
    it(`restores what the adapter for Node saved, ${name}`, async () => {
      const prompt = randomTokens(`from Node ${name}`, promptTokens);
      const engine = await scene.engine(store, { context: { flashAttention } });
      const answer = await generate(engine.getSequence(), prompt, answerTokens);
      await engine.settle();
      const said = await ask(prompt, flags);
      assert.equal(said.fingerprint, engine.fingerprint);
      assert.equal(said.restored, promptTokens - 1);
      assert.deepEqual(said.answer, answer);
      // All of it was there: keys and tokens of blocks and tails are the same too.
      assert.equal(said.saved, '0 blocks, 0 tails');
    });

    it(`saves what the adapter for Node restores, ${name}`, async () => {
      const prompt = randomTokens(`from C++ ${name}`, promptTokens);
      const said = await ask(prompt, flags);
      assert.equal(said.restored, 0);
      assert.equal(said.saved, '4 blocks, 2 tails');
      const engine = await scene.engine(store, { context: { flashAttention } });
      const answer = await generate(engine.getSequence(), prompt, answerTokens);
      assert.equal(engine.statistics.restoredTokens, promptTokens - 1);
      assert.deepEqual(answer, said.answer);
    });
  }

  it('restores nothing that another kind of context computed', async () => {
    const prompt = randomTokens('kinds of contexts', promptTokens);
    await ask(prompt, []);
    assert.equal((await ask(prompt, ['--flash'])).restored, 0);
    assert.equal((await ask(prompt, [])).restored, promptTokens - 1);
  });
});

/** Three blocks, and 116 tokens behind them. */
const promptTokens = 500;
/** With those of the answer, a fourth block is full. */
const answerTokens = 20;
