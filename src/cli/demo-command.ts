import { resolve } from 'node:path';
import type { Command } from 'commander';
import { StoreError, systemErrorCode } from '../base/errors.ts';
import { memoryObjectStoreUrl } from '../config/object-store-url.ts';
import { bucketAccessOf } from '../config/store-config.ts';
import type { Files } from '../platform/files.ts';
import { printJson, settingsInEffect, wholeNumberFlag, withJsonFlag } from './command-context.ts';
import type { CommandContext, OutputFlags, StoreFlags } from './command-context.ts';
import type { DemoTransport } from './demo/demo-daemon.ts';
import { demoText } from './demo/demo-table.ts';
import { Progress } from './progress.ts';

interface DemoFlags extends Pick<StoreFlags, 'store'>, OutputFlags {
  readonly model?: string;
  readonly prompt?: string;
  readonly tokens: number;
  readonly threads?: number;
  readonly through: DemoTransport;
  readonly quick?: boolean;
  readonly keep?: boolean;
}

const answerTokensDefault = 64;

const explanation = `
Each row is a fresh process that loads the model and answers a prompt:

  cold          nothing is stored; its KV cache is saved, and the process is killed by SIGKILL
  restarted     the same prompt, restored from the local cache
  cache wiped   the same prompt, the local cache removed: restored from the object store
  other ending  a prompt with the same beginning: computed in full, then with that part restored

Rows after the first restore whatever is stored, also where computing would be faster. Without
--model a random model with the dimensions of Qwen2.5-0.5B is made, once, in ~/.cache/wombatkv
(502 MiB; XDG_CACHE_HOME moves it). Everything else lies in a temporary directory and is removed.`;

export function addDemoCommand(
  program: Command,
  context: CommandContext,
  finish: (exitCode: number) => void,
): void {
  const command = program
    .command('demo')
    .description('watch an engine answer, die, restart, and answer again without computing')
    .option('--model <path>', 'your own model, a GGUF file')
    .option('--prompt <path>', 'a text file with the prompt, instead of the one that is built in')
    .option(
      '--store <url>',
      'object store to use, file://… or s3://…; the demo cleans up behind itself',
    )
    .option(
      '--tokens <count>',
      'tokens of each answer',
      wholeNumberFlag('--tokens', 1),
      answerTokensDefault,
    )
    .option(
      '--threads <count>',
      'threads (default: all processors; 1 with --quick)',
      wholeNumberFlag('--threads', 1),
    )
    .option(
      '--through <transport>',
      'shm, unix, tcp or http: all processes use a daemon',
      throughFlag,
      'process',
    )
    .option('--quick', 'a toy model and a short prompt, to see that everything works')
    .option('--keep', 'leave the temporary directory, or what is in the object store')
    .addHelpText('after', explanation);
  withJsonFlag(command).action(async (flags: DemoFlags) => finish(await demo(context, flags)));
}

async function demo(context: CommandContext, flags: DemoFlags): Promise<number> {
  const { platform, terminal } = context;
  // The demo takes the defaults, so that its figures are comparable; a wrong setting is told anyway.
  const config = settingsInEffect(context, flags);
  const { objectStore, keyPrefix } = config;
  if (flags.store !== undefined && objectStore === memoryObjectStoreUrl) {
    throw new StoreError(
      'INVALID',
      '--store: the processes of the demo need a store that they share',
    );
  }
  requireEngine();
  const interrupted = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void =>
    interrupted.abort(new StoreError('ABORTED', `the demo was interrupted by ${signal}`));
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  // Only the demo needs the store and the engine: the other commands start faster without.
  const { runDemo } = await import('./demo/demo.ts');
  const progress = new Progress(terminal.notes, platform.clock);
  const report = await runDemo(
    {
      modelPath:
        flags.model === undefined ? undefined : await modelPath(platform.files, flags.model),
      promptPath: flags.prompt === undefined ? undefined : resolve(flags.prompt),
      objectStore: flags.store === undefined ? undefined : objectStore,
      access: flags.store === undefined ? {} : bucketAccessOf(config),
      keyPrefix,
      answerTokens: flags.tokens,
      threads: flags.threads ?? (flags.quick === true ? 1 : platform.host.processors),
      isQuick: flags.quick === true,
      through: flags.through,
      keep: flags.keep === true,
    },
    { platform, progress, signal: interrupted.signal },
  );
  if (flags.json === true) printJson(context, report);
  else terminal.results.write(demoText(terminal.results, report));
  return report.isGood ? 0 : 1;
}

function throughFlag(text: string): DemoTransport {
  if (text === 'shm' || text === 'unix' || text === 'tcp' || text === 'http') return text;
  const got = JSON.stringify(text.slice(0, 80));
  throw new StoreError('INVALID', `--through must be shm, unix, tcp or http; got ${got}`);
}

async function modelPath(files: Files, flag: string): Promise<string> {
  const path = resolve(flag);
  const status = await files.status(await realPath(files, path));
  if (status?.kind === 'file') return path;
  throw new StoreError('INVALID', `--model: there is no file ${path}`);
}

async function realPath(files: Files, path: string): Promise<string> {
  try {
    return await files.realPath(path);
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return path;
  }
}

/** The engine is an optional peer dependency; only its presence is looked at here. */
function requireEngine(): void {
  try {
    import.meta.resolve('node-llama-cpp');
  } catch (cause) {
    const message = 'the demo needs an engine, and none is installed: npm install node-llama-cpp';
    throw new StoreError('UNAVAILABLE', message, { cause });
  }
}
