import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** How the relay cuts the connections that pass through it. */
export type Cut = 'none' | 'at-connect' | 'between-frames' | 'in-request-body' | 'in-answer-body';

/**
 * A relay between clients and a daemon on TCP that cuts connections: every one that passes so many
 * bytes of a direction, or at once. Counts its cuts by kind.
 */
export class CuttingRelay {
  readonly counts: Record<Exclude<Cut, 'none'>, number> = {
    'at-connect': 0,
    'between-frames': 0,
    'in-request-body': 0,
    'in-answer-body': 0,
  };
  cut: Cut = 'none';
  /** Bytes after which a body is cut; below a piece of a payload, above all that is not one. */
  afterBytes = 100_000;
  targetPort: number;
  /** Whether connections are refused, as all are that come while the wire is off. */
  isOff = false;
  /** Whether the wire goes off with the next cut of a body. */
  goesOff = false;
  readonly #server = createServer((socket) => this.#relay(socket));
  readonly #open = new Set<Socket>();

  constructor(targetPort: number) {
    this.targetPort = targetPort;
  }

  /** Starts to listen; gives the address of clients. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `tcp://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cuts every connection now, of which none is in the middle of a body. */
  cutAll(): void {
    this.dropAll();
    this.counts['between-frames'] += 1;
  }

  /** The same, uncounted: to have clients connect again. */
  dropAll(): void {
    for (const socket of this.#open) socket.destroy();
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
  }

  #relay(client: Socket): void {
    if (this.isOff) {
      client.on('error', () => undefined).destroy();
      return;
    }
    if (this.cut === 'at-connect') {
      this.counts['at-connect'] += 1;
      this.cut = 'none';
      client.destroy();
      return;
    }
    const daemon = connect({ port: this.targetPort, host: '127.0.0.1' });
    this.#pass(client, daemon, 'in-request-body');
    this.#pass(daemon, client, 'in-answer-body');
  }

  #turnOff(): void {
    this.goesOff = false;
    this.isOff = true;
    this.dropAll();
  }

  #pass(from: Socket, to: Socket, kind: 'in-request-body' | 'in-answer-body'): void {
    let passed = 0;
    this.#open.add(from);
    from.on('error', () => undefined);
    from.on('close', () => {
      this.#open.delete(from);
      to.destroy();
    });
    from.on('data', (chunk: Buffer) => {
      passed = this.cut === kind ? passed + chunk.length : 0;
      if (passed > this.afterBytes) {
        this.counts[kind] += 1;
        this.cut = 'none';
        from.destroy();
        to.destroy();
        if (this.goesOff) this.#turnOff();
        return;
      }
      if (!to.write(chunk)) {
        from.pause();
        to.once('drain', () => from.resume());
      }
    });
  }
}
