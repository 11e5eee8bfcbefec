import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import type { Settings } from './peer-places.ts';

const startMs = 60_000;
/** It takes a second to end; what is left of it then is killed. */
const stopMs = 15_000;

/** The daemon of the Rust WombatKV with a door of each kind. */
export class RustDaemon {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  /** What a client is told, by the door that it comes through. */
  readonly settings: Readonly<Record<'shm' | 'tcp' | 'http', Settings>>;

  private constructor(child: ChildProcess, settings: RustDaemon['settings']) {
    this.#child = child;
    this.#ended = once(child, 'close');
    this.settings = settings;
  }

  /** Resolves when it waits for clients. */
  static async start(program: string, environment: Settings, notes: number): Promise<RustDaemon> {
    // It ends when the client of its shared memory does not come, so nobody else has this name.
    const prefix = `wmbtpeer${process.pid}`;
    const [tcp = '', http = ''] = await freeAddresses(2);
    const words = ['--prefix', prefix, '--tcp', tcp, '--http', http];
    const child = spawn(program, words, {
      ...{ env: environment, stdio: ['ignore', 'pipe', notes] },
    });
    const daemon = new RustDaemon(child, {
      shm: { WMBT_KV_REMOTE_PREFIX: prefix },
      tcp: { WMBT_KV_TCP_ADDR: tcp },
      http: { WMBT_KV_HTTP_ADDR: http },
    });
    try {
      await daemon.#saysOpening();
    } catch (error) {
      await daemon.stop();
      throw error;
    }
    return daemon;
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopMs);
    await this.#ended;
    clearTimeout(timer);
  }

  /** Its listeners are there before it opens its shared memory. */
  async #saysOpening(): Promise<void> {
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('the Rust daemon has no output');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), startMs);
    try {
      for await (const line of createInterface({ input: stdout })) {
        if (line.includes('"event":"opening"')) return;
      }
    } finally {
      clearTimeout(timer);
      // What it goes on saying is read and dropped, so that it never waits for a reader.
      stdout.resume();
    }
    throw new Error('the Rust daemon ended before it was ready');
  }
}

async function freeAddresses(count: number): Promise<readonly string[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports.map((port) => `127.0.0.1:${port}`);
}
