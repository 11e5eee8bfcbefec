import type { DemoAnswer, StoreUse } from './demo-job.ts';

/** The rows of the demo, in the order in which they are shown. */
export type DemoRowName =
  'cold' | 'restarted' | 'cache-wiped' | 'other-ending-cold' | 'other-ending';

/** One answer of a process of its own. */
export interface DemoRow {
  readonly name: DemoRowName;
  readonly firstTokenMs: number;
  /** How many times faster than the cold answer to the same prompt; 1 for a cold one. */
  readonly ratio: number;
  readonly promptTokens: number;
  /** Tokens of the prompt that were computed, and those that were restored instead. */
  readonly computedTokens: number;
  readonly restoredTokens: number;
  /** Where the restored payloads came from, up to the first token. */
  readonly store: StoreUse;
  /** True when the answer is that of an uncached process; undefined for that answer itself. */
  readonly isAnswerEqual: boolean | undefined;
  readonly saved: DemoAnswer['saved'];
}

/** What the demo ran with. */
export interface DemoSettings {
  readonly modelPath: string;
  readonly modelName: string;
  readonly isRandomModel: boolean;
  readonly isQuick: boolean;
  readonly objectStore: string;
  readonly namespace: string;
  readonly contextSize: number;
  readonly batchSize: number;
  readonly threads: number;
  readonly device: string;
  readonly answerTokens: number;
}

export interface DemoReport {
  /** False when an answer differs or nothing was restored; `problems` says which. */
  readonly isGood: boolean;
  readonly problems: readonly string[];
  readonly settings: DemoSettings;
  /** Tokens that the two prompts share. */
  readonly sharedTokens: number;
  readonly answerTokens: number;
  /** Different tokens in the reference answer: one that repeats itself proves little. */
  readonly distinctTokens: number;
  readonly answerText: string;
  /** Payloads that the killed process had accepted and not uploaded. */
  readonly pendingAfterDeath: number;
  readonly rows: readonly DemoRow[];
  /** Where everything lies, when it was kept. */
  readonly keptIn: string | undefined;
}

/** The answers of all processes. */
export type DemoAnswers = Readonly<Record<DemoRowName, DemoAnswer>>;

/** What each row is compared with; undefined for those that nothing was restored for. */
const references: Readonly<Record<DemoRowName, DemoRowName | undefined>> = {
  cold: undefined,
  restarted: 'cold',
  'cache-wiped': 'cold',
  'other-ending-cold': undefined,
  'other-ending': 'other-ending-cold',
};

/** Share of different tokens below which equal answers of a random model prove nothing. */
const distinctShareMin = 0.3;

export function rowsOf(answers: DemoAnswers): readonly DemoRow[] {
  return Object.entries(references).map(([key, reference]) => {
    const name = key as DemoRowName;
    const own = answers[name];
    const other = reference === undefined ? own : answers[reference];
    const { firstTokenMs, restoredTokens, promptTokens, toFirstToken, saved } = own;
    return {
      name,
      firstTokenMs,
      ratio: other.firstTokenMs / firstTokenMs,
      promptTokens: promptTokens.length,
      computedTokens: promptTokens.length - restoredTokens,
      restoredTokens,
      store: toFirstToken,
      isAnswerEqual: reference === undefined ? undefined : firstDifference(own, other) < 0,
      saved,
    };
  });
}

/** Everything that keeps the demo from having shown what it is to show. */
export function problemsOf(answers: DemoAnswers, isRandomModel: boolean): readonly string[] {
  const problems: string[] = [];
  for (const [key, reference] of Object.entries(references)) {
    const name = key as DemoRowName;
    if (reference === undefined) continue;
    const own = answers[name];
    const place = firstDifference(own, answers[reference]);
    if (place >= 0) problems.push(`${name}: the answer differs from token ${place + 1} on`);
    if (own.restoredTokens === 0) {
      const why = own.lastFailure === undefined ? '' : `: ${own.lastFailure}`;
      problems.push(`${name}: nothing was restored${why}`);
    }
  }
  const { memory, disk } = answers['cache-wiped'].toFirstToken;
  if (memory.bytes + disk.bytes > 0) {
    problems.push('cache-wiped: bytes came from a cache that was to be empty');
  }
  const { answerTokens } = answers.cold;
  if (isRandomModel && distinctOf(answerTokens) < distinctShareMin * answerTokens.length) {
    problems.push(
      `cold: only ${distinctOf(answerTokens)} different tokens, so equality says little`,
    );
  }
  return problems;
}

export function distinctOf(tokens: readonly number[]): number {
  return new Set(tokens).size;
}

/** Index of the first token in which the answers differ; -1 when they are equal. */
function firstDifference(a: DemoAnswer, b: DemoAnswer): number {
  const length = Math.max(a.answerTokens.length, b.answerTokens.length);
  for (let i = 0; i < length; i += 1) if (a.answerTokens[i] !== b.answerTokens[i]) return i;
  return -1;
}
