import { createServer, connect } from 'node:net';
import type { Socket } from 'node:net';
import { encodeFrame, decodeFrameHeader, frameHeaderBytes } from '../../src/protocol/frame.ts';
import type { FrameType } from '../../src/protocol/frame-types.ts';

/** What becomes of the body of a message that the daemon sends. */
export type Alteration = (type: FrameType, body: Uint8Array) => Uint8Array;

export interface FrameRelayOptions {
  /** Paths of Unix sockets: where it listens, and the daemon's. */
  readonly path: string;
  readonly daemon: string;
  readonly alter?: Alteration;
}

/** Stands between clients and a daemon, counts what clients send, and may change what the daemon answers. */
export class FrameRelay {
  /** Bytes that came from clients, and how many frames of each type. */
  receivedBytes = 0;
  readonly received = new Map<FrameType, number>();
  readonly #sockets = new Set<Socket>();
  readonly #server;
  readonly #options: FrameRelayOptions;

  private constructor(options: FrameRelayOptions) {
    this.#options = options;
    this.#server = createServer((client) => {
      this.#relay(client);
    });
  }

  static async open(options: FrameRelayOptions): Promise<FrameRelay> {
    const relay = new FrameRelay(options);
    await new Promise<void>((resolve) => relay.#server.listen(options.path, resolve));
    return relay;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #relay(client: Socket): void {
    const daemon = connect(this.#options.daemon);
    for (const [one, other] of [
      [client, daemon],
      [daemon, client],
    ] as const) {
      this.#sockets.add(one);
      one
        .on('error', () => one.destroy())
        .on('close', () => {
          this.#sockets.delete(one);
          other.destroy();
        });
    }
    const count = framesOf((type) => {
      this.received.set(type, (this.received.get(type) ?? 0) + 1);
    });
    client.on('data', (chunk) => {
      this.receivedBytes += chunk.length;
      count(chunk);
      daemon.write(chunk);
    });
    const { alter = (_type, body) => body } = this.#options;
    const answer = framesOf((type, frame) => {
      const { id } = decodeFrameHeader(frame);
      const body = frame.subarray(frameHeaderBytes);
      const changed = type === 'data' ? body : alter(type, body);
      if (changed === body) client.write(frame);
      else for (const part of encodeFrame(type, id, changed)) client.write(part);
    });
    daemon.on('data', answer);
  }
}

/** Takes a stream of frames apart. */
function framesOf(onFrame: (type: FrameType, frame: Uint8Array) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= frameHeaderBytes) {
      const { type, length } = decodeFrameHeader(rest);
      const end = frameHeaderBytes + length;
      if (rest.length < end) return;
      onFrame(type, rest.subarray(0, end));
      rest = rest.subarray(end);
    }
  };
}
