/**
 * The pair of pair.c for machines without a compiler: `tcp` or `unix` and a path. Its server is a
 * second process of the same program, which gets the word `serve` behind them.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { deferred } from '../../src/base/deferred.ts';
import type { Deferred } from '../../src/base/deferred.ts';
import { nodeSockets } from '../../src/platform/node-sockets.ts';
import type {
  SocketAddress,
  SocketConnection,
  SocketReceiver,
} from '../../src/platform/sockets.ts';

const [kind, path, mode] = process.argv.slice(2);
const memory = new Uint8Array(256 * 1024 * 1024).fill(1);

if (mode === 'serve') await serve();
else await measure();

async function serve(): Promise<void> {
  const address: SocketAddress =
    kind === 'tcp' ? { kind, host: '127.0.0.1', port: 0 } : { kind: 'unix', path };
  const listener = await nodeSockets.listen(address, (socket) => new Server(socket));
  console.log(JSON.stringify(listener.address));
  process.stdin.resume();
  process.stdin.once('end', () => process.exit(0));
}

async function measure(): Promise<void> {
  const args = [...process.execArgv, process.argv[1], kind, path, 'serve'];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const [first] = await firstLine(child.stdout);
  const client = new Client();
  const address = JSON.parse(first) as SocketAddress;
  const socket = await nodeSockets.connect(address, { timeoutMs: 5000 }, () => client);
  for await (const line of createInterface({ input: process.stdin })) {
    const [verb, bytes] = line.split(' ');
    const startNs = process.hrtime.bigint();
    await client.run(socket, verb === 'put', Number(bytes));
    console.log(String(process.hrtime.bigint() - startNs));
  }
  socket.destroy();
  child.stdin.end();
}

async function firstLine(input: NodeJS.ReadableStream): Promise<readonly string[]> {
  for await (const line of createInterface({ input })) return [line];
  throw new Error('the server of the pair has no address');
}

class Server implements SocketReceiver {
  readonly #socket: SocketConnection;
  readonly #order = new Float64Array(2);
  readonly #orderBytes = new Uint8Array(this.#order.buffer);
  #at = 0;
  #toTake = 0;

  constructor(socket: SocketConnection) {
    this.#socket = socket;
  }

  nextBuffer(): Uint8Array {
    if (this.#toTake > 0) return memory.subarray(0, this.#toTake);
    return this.#orderBytes.subarray(this.#at);
  }

  received(count: number): void {
    if (this.#toTake > 0) {
      this.#toTake -= count;
      if (this.#toTake === 0) this.#socket.write([Uint8Array.of(1)]);
      return;
    }
    this.#at += count;
    if (this.#at < this.#orderBytes.length) return;
    this.#at = 0;
    const [isPut, bytes] = this.#order;
    if (isPut === 1) this.#toTake = bytes;
    else this.#socket.write([memory.subarray(0, bytes)]);
  }

  closed(): void {
    this.#toTake = 0;
  }
}

class Client implements SocketReceiver {
  #left = 0;
  #done: Deferred<void> = deferred();

  async run(socket: SocketConnection, isPut: boolean, bytes: number): Promise<void> {
    this.#left = isPut ? 1 : bytes;
    this.#done = deferred();
    const order = new Uint8Array(Float64Array.of(isPut ? 1 : 0, bytes).buffer);
    socket.write(isPut ? [order, memory.subarray(0, bytes)] : [order]);
    await this.#done.promise;
  }

  nextBuffer(): Uint8Array {
    return memory.subarray(0, Math.max(1, this.#left));
  }

  received(count: number): void {
    this.#left -= count;
    if (this.#left <= 0) this.#done.resolve();
  }

  closed(cause: Error | undefined): void {
    this.#done.reject(cause ?? new Error('the server of the pair has gone'));
  }
}
