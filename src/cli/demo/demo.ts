import { join } from 'node:path';
import { messageOf, StoreError, systemErrorCode } from '../../base/errors.ts';
import type { StoreConfig } from '../../config/store-config.ts';
import { objectStoreUrl } from '../../config/object-store-url.ts';
import { openStore } from '../../open-store.ts';
import type { Platform } from '../../platform/platform.ts';
import type { Progress } from '../progress.ts';
import { formatBytes, formatCount, formatDuration } from '../quantity.ts';
import { removeTree } from '../remove-tree.ts';
import type { AnswerJob, DemoAnswer, DemoEngine, DemoFlush, DemoPrompt } from './demo-job.ts';
import { DemoDaemon } from './demo-daemon.ts';
import type { DemoTransport } from './demo-daemon.ts';
import { demoCacheDirectory, randomModelPath } from './demo-model.ts';
import { runDemoProcess } from './demo-process.ts';
import { distinctOf, problemsOf, rowsOf } from './demo-report.ts';
import type { DemoAnswers, DemoReport } from './demo-report.ts';
import { demoNotes, firstQuestion, otherQuestion } from './demo-text.ts';

export interface DemoOptions {
  /** The user's model; a random one when absent. */
  readonly modelPath: string | undefined;
  /** A file with the prompt; the demo's own when absent. */
  readonly promptPath: string | undefined;
  /** The user's object store, in canonical form; one of the demo's own when absent. */
  readonly objectStore: string | undefined;
  /** What that needs besides its URL when it is a bucket. */
  readonly access: StoreConfig;
  readonly keyPrefix: string;
  readonly answerTokens: number;
  readonly threads: number;
  /** A toy model and a shorter prompt. */
  readonly isQuick: boolean;
  /** How the processes reach the store. */
  readonly through: DemoTransport;
  /** Leave everything where it is at the end. */
  readonly keep: boolean;
}

export interface DemoParts {
  readonly platform: Platform;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** As in the project's benchmarks; the toy model knows no longer contexts than it needs. */
const contextSize = 8192;
const quickContextSize = 2048;
const batchSize = 512;
const promptTokens = 1700;
const quickPromptTokens = 700;
/** Notes for 1,700 tokens of any tokenizer. */
const notesCount = 100;
/** A busy machine shall not make the demo find less than there is. */
const lookupDeadlineMs = 10_000;
/** Share of the user's prompt that the prompt with another ending keeps. */
const sharedShare = 0.88;
/** A shorter prompt has no two blocks, and nothing to share. */
const promptTokensMin = 300;
const promptBytesMax = 1024 * 1024;

/**
 * Answers a long prompt in five processes, one after another: cold; after the first was killed;
 * with the local cache wiped; and another prompt with the same beginning, cold and restored.
 */
export async function runDemo(options: DemoOptions, parts: DemoParts): Promise<DemoReport> {
  const { platform } = parts;
  const document = await readPrompt(platform, options.promptPath);
  parts.progress.say(introductionOf(options));
  const modelPath =
    options.modelPath ??
    (await randomModelPath(platform, options.isQuick ? 'micro' : 'qwen2.5-0.5b', parts.progress));
  const workplace = newWorkplace(options, platform);
  const demo = new Demo(options, parts, { ...workplace, modelPath });
  try {
    return await demo.run(document);
  } finally {
    parts.progress.fail();
    await demo.end();
    if (!options.keep) await cleanUp(options, platform, workplace);
  }
}

interface Workplace {
  /** Holds the cache directory, and the object store unless the user named one. */
  readonly directory: string;
  readonly store: StoreConfig & {
    readonly objectStore: string;
    readonly namespace: string;
    readonly cacheDirectory: string;
  };
}

/** The answers of a run, and what happened between them. */
class Demo {
  readonly #options: DemoOptions;
  readonly #parts: DemoParts;
  readonly #workplace: Workplace;
  readonly #engine: DemoEngine;
  #step = 0;
  #daemon: DemoDaemon | undefined;

  constructor(
    options: DemoOptions,
    parts: DemoParts,
    workplace: Workplace & { readonly modelPath: string },
  ) {
    this.#options = options;
    this.#parts = parts;
    this.#workplace = workplace;
    this.#engine = {
      modelPath: workplace.modelPath,
      hashMemoryPath: join(demoCacheDirectory(parts.platform), 'model-hashes.json'),
      contextSize: options.isQuick ? quickContextSize : contextSize,
      batchSize,
      threads: options.threads,
      mayUseGpu: options.modelPath !== undefined,
    };
  }

