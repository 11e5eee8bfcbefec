import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** Which way bytes go that the relay alters. */
export type Flipped = 'none' | 'requests' | 'answers';

/**
 * A relay between clients and a daemon on TCP that alters one byte of a connection: the one at a place that the
 * caller gives, of what goes one way. It counts what passed and what it altered.
 */
export class FlippingRelay {
  flipped: Flipped = 'none';
  /** The place, counted from the first byte of the connection. */
  at = 0;
  readonly bytes = { requests: 0, answers: 0 };
  flips = 0;
  readonly #targetPort: number;
  readonly #server = createServer((socket) => this.#relay(socket));
  readonly #open = new Set<Socket>();

  constructor(targetPort: number) {
    this.#targetPort = targetPort;
  }

  /** Starts to listen; gives the address of clients. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `tcp://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
  }

  #relay(client: Socket): void {
    const daemon = connect({ port: this.#targetPort, host: '127.0.0.1' });
    this.#pass(client, daemon, 'requests');
    this.#pass(daemon, client, 'answers');
  }

  #pass(from: Socket, to: Socket, way: 'requests' | 'answers'): void {
    this.#open.add(from);
    let passed = 0;
    from.on('data', (chunk: Buffer) => {
      const at = this.at - passed;
      if (this.flipped === way && at >= 0 && at < chunk.length) {
        chunk[at] ^= 0x10;
        this.flips += 1;
        this.flipped = 'none';
      }
      passed += chunk.length;
      this.bytes[way] += chunk.length;
      to.write(chunk);
    });
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.#open.delete(from);
      to.destroy();
    });
  }
}
