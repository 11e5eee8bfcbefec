import { getSystemErrorMap } from 'node:util';
import { assert } from '../base/assert.ts';
import { deferred } from '../base/deferred.ts';
import type { Deferred } from '../base/deferred.ts';
import type { FileStep, Files, StepsOutcome } from './files.ts';

/** The one call that is needed of native code: capi/node/steps.c says what it does. */
export interface StepsCode {
  carryOut(
    programs: readonly string[],
    parts: readonly (readonly Uint8Array[])[],
    state: Int32Array,
  ): Promise<void>;
}

/** Steps that somebody waits for. */
interface Order {
  readonly steps: readonly FileStep[];
  readonly program: string;
  readonly parts: readonly Uint8Array[];
  readonly byteLength: number;
  readonly outcome: Deferred<StepsOutcome>;
  /** Where a thread looks whether to go on, once one has the order. */
  stop: { readonly state: Int32Array; readonly index: number } | undefined;
}

/**
 * Hand-overs under way at once. Two of small files: more would wake more threads for fewer orders
 * each. With long ones as many as Node has threads for all files: they keep a disk busy.
 */
const handOversMax = { small: 2, long: 4 };
const smallBytesMax = 64 * 1024;
/** What one hand-over takes: beyond it another thread may as well begin. */
const ordersPerHandOverMax = 16;
const bytesPerHandOverMax = 2 * 1024 * 1024;
/** Orders that wait for a hand-over. Whoever has more under way has no bound of his own. */
const waitingMax = 10_000;

/** Parts that the native code takes; a frame has two. */
const partsMax = 1024;

/** Numbers of the state of each order, as capi/node/steps.c has them. */
const stateNumbers = 3;
const [stopAt, doneAt, faultAt] = [0, 1, 2];

/**
 * Steps by native code: one hand-over to a thread carries out all of an order's, and of several
 * orders when they wait. To hand over and to be told of the end costs this thread 50 to 100 µs in a
 * virtual machine, far more than the calls to the system that are made meanwhile.
 */
export class NativeFileSteps {
  readonly #code: StepsCode;
  readonly #callByCall: Pick<Files, 'steps'>;
  readonly #waiting: Order[] = [];
  #handOvers = 0;
  #isPlanned = false;

  /** `callByCall` carries out what is too much for one hand-over. */
  constructor(code: StepsCode, callByCall: Pick<Files, 'steps'>) {
    this.#code = code;
    this.#callByCall = callByCall;
  }

  /** As `Files.steps`. */
  run(steps: readonly FileStep[], signal?: AbortSignal): Promise<StepsOutcome> {
    if (signal?.aborted === true) return Promise.resolve({ done: 0, failure: undefined });
    if (this.#waiting.length >= waitingMax) {
      const failure = systemError('EAGAIN', `${waitingMax} orders of steps wait already`);
      return Promise.resolve({ done: 0, failure });
    }
    const order = orderOf(steps);
    if (order.parts.length > partsMax) return this.#callByCall.steps(steps, signal);
    this.#waiting.push(order);
    const isLong = order.byteLength > smallBytesMax;
    if (isLong && this.#handOvers < handOversMax.long) this.#handOver();
    else if (!this.#isPlanned && this.#handOvers < handOversMax.small) this.#plan();
    return signal === undefined ? order.outcome.promise : this.#untilEnded(order, signal);
  }

  async #untilEnded(order: Order, signal: AbortSignal): Promise<StepsOutcome> {
    const onAbort = (): void => {
      if (order.stop !== undefined) {
        Atomics.store(order.stop.state, order.stop.index, 1);
        return;
      }
      const at = this.#waiting.indexOf(order);
      if (at < 0) return;
      this.#waiting.splice(at, 1);
      order.outcome.resolve({ done: 0, failure: undefined });
    };
    signal.addEventListener('abort', onAbort);
    try {
      return await order.outcome.promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Those who finished their last trip together come with their orders in the same turn. */
  #plan(): void {
    this.#isPlanned = true;
    setImmediate(() => {
      this.#isPlanned = false;
      while (this.#waiting.length > 0 && this.#handOvers < handOversMax.small) this.#handOver();
    });
  }

  /** Gives a thread what waits, as much as it may have. */
  #handOver(): void {
    const orders = this.#take();
    const state = new Int32Array(orders.length * stateNumbers);
    for (const [index, order] of orders.entries()) {
      order.stop = { state, index: index * stateNumbers + stopAt };
    }
    this.#handOvers += 1;
    this.#carryOut(orders, state).then(
      () => this.#onEnd(() => orders.forEach((order, i) => settle(order, state, i))),
      (error: unknown) => this.#onEnd(() => orders.forEach((order) => order.outcome.reject(error))),
    );
  }

  async #carryOut(orders: readonly Order[], state: Int32Array): Promise<void> {
    await this.#code.carryOut(
      orders.map(({ program }) => program),
      orders.map(({ parts }) => parts),
      state,
    );
  }

  #onEnd(tell: () => void): void {
    this.#handOvers -= 1;
    tell();
    if (this.#waiting.length > 0 && !this.#isPlanned) this.#plan();
  }

  #take(): readonly Order[] {
    let count = 0;
    let byteLength = 0;
    for (const order of this.#waiting) {
      byteLength += order.byteLength;
      if (count > 0 && (count === ordersPerHandOverMax || byteLength > bytesPerHandOverMax)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }
}

function orderOf(steps: readonly FileStep[]): Order {
  let program = '';
  let parts: readonly Uint8Array[] = [];
  let byteLength = 0;
  for (const step of steps) {
    const [letter, paths] = wordsOf(step);
    for (const path of paths) assert(!path.includes('\0'), 'a path has no NUL');
    program += `${letter}${paths.join('\0')}\0`;
    if (step.kind !== 'write-new') continue;
    assert(parts.length === 0, 'one step writes');
    parts = step.parts;
    for (const part of parts) byteLength += part.length;
  }
  return { steps, program, parts, byteLength, outcome: deferred(), stop: undefined };
}

/** The letter of the step in the language of capi/node/steps.c, and its paths. */
function wordsOf(step: FileStep): readonly [letter: string, paths: readonly string[]] {
  switch (step.kind) {
    case 'expect-absent':
      return ['a', [step.path]];
    case 'write-new':
      return ['w', [step.path]];
    case 'link':
      return ['l', [step.existing, step.path]];
    case 'rename':
      return ['m', [step.from, step.to]];
    case 'sync-directory':
      return ['s', [step.path]];
    case 'remove':
      return ['r', [step.path]];
    default:
      return step satisfies never;
  }
}

function settle(order: Order, state: Int32Array, index: number): void {
  const done = state[index * stateNumbers + doneAt];
  const fault = state[index * stateNumbers + faultAt];
  const step = order.steps[done];
  const failure = fault === 0 || step === undefined ? undefined : failureOf(step, fault);
  order.outcome.resolve({ done, failure });
}

function failureOf(step: FileStep, fault: number): Error {
  const [name, description] = getSystemErrorMap().get(-fault) ?? ['EIO', `error ${fault}`];
  return systemError(name, `${description}, ${step.kind} '${wordsOf(step)[1].join("' -> '")}'`);
}

function systemError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}
