import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KvStore } from '../../../src/blocks/kv-store.ts';
import { ClientStore } from '../../../src/client/client-store.ts';
import { defaultNamespaceName, parseNamespace } from '../../../src/blocks/namespace.ts';
import type { ObjectStore } from '../../../src/objectstore/object-store.ts';
import { openObjectStore } from '../../../src/objectstore/open-object-store.ts';
import { nodePlatform } from '../../../src/platform/node-platform.ts';
import type {
  BucketFaults,
  KvStoreHarness,
  World,
  WorldStoreOptions,
} from '../../conformance/kv-store-harness.ts';
import type { DoorKind } from '../../support/daemon-world.ts';
import { patience } from '../../support/patience.ts';
import { CLibrary } from './c-library.ts';
import { CStore } from './c-store.ts';
import type { Answer, Created, Order, Place } from './world-host.ts';

/** The process with the stores and their daemons. */
class HostProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #count = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (answer: Answer) => {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    child.on('exit', (status, signal) => {
      const failure = `the process with the daemons ended: ${signal ?? status}`;
      for (const [id, settle] of this.#waiting) settle({ id, failure });
      this.#waiting.clear();
    });
  }

  static async start(door: DoorKind): Promise<HostProcess> {
    const script = fileURLToPath(new URL('./world-host.js', import.meta.url));
    const child = fork(script, [door], { execArgv: ['--enable-source-maps'] });
    const [first] = (await once(child, 'message')) as [unknown];
    if (first !== 'ready') throw new Error(`the process with the daemons says ${String(first)}`);
    return new HostProcess(child);
  }

  ask(order: Order): Promise<unknown> {
    this.#count += 1;
    const id = this.#count;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ failure, value }) => {
        if (failure === undefined) resolve(value);
        else reject(new Error(failure));
      });
      this.#child.send({ id, order }, (error) => {
        if (error !== null) this.#waiting.get(id)?.({ id, failure: error.message });
      });
    });
  }

  async end(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    await ended;
  }
}

/**
 * How the library reaches a daemon. `embedded`: as the store of its own, whose process is a shell that says where the
 * daemon is, and stays as long as the library does.
 */
export type CDoor = DoorKind | 'embedded';

const shell = '/bin/sh';

/** Worlds whose stores are used through `libwombatkv`; the daemons are in a process of their own. */
export function cHarness(
  libraryPath: Promise<string>,
  door: CDoor,
): KvStoreHarness & { close(): Promise<void> } {
  let host: Promise<HostProcess> | undefined;
  let library: Promise<CLibrary> | undefined;
  return {
    // Each waiting call keeps a thread of the pool, of which there are few.
    concurrency: 1,
    // What is behind the door tries more of them.
    sequences: 8,
    createWorld: async () => {
      host ??= HostProcess.start(door === 'embedded' ? 'shm' : door);
      const process = await host;
      library ??= libraryPath.then((path) => new CLibrary(path));
      const created = (await process.ask({ kind: 'create' })) as Created;
      return new CWorld({ host: process, library: await library, created, door });
    },
    close: async () => {
      await (await host)?.end();
    },
  };
}

interface CWorldParts {
  readonly host: HostProcess;
  readonly library: CLibrary;
  readonly created: Created;
  readonly door: CDoor;
}

class CWorld implements World {
  readonly bucket: ObjectStore;
  readonly faults: BucketFaults;
  readonly #host: HostProcess;
  readonly #library: CLibrary;
  readonly #world: number;
  readonly #door: CDoor;
  readonly #open = new Map<KvStore, { readonly client: KvStore; readonly daemon: number }>();

  constructor({ host, library, created, door }: CWorldParts) {
    this.#host = host;
    this.#library = library;
    this.#world = created.world;
    this.#door = door;
    this.bucket = openObjectStore(`file://${created.bucket}`, nodePlatform());
    const { world } = created;
    this.faults = {
      setMode: async (mode) => {
        await host.ask({ kind: 'mode', world, mode });
      },
    };
  }

  async open(host: string, options: WorldStoreOptions = {}): Promise<KvStore> {
    const world = this.#world;
    const place = (await this.#host.ask({ kind: 'open', world, host, options })) as Place;
    const namespace = options.namespace ?? parseNamespace(defaultNamespaceName);
    const client = new ClientStore(await this.#connect(place, options), namespace, undefined);
    const { daemon } = place;
    const store = closingBoth(client, async () => {
      await this.#host.ask({ kind: 'stop', world, daemon });
    });
    this.#open.set(store, { client, daemon });
    return store;
  }

  async crash(store: KvStore): Promise<void> {
    const open = this.#open.get(store);
    if (open === undefined) return;
    this.#open.delete(store);
    await this.#host.ask({ kind: 'crash', world: this.#world, daemon: open.daemon });
    await open.client.close();
  }

  async wipe(host: string): Promise<void> {
    await this.#host.ask({ kind: 'wipe', world: this.#world, host });
  }

  async dispose(): Promise<void> {
    for (const store of [...this.#open.keys()]) await this.crash(store);
    await this.#host.ask({ kind: 'dispose', world: this.#world });
    await this.bucket.close();
  }

  async #connect({ url, directory, prefix }: Place, options: WorldStoreOptions): Promise<CStore> {
    const { lookupDeadlineMs, loadDeadlineMs } = { ...patience, ...options };
    const settings = [`WMBT_KV_RUNTIME_DIR=${directory}`];
    if (lookupDeadlineMs !== undefined) {
      settings.push(`WMBT_KV_LOOKUP_DEADLINE_MS=${lookupDeadlineMs}`);
    }
    if (loadDeadlineMs !== undefined) settings.push(`WMBT_KV_LOAD_DEADLINE_MS=${loadDeadlineMs}`);
    if (this.#door === 'embedded') settings.push(...(await storeProcess(url, directory, prefix)));
    const address = url.replace(/^\w+:\/*/, '');
    return CStore.open(this.#library, {
      settings,
      namespace: options.namespace,
      tcpAddress: this.#door === 'tcp' ? address : undefined,
      httpAddress: this.#door === 'http' ? address : undefined,
      remotePrefix: this.#door === 'shm' || this.#door === 'unix' ? prefix : undefined,
    });
  }
}

/** Settings by which the library starts a process of its own that has the daemon's socket to show. */
async function storeProcess(
  url: string,
  directory: string,
  name: string,
): Promise<readonly string[]> {
  const program = join(directory, `${name}.sh`);
  const socket = url.slice('unix:'.length);
  await writeFile(program, `printf 'ready %s\\n' '${socket}' >&3\nread -r _ <&3\n`);
  return [`WMBT_KV_NODE=${shell}`, `WMBT_KV_STORE=${program}`];
}

/** The client, whose close() stops the daemon too: for the suite they are one store. */
function closingBoth(client: KvStore, stopDaemon: () => Promise<void>): KvStore {
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await client.close();
    await stopDaemon();
  };
  return new Proxy(client, {
    get: (target, name) => {
      if (name === 'close') return () => (closing ??= close());
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}
