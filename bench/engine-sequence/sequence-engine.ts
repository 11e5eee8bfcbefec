import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { cachedLibrary } from '../../tools/capi-build.ts';
import type { BuiltLibrary } from '../../tools/capi-build.ts';
import { projectRoot } from '../../tools/project.ts';

/** What an engine does in one process; bench/engine-sequence/engine.c says more. */
export type EngineStep = 'save' | 'restore' | 'write' | 'look' | 'read';

/** The state that it saves and restores. */
export interface StateSize {
  readonly blocks: number;
  readonly blockBytes: number;
  readonly tailBytes: number;
}

export interface StepOptions {
  /** States of other names have nothing in common. */
  readonly name: string;
  readonly size: StateSize;
  readonly environment?: Readonly<Record<string, string>>;
  /** Where plain files lie. */
  readonly folder?: string;
}

/** Bytes of payloads by the tier that they came from. */
export interface TierBytes {
  readonly memory: number;
  readonly disk: number;
  readonly object: number;
}

/** What a step said. */
export interface StepFigures {
  /** Milliseconds by the word before them, in order. */
  readonly ms: Readonly<Record<string, readonly number[]>>;
  /** Of each restore from a store. */
  readonly tiers: readonly TierBytes[];
}

/** No step takes as long: one that does hangs. */
const stepMsMax = 120_000;

export function bytesOf({ blocks, blockBytes, tailBytes }: StateSize): number {
  return blocks * blockBytes + tailBytes;
}

/** The engine as a program, linked to the library as others are. */
export class SequenceEngine {
  readonly library: BuiltLibrary;
  readonly #program: string;

  private constructor(library: BuiltLibrary, program: string) {
    this.library = library;
    this.#program = program;
  }

  /** Compiles it into the folder. */
  static async build(folder: string): Promise<SequenceEngine> {
    const library = await cachedLibrary({ compiler: 'cc', flavour: 'plain' });
    const { prefix } = library;
    const program = join(folder, 'sequence-engine');
    const source = join(projectRoot(), 'bench', 'engine-sequence', 'engine.c');
    const flags = ['-O2', '-pthread', `-I${prefix}/include`, `-L${prefix}/lib`];
    const link = [`-Wl,-rpath,${prefix}/lib`, '-lwombatkv', '-o', program];
    const { status } = spawnSync('cc', [...flags, source, ...link], { stdio: 'inherit' });
    if (status !== 0) throw new Error('the engine in C cannot be compiled');
    return new SequenceEngine(library, program);
  }

  /** Runs one step in a process of its own, and gives what it measured. */
  async run(step: EngineStep, options: StepOptions): Promise<StepFigures> {
    const { name, size, environment = {}, folder } = options;
    const sizes = [size.blocks, size.blockBytes, size.tailBytes].map(String);
    const words = [step, name, ...sizes, ...(folder === undefined ? [] : [folder])];
    const child = spawn(this.#program, words, {
      env: { ...environment },
      stdio: ['ignore', 'pipe', 'inherit'],
      ...{ timeout: stepMsMax, killSignal: 'SIGKILL' as const },
    });
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const [status] = await once(child, 'close');
    if (status !== 0) throw new Error(`${step} of ${name} ended with ${String(status)}: ${said}`);
    return figuresOf(said);
  }
}

function figuresOf(said: string): StepFigures {
  const ms: Record<string, number[]> = {};
  const counters: TierBytes[] = [];
  for (const line of said.trimEnd().split('\n')) {
    const at = line.indexOf(' ');
    const [word, rest] = [line.slice(0, at), line.slice(at + 1)];
    if (word === 'stats') counters.push(countersOf(rest));
    // Borrowed from shared memory itself, of which the store does not know.
    else if (word === 'lent') counters.push(withLent(counters.pop(), Number(rest)));
    else (ms[word] ??= []).push(Number(rest) / 1e6);
  }
  const tiers: TierBytes[] = [];
  for (let at = 0; at + 1 < counters.length; at += 2) {
    tiers.push(difference(counters[at + 1], counters[at]));
  }
  return { ms, tiers };
}

function countersOf(json: string): TierBytes {
  const { memory, disk, object } = JSON.parse(json) as Record<
    keyof TierBytes,
    { readonly hitBytes: number }
  >;
  return { memory: memory.hitBytes, disk: disk.hitBytes, object: object.hitBytes };
}

function withLent(counters: TierBytes | undefined, lent: number): TierBytes {
  if (counters === undefined) throw new RangeError('the engine says what it was lent of nothing');
  return { ...counters, memory: counters.memory + lent };
}

function difference(after: TierBytes, before: TierBytes): TierBytes {
  return {
    memory: after.memory - before.memory,
    disk: after.disk - before.disk,
    object: after.object - before.object,
  };
}
