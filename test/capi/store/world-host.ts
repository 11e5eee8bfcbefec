import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KvStore } from '../../../src/blocks/kv-store.ts';
import type { ServedStore } from '../../../src/blocks/served-store.ts';
import { announcementOf } from '../../../src/blocks/socket-path.ts';
import type { Daemon } from '../../../src/daemon/daemon.ts';
import { openObjectStore } from '../../../src/objectstore/open-object-store.ts';
import { nodePlatform } from '../../../src/platform/node-platform.ts';
import type { BucketMode, World, WorldStoreOptions } from '../../conformance/kv-store-harness.ts';
import { doorOf, startDaemon } from '../../support/daemon-world.ts';
import type { DoorKind } from '../../support/daemon-world.ts';
import { inProcessHarness } from '../../support/in-process-world.ts';
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../support/temporary-directory.ts';

/** What the process with the daemons is asked for. */
export type Order =
  | { readonly kind: 'create' }
  | ({ readonly kind: 'open'; readonly world: number; readonly host: string } & {
      readonly options: WorldStoreOptions;
    })
  | { readonly kind: 'crash' | 'stop'; readonly world: number; readonly daemon: number }
  | { readonly kind: 'wipe'; readonly world: number; readonly host: string }
  | { readonly kind: 'mode'; readonly world: number; readonly mode: BucketMode }
  | { readonly kind: 'dispose'; readonly world: number };

/** Where a daemon is: `unix` sockets are named by a directory and a prefix, as clients in C name them. */
export interface Place {
  readonly daemon: number;
  readonly url: string;
  readonly directory: string;
  readonly prefix: string;
}

export interface Created {
  readonly world: number;
  /** The bucket's directory. */
  readonly bucket: string;
}

export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly failure?: string;
}

/** A budget whose index is small: a world is made for every case. */
const sharedBytes = 64 * 1024 * 1024;

interface Hosted {
  readonly world: World;
  readonly directory: TemporaryDirectory;
  readonly daemons: Map<number, { readonly store: KvStore; readonly daemon: Daemon }>;
}

/** Worlds whose stores stand behind daemons in this process. Its parent has clients of another language. */
class WorldHost {
  readonly #door: DoorKind;
  readonly #worlds = new Map<number, Hosted>();
  #buckets: string[] = [];
  readonly #harness = inProcessHarness((directory) => {
    this.#buckets.push(directory);
    return openObjectStore(`file://${directory}`, nodePlatform());
  });
  #count = 0;

  constructor(door: DoorKind) {
    this.#door = door;
  }

  do(order: Order): Promise<unknown> {
    switch (order.kind) {
      case 'create':
        return this.#create();
      case 'open':
        return this.#open(order.world, order.host, order.options);
      case 'crash':
        return this.#crash(order.world, order.daemon);
      case 'stop':
        return this.#stop(order.world, order.daemon);
      case 'wipe':
        return this.#hosted(order.world).world.wipe(order.host);
      case 'mode':
        return this.#hosted(order.world).world.faults.setMode(order.mode);
      case 'dispose':
        return this.#dispose(order.world);
      default:
        return order satisfies never;
    }
  }

  async #create(): Promise<Created> {
    const directory = await makeTemporaryDirectory('c-world');
    const world = await this.#harness.createWorld();
    const bucket = this.#buckets.pop() ?? '';
    const number = this.#next();
    this.#worlds.set(number, { world, directory, daemons: new Map() });
    return { world: number, bucket };
  }

  async #open(number: number, host: string, options: WorldStoreOptions): Promise<Place> {
    const { world, directory, daemons } = this.#hosted(number);
    const id = this.#next();
    const prefix = `s${id}`;
    const isShared = this.#door === 'shm';
    const sharedDirectory = join(directory.path, `memory-${prefix}`);
    const memory = isShared ? { sharedDirectory, memoryBytes: sharedBytes } : {};
    // The stores of the inner world are real ones.
    const store = (await world.open(host, { ...memory, ...options })) as ServedStore;
    const run = join(directory.path, 'run');
    await mkdir(run, { recursive: true, mode: 0o700 });
    const daemon = await startDaemon(store, doorOf(this.#door, run, prefix));
    const { url } = daemon.addresses[0];
    if (isShared) await writeFile(announcementOf(url.slice('unix:'.length)), sharedDirectory);
    daemons.set(id, { store, daemon });
    return { daemon: id, url, directory: run, prefix };
  }

  async #crash(number: number, id: number): Promise<void> {
    const { world, daemons } = this.#hosted(number);
    const served = daemons.get(id);
    if (served === undefined) return;
    daemons.delete(id);
    await world.crash(served.store);
    // Its doors close; the store behind them does not answer any more.
    void served.daemon.abandon();
  }

  async #stop(number: number, id: number): Promise<void> {
    const { daemons } = this.#hosted(number);
    await daemons.get(id)?.daemon.stop();
  }

  async #dispose(number: number): Promise<void> {
    const { world, directory, daemons } = this.#hosted(number);
    for (const id of [...daemons.keys()]) await this.#crash(number, id);
    this.#worlds.delete(number);
    await world.dispose();
    await directory.remove();
  }

  #hosted(number: number): Hosted {
    const hosted = this.#worlds.get(number);
    if (hosted === undefined) throw new RangeError(`no world ${number}`);
    return hosted;
  }

  #next(): number {
    this.#count += 1;
    return this.#count;
  }
}

const host = new WorldHost(process.argv[2] as DoorKind);

process.on('message', ({ id, order }: { readonly id: number; readonly order: Order }) => {
  void host.do(order).then(
    (value) => process.send?.({ id, value } satisfies Answer),
    (error: unknown) => process.send?.({ id, failure: String(error) } satisfies Answer),
  );
});
// Its parent has gone: what it was started for is over.
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
