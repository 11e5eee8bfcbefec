import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { SimMachine } from './sim-machine.ts';
import type { SimProcess } from './sim-process.ts';

/** What became of a call. */
export type Outcome<Value> =
  | { readonly kind: 'answer'; readonly value: Value }
  | { readonly kind: 'failed'; readonly error: unknown }
  /** The process was killed before it answered. */
  | { readonly kind: 'died' };

/** A place for a store process on a machine. */
export interface Slot {
  readonly machine: SimMachine;
  process: SimProcess | undefined;
  store: KvStore | undefined;
  /** An opening or closing that is under way. */
  change: Promise<void> | undefined;
}

/** A place where no store has been opened yet. */
export function newSlot(machine: SimMachine): Slot {
  return { machine, process: undefined, store: undefined, change: undefined };
}
