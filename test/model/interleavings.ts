/**
 * Runs small programs of several threads over shared words in every order that a memory model allows,
 * and asks after each order whether what must hold does. Memory is one for all: as on x86-64 and
 * ARM64, a store is seen by all other threads at once. What differs is which operations of one thread
 * may take place before earlier ones of the same thread.
 */

/**
 * - `sequential`: none.
 * - `tso`: a load before an earlier store to another word, as on x86-64.
 * - `weak`: whatever C11 allows on such a memory: only what a dependency, an acquire, a release or a
 *   fence orders is in order. ARM64 allows no more.
 */
export type MemoryModel = 'sequential' | 'tso' | 'weak';

/** Values that a thread has loaded; undefined until then. */
export type Registers = Readonly<Record<string, number | undefined>>;

interface Common {
  /** Registers that must be loaded before: operands, and for stores what a branch depends on. */
  readonly needs?: readonly string[];
  /** False: the operation is skipped, being in a branch that is not taken. */
  readonly when?: (registers: Registers) => boolean;
}

export interface Load extends Common {
  readonly kind: 'load';
  readonly word: string | ((registers: Registers) => string);
  readonly into: string;
  readonly isAcquire?: boolean;
}

export interface Store extends Common {
  readonly kind: 'store';
  readonly word: string | ((registers: Registers) => string);
  readonly value: number | ((registers: Registers) => number);
  readonly isRelease?: boolean;
}

export interface Fence {
  readonly kind: 'fence';
  readonly order: 'acquire' | 'release' | 'full';
}

export type Operation = Load | Store | Fence;

export interface Thread {
  readonly name: string;
  readonly operations: readonly Operation[];
}

export interface Program {
  readonly memory: Readonly<Record<string, number>>;
  readonly threads: readonly Thread[];
  /** A sentence that says what is wrong with an outcome, or undefined. */
  readonly fault: (outcome: Outcome) => string | undefined;
}

export interface Outcome {
  readonly memory: Readonly<Record<string, number>>;
  /** Registers of each thread, by its name. */
  readonly registers: Readonly<Record<string, Registers>>;
}

export interface Exploration {
  /** Different states that were reached. */
  readonly states: number;
  readonly outcomes: number;
  /** The first outcome that must not be, with the steps to it. */
  readonly violation: { readonly fault: string; readonly steps: readonly string[] } | undefined;
}

/** What grows with the number of operations; more means that the program is too large for this. */
const statesMax = 3_000_000;

interface State {
  readonly memory: Record<string, number>;
  readonly registers: Record<string, number | undefined>[];
  /** For each thread which operations have taken place. */
  readonly done: boolean[][];
}

/** Every order of the program's operations that the model allows. */
export function explore(program: Program, model: MemoryModel): Exploration {
  const seen = new Set<string>();
  const steps: string[] = [];
  let outcomes = 0;
  let violation: Exploration['violation'];

  const visit = (state: State): void => {
    const key = JSON.stringify(state);
    if (violation !== undefined || seen.has(key)) return;
    seen.add(key);
    if (seen.size > statesMax) throw new Error(`more than ${statesMax} states`);
    let isEnd = true;
    for (const [thread, { name, operations }] of program.threads.entries()) {
      for (const index of operations.keys()) {
        if (!mayRun(operations, state, { thread, index }, model)) continue;
        isEnd = false;
        steps.push(`${name} ${index}`);
        visit(after(operations[index], state, { thread, index }));
        steps.pop();
      }
    }
    if (!isEnd) return;
    outcomes += 1;
    const registers = Object.fromEntries(
      program.threads.map(({ name }, thread) => [name, state.registers[thread]]),
    );
    const fault = program.fault({ memory: state.memory, registers });
    if (fault !== undefined) violation ??= { fault, steps: [...steps] };
  };

  visit({
    memory: { ...program.memory },
    registers: program.threads.map(() => ({})),
    done: program.threads.map(({ operations }) => operations.map(() => false)),
  });
  return { states: seen.size, outcomes, violation };
}

interface Place {
  readonly thread: number;
  readonly index: number;
}

function mayRun(
  operations: readonly Operation[],
  { done, registers }: State,
  { thread, index }: Place,
  model: MemoryModel,
): boolean {
  if (done[thread][index]) return false;
  const own = registers[thread];
  const operation = operations[index];
  if (operation.kind !== 'fence') {
    if ((operation.needs ?? []).some((name) => !isKnown(operations, done[thread], own, name)))
      return false;
  }
  for (let earlier = 0; earlier < index; earlier += 1) {
    if (done[thread][earlier]) continue;
    if (mustFollow(operation, operations[earlier], own, model)) return false;
  }
  return true;
}

/** True when the register has its value, or none will come because its load was skipped. */
function isKnown(
  operations: readonly Operation[],
  done: readonly boolean[],
  registers: Registers,
  name: string,
): boolean {
  if (registers[name] !== undefined) return true;
  const loads = operations.flatMap((one, at) =>
    one.kind === 'load' && one.into === name ? [at] : [],
  );
  return loads.every((at) => done[at]);
}

/** True when `later` cannot take place before `earlier`, both of one thread. */
function mustFollow(
  later: Operation,
  earlier: Operation,
  registers: Registers,
  model: MemoryModel,
): boolean {
  if (model === 'sequential') return true;
  if (later.kind === 'fence' || earlier.kind === 'fence') return fenceOrders(later, earlier);
  if (mayBeSameWord(later, earlier, registers)) return true;
  if (model === 'tso') return !(later.kind === 'load' && earlier.kind === 'store');
  if (earlier.kind === 'load' && earlier.isAcquire === true) return true;
  return later.kind === 'store' && later.isRelease === true;
}

function fenceOrders(later: Operation, earlier: Operation): boolean {
  if (later.kind === 'fence') {
    if (earlier.kind === 'fence' || later.order !== 'acquire') return true;
    return earlier.kind === 'load';
  }
  if (earlier.kind !== 'fence') return false;
  return earlier.order !== 'release' || later.kind === 'store';
}

function mayBeSameWord(a: Load | Store, b: Load | Store, registers: Registers): boolean {
  return wordOf(a, registers) === wordOf(b, registers);
}

function wordOf({ word }: Load | Store, registers: Registers): string {
  return typeof word === 'string' ? word : word(registers);
}

function after(operation: Operation, state: State, { thread, index }: Place): State {
  const registers = state.registers.map((own) => ({ ...own }));
  const done = state.done.map((own) => [...own]);
  const memory = { ...state.memory };
  done[thread][index] = true;
  const own = registers[thread];
  if (operation.kind !== 'fence' && (operation.when?.(own) ?? true)) {
    const word = wordOf(operation, own);
    if (operation.kind === 'load') own[operation.into] = memory[word] ?? 0;
    else
      memory[word] = typeof operation.value === 'number' ? operation.value : operation.value(own);
  }
  return { memory, registers, done };
}