  async run(document: string | undefined): Promise<DemoReport> {
    const { platform } = this.#parts;
    await this.#startDaemon();
    const cold = await this.#answer('cold: a new process, and nothing stored yet', {
      prompt: this.#firstPrompt(document),
      ending: 'wait-for-death',
    });
    // The daemon dies like the process that it served; the next one has all that was accepted.
    await this.#daemon?.kill();
    await this.#startDaemon();
    const flush = await this.#flush();
    const prompt = promptOfTokens(cold.promptTokens);
    const restarted = await this.#answer('restarted: a new process, the same prompt', { prompt });
    await this.#daemon?.stop();
    await removeTree(platform.files, this.#workplace.store.cacheDirectory);
    await this.#startDaemon();
    const wiped = await this.#answer('cache wiped: only the object store is left', { prompt });
    const sharedTokens = sharedTokensOf(cold, document);
    const other = {
      ...{ tokens: cold.promptTokens.slice(0, sharedTokens), document: '', ending: otherQuestion },
      tokensMax: this.#promptTokensMax(),
    };
    const otherCold = await this.#answer('another ending, computed without WombatKV', {
      ...{ prompt: other, restore: 'never' as const, ending: 'drop' as const },
      daemonUrl: undefined,
      store: { objectStore: 'memory:', cacheDirectory: false },
    });
    const otherRestored = await this.#answer('another ending, its beginning restored', {
      prompt: other,
    });
    return this.#report(
      {
        cold,
        restarted,
        'cache-wiped': wiped,
        'other-ending-cold': otherCold,
        'other-ending': otherRestored,
      },
      { sharedTokens, pendingAfterDeath: flush.pending },
    );
  }

  /** Ends the daemon, if there is one. */
  async end(): Promise<void> {
    await this.#daemon?.stop();
  }

  async #startDaemon(): Promise<void> {
    const { through: transport } = this.#options;
    if (transport === 'process') return;
    const { directory, store } = this.#workplace;
    this.#daemon = await DemoDaemon.start(this.#parts.platform, { transport, directory }, store);
  }

  /** Runs one step: an answer by a process of its own. */
  async #answer(title: string, changes: Partial<AnswerJob>): Promise<DemoAnswer> {
    const { progress, platform, signal } = this.#parts;
    const { clock } = platform;
    this.#step += 1;
    progress.begin(`${this.#step}/5 ${title}`);
    const job: AnswerJob = {
      kind: 'answer',
      store: this.#workplace.store,
      daemonUrl: this.#daemon?.url,
      engine: this.#engine,
      prompt: promptOfTokens([]),
      answerTokens: this.#options.answerTokens,
      restore: 'always',
      ending: 'close',
      ...changes,
    };
    const result = await runDemoProcess(job, {
      ...{ clock, signal },
      onMessage: (message) => {
        if (message.kind === 'activity') progress.update(message);
        if (message.kind === 'token') {
          const total = job.answerTokens;
          progress.update({ activity: 'answering', done: message.count, total });
        }
      },
    });
    if (!('answerTokens' in result)) throw new StoreError('INVALID', 'a process gave no answer');
    progress.end(wordsOf(result, job));
    return result;
  }

  /** A short process that uploads what the killed one left behind. */
  async #flush(): Promise<DemoFlush> {
    const { progress, platform, signal } = this.#parts;
    progress.begin('    upload: a short process finishes what the killed one had begun');
    const { store } = this.#workplace;
    const job = { kind: 'flush', store, daemonUrl: this.#daemon?.url } as const;
    const { clock } = platform;
    const result = await runDemoProcess(job, { clock, signal, onMessage: () => undefined });
    if (!('pending' in result)) throw new StoreError('INVALID', 'a process did not flush');
    progress.end(`${formatCount(result.pending)} were still to be uploaded; done`);
    return result;
  }

  #firstPrompt(document: string | undefined): DemoPrompt {
    const tokensMax = this.#promptTokensMax();
    if (document === undefined) {
      return { tokens: [], document: demoNotes(notesCount), ending: firstQuestion, tokensMax };
    }
    const accepted = { least: promptTokensMin, most: tokensMax };
    return { tokens: [], document, ending: '', tokensMax, accepted };
  }

  #promptTokensMax(): number {
    if (this.#options.promptPath !== undefined) {
      return this.#engine.contextSize - this.#options.answerTokens - 1;
    }
    return this.#options.isQuick ? quickPromptTokens : promptTokens;
  }

  #report(
    answers: DemoAnswers,
    facts: Pick<DemoReport, 'sharedTokens' | 'pendingAfterDeath'>,
  ): DemoReport {
    const { modelPath, isQuick, keep, threads, answerTokens } = this.#options;
    const isRandomModel = modelPath === undefined;
    const problems = problemsOf(answers, isRandomModel);
    const { cold } = answers;
    return {
      isGood: problems.length === 0,
      problems,
      settings: {
        modelPath: this.#engine.modelPath,
        modelName: cold.modelName,
        ...{ isRandomModel, isQuick, threads, answerTokens, batchSize },
        objectStore: this.#workplace.store.objectStore,
        namespace: this.#workplace.store.namespace,
        contextSize: this.#engine.contextSize,
        device: cold.device,
      },
      ...facts,
      answerTokens: cold.answerTokens.length,
      distinctTokens: distinctOf(cold.answerTokens),
      answerText: cold.answerText,
      rows: rowsOf(answers),
      keptIn: keep ? this.#workplace.directory : undefined,
    };
  }
}

