import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { deferred } from '../../src/base/deferred.ts';
import { nodeSockets } from '../../src/platform/node-sockets.ts';
import type {
  SocketAddress,
  SocketConnection,
  SocketReceiver,
} from '../../src/platform/sockets.ts';

const startMs = 10_000;

/** A Redis of this machine, in memory only, behind a Unix socket and a TCP port. */
export class RedisPeer {
  readonly version: string;
  /** Of its Unix socket. */
  readonly path: string;
  readonly unix: RedisClient;
  readonly tcp: RedisClient;
  readonly #child: ChildProcess;

  private constructor(
    child: ChildProcess,
    { version, path }: { readonly version: string; readonly path: string },
    clients: readonly RedisClient[],
  ) {
    this.#child = child;
    this.version = version;
    this.path = path;
    [this.unix, this.tcp] = clients;
  }

  /** Undefined where `redis-server` is not installed (Debian: the package of that name). */
  static async start(directory: string): Promise<RedisPeer | undefined> {
    const look = spawnSync('redis-server', ['--version'], { encoding: 'utf8' });
    if (look.status !== 0) return undefined;
    const [, version = 'unknown'] = /v=(\S+)/.exec(look.stdout) ?? [];
    const path = join(directory, 'redis.sock');
    const port = await freePort();
    const settings = [
      ...['--port', String(port), '--bind', '127.0.0.1', '--unixsocket', path, '--save', ''],
      ...['--appendonly', 'no', '--dir', directory, '--loglevel', 'warning'],
    ];
    const child = spawn('redis-server', settings, { stdio: 'ignore' });
    const unix = await RedisClient.connect({ kind: 'unix', path });
    const tcp = await RedisClient.connect({ kind: 'tcp', host: '127.0.0.1', port });
    return new RedisPeer(child, { version, path }, [unix, tcp]);
  }

  async stop(): Promise<void> {
    this.unix.close();
    this.tcp.close();
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const lineEnd = new TextEncoder().encode('\r\n');
const scratchBytes = 64 * 1024;

/**
 * A small client of RESP, as fast as one in Node can be: a pipeline in one write, values received
 * straight into memory that is used again.
 */
export class RedisClient implements SocketReceiver {
  #socket: SocketConnection | undefined;
  readonly #scratch = new Uint8Array(scratchBytes);
  #start = 0;
  #end = 0;
  /** Where values go, the next one first; none are expected in answers to SET and DEL. */
  #values: Uint8Array[] = [];
  #value: Uint8Array | undefined;
  #filled = 0;
  #left = 0;
  #done = deferred<void>();

  static async connect(address: SocketAddress): Promise<RedisClient> {
    const client = new RedisClient();
    const endMs = Date.now() + startMs;
    for (;;) {
      try {
        client.#socket = await nodeSockets.connect(address, { timeoutMs: 1000 }, () => client);
        return client;
      } catch (error) {
        if (Date.now() > endMs) throw error;
        await sleep(20);
      }
    }
  }

  async set(names: readonly string[], payloads: readonly Uint8Array[]): Promise<void> {
    const parts = names.flatMap((name, index) => [
      commandOf('SET', name, `$${payloads[index].length}\r\n`),
      payloads[index],
      lineEnd,
    ]);
    await this.#run(parts, names.length, []);
  }

  /** Gets values into the memory, each of its length. */
  async get(names: readonly string[], into: readonly Uint8Array[]): Promise<void> {
    const parts = names.map((name) => commandOf('GET', name));
    await this.#run(parts, names.length, into);
  }

  async clear(): Promise<void> {
    await this.#run([new TextEncoder().encode('*1\r\n$8\r\nFLUSHALL\r\n')], 1, []);
  }

  close(): void {
    this.#socket?.destroy();
  }

  nextBuffer(): Uint8Array {
    if (this.#value !== undefined) return this.#value.subarray(this.#filled);
    if (this.#start === this.#end) this.#start = this.#end = 0;
    return this.#scratch.subarray(this.#end);
  }

  received(count: number): void {
    if (this.#value !== undefined) {
      this.#filled += count;
      if (this.#filled === this.#value.length) this.#value = undefined;
      return;
    }
    this.#end += count;
    while (this.#start < this.#end && this.#value === undefined && this.#readLine()) continue;
  }

  closed(cause: Error | undefined): void {
    // Nobody waits for what is closed between two batches.
    if (this.#left > 0) this.#done.reject(cause ?? new Error('Redis has gone'));
  }

  /** Reads one line; the empty one behind a value is what is left of its end. False: not whole yet. */
  #readLine(): boolean {
    const end = this.#scratch.indexOf(10, this.#start);
    if (end < 0 || end >= this.#end) return false;
    const line = Buffer.from(this.#scratch.subarray(this.#start, end - 1)).toString('latin1');
    this.#start = end + 1;
    if (line === '') return true;
    if (line.startsWith('$')) this.#beginValue(Number(line.slice(1)));
    else if (!line.startsWith('+')) throw new Error(`Redis answers ${line}`);
    this.#left -= 1;
    // The last value is still to come; its bytes are what is waited for.
    if (this.#left === 0 && this.#value === undefined) this.#done.resolve();
    return true;
  }

  #beginValue(length: number): void {
    const value = this.#values.shift();
    if (value?.length !== length) throw new Error(`Redis gives a value of ${length} bytes`);
    const here = Math.min(length, this.#end - this.#start);
    value.set(this.#scratch.subarray(this.#start, this.#start + here));
    this.#start += here;
    if (here < length) [this.#value, this.#filled] = [value, here];
  }

  async #run(
    parts: readonly Uint8Array[],
    answers: number,
    into: readonly Uint8Array[],
  ): Promise<void> {
    // A PING closes the pipeline, so that its answer comes behind the last value.
    this.#left = answers + 1;
    this.#values = [...into];
    this.#done = deferred();
    this.#socket?.write([...parts, new TextEncoder().encode('*1\r\n$4\r\nPING\r\n')]);
    await this.#done.promise;
  }
}

function commandOf(verb: string, name: string, more = ''): Uint8Array {
  const count = more === '' ? 2 : 3;
  const text = `*${count}\r\n$${verb.length}\r\n${verb}\r\n$${name.length}\r\n${name}\r\n${more}`;
  return new TextEncoder().encode(text);
}
