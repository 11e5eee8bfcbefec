import { promisify } from 'node:util';
import koffi from 'koffi';
import { Structure } from './c-structures.ts';
import type { Address } from './c-structures.ts';

/** What is passed: an address, memory, or a number. Whoever calls refers to it until the call has ended. */
export type CArgument = Address | Structure | Uint8Array | number;

type CFunction = (...values: readonly unknown[]) => unknown;
/** A function as the binding gives it. */
type BoundFunction = ReturnType<ReturnType<typeof koffi.load>['func']>;
type CCall = (...values: readonly unknown[]) => Promise<number>;

/** The functions of the header that calls of a store are made by. */
export const callNames = [
  'lookup',
  'contains',
  'load',
  'prefetch',
  'save',
  'flush',
  'delete',
  'save_tail',
  'load_tail',
  'save_raw_tail',
  'load_raw_tail',
  'stats',
] as const;

export type CallName = (typeof callNames)[number];

/** Arguments of each: `p` a pointer, `n` a size, `i` a number of 32 bits. */
const shapes: Readonly<Record<CallName, string>> = {
  lookup: 'pppnpp',
  contains: 'pppnpp',
  load: 'pppnpppp',
  prefetch: 'pppnpp',
  save: 'pppnpp',
  flush: 'ppp',
  delete: 'ppipnpp',
  save_tail: 'ppppp',
  load_tail: 'ppppnppp',
  save_raw_tail: 'ppppnpp',
  load_raw_tail: 'pppppp',
  stats: 'ppppp',
};

const types: Readonly<Record<string, string>> = { p: 'void *', n: 'size_t', i: 'int32_t' };

/** Calls wait for a daemon, on a stack of the binding's own. */
koffi.config({ async_stack_size: 512 * 1024, max_async_calls: 4096 });

/** `libwombatkv` by a foreign function interface: calls run on threads of the pool. */
export class CLibrary {
  readonly #calls: ReadonlyMap<CallName, CCall>;
  readonly #simple: Readonly<Record<'cancelNew' | 'cancel' | 'cancelFree' | 'release', CFunction>>;
  readonly #open: CCall;
  readonly #free: CCall;

  constructor(path: string) {
    const library = koffi.load(path);
    const bind = (name: string, result: string, shape: string): BoundFunction =>
      library.func(
        `wmbt_kv_${name}`,
        result,
        Array.from(shape, (letter) => types[letter]),
      );
    const bindCall = (name: string, result: string, shape: string): CCall =>
      promisify(bind(name, result, shape).async) as CCall;
    this.#calls = new Map(callNames.map((name) => [name, bindCall(name, 'int32_t', shapes[name])]));
    this.#open = bindCall('open', 'void *', 'p');
    this.#free = bindCall('free', 'void', 'p');
    this.#simple = {
      cancelNew: bind('cancel_new', 'void *', ''),
      cancel: bind('cancel', 'void', 'p'),
      cancelFree: bind('cancel_free', 'void', 'p'),
      release: bind('release_borrow', 'void', 'p'),
    };
  }

  call(name: CallName, ...values: readonly CArgument[]): Promise<number> {
    const call = this.#calls.get(name);
    if (call === undefined) throw new TypeError(`no function ${name}`);
    return call(...values.map((value) => (value instanceof Structure ? value.memory : value)));
  }

  /** The handle; nothing when there is none. */
  async open(options: Structure): Promise<Address | undefined> {
    const handle: unknown = await this.#open(options.memory);
    return typeof handle === 'bigint' && handle !== 0n ? handle : undefined;
  }

  async free(handle: Address): Promise<void> {
    await this.#free(handle);
  }

  newCancel(): Address {
    return this.#simple.cancelNew() as Address;
  }

  cancel(cancel: Address): void {
    this.#simple.cancel(cancel);
  }

  freeCancel(cancel: Address): void {
    this.#simple.cancelFree(cancel);
  }

  release(borrow: Address): void {
    this.#simple.release(borrow);
  }
}