function introductionOf({ modelPath, isQuick }: DemoOptions): string {
  const what = 'Five processes answer a long prompt, one after another.';
  if (modelPath !== undefined) return what;
  return `${what} On two quiet cores that takes ${isQuick ? 'ten seconds' : 'two minutes'}.`;
}

function promptOfTokens(tokens: readonly number[]): DemoPrompt {
  return { tokens, document: '', ending: '', tokensMax: tokens.length };
}

/** All of the demo's own document, most of the user's. */
function sharedTokensOf(cold: DemoAnswer, document: string | undefined): number {
  if (document === undefined) return cold.documentTokens;
  return Math.floor(cold.promptTokens.length * sharedShare);
}

function wordsOf({ firstTokenMs, restoredTokens, saved }: DemoAnswer, job: AnswerJob): string {
  const first = `first token after ${formatDuration(firstTokenMs)}`;
  if (job.ending === 'wait-for-death') {
    const what = `${formatCount(saved.payloads)} payloads, ${formatBytes(saved.bytes)}`;
    return `${first}; ${what} accepted, then killed (SIGKILL)`;
  }
  return job.restore === 'never'
    ? first
    : `${first}; ${formatCount(restoredTokens)} tokens restored`;
}

async function readPrompt(
  platform: Platform,
  path: string | undefined,
): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return new TextDecoder().decode(await platform.files.readSmall(path, promptBytesMax));
  } catch (cause) {
    if (systemErrorCode(cause) === undefined) throw cause;
    const message = `--prompt: ${path} cannot be read: ${messageOf(cause)}`;
    throw new StoreError('INVALID', message, { cause });
  }
}

/** Everything of its own: nobody else's cache, nobody else's namespace. */
function newWorkplace(options: DemoOptions, { host, random }: Platform): Workplace {
  const name = `wombatkv-demo-${random.hex(6)}`;
  const directory = join(host.temporaryDirectory, name);
  return {
    directory,
    store: {
      ...options.access,
      objectStore: options.objectStore ?? objectStoreUrl(join(directory, 'objects')),
      // The user's objects are not the demo's to collect.
      objectStoreBytesMax: false,
      keyPrefix: options.keyPrefix,
      namespace: options.objectStore === undefined ? 'demo' : name,
      cacheDirectory: join(directory, 'cache'),
      lookupDeadlineMs,
    },
  };
}

async function cleanUp(
  { objectStore }: DemoOptions,
  platform: Platform,
  { directory, store }: Workplace,
): Promise<void> {
  await removeTree(platform.files, directory);
  if (objectStore === undefined) return;
  const emptied = await openStore({ ...store, cacheDirectory: false });
  try {
    await emptied.delete({ kind: 'namespace' });
  } finally {
    await emptied.close();
  }
}
