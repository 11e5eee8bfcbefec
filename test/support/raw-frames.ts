import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { decodeFrameHeader, encodeFrame, frameHeaderBytes } from '../../src/protocol/frame.ts';
import type { FrameType } from '../../src/protocol/frame-types.ts';
import { decodeFailure, encodeHello } from '../../src/protocol/session-messages.ts';

/** A frame that came. */
export interface RawFrame {
  readonly type: FrameType;
  readonly id: number;
  readonly body: Uint8Array;
}

/** A client that speaks frames by hand, and may stop to read. */
export class RawFrames {
  readonly socket: Socket;
  readonly #frames: RawFrame[] = [];
  #rest = Buffer.alloc(0);
  #isClosed = false;
  #onChange = (): void => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#isClosed = true;
      this.#onChange();
    });
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  /** Connects to the URL of a daemon and says who it is. */
  static async open(url: string, clientId: string, token = '', features = 0): Promise<RawFrames> {
    const { hostname, port } = new URL(url);
    const where = url.startsWith('unix:')
      ? { path: url.slice('unix:'.length) }
      : { host: hostname, port: Number(port) };
    const socket = connect(where);
    await once(socket, 'connect');
    const raw = new RawFrames(socket);
    const hello = {
      versionOldest: 1,
      versionNewest: 1,
      features,
      clientId,
      token,
      agent: 'raw',
    };
    raw.send('hello', 0, encodeHello(hello));
    return raw;
  }

  send(type: FrameType, id: number, body?: Uint8Array): void {
    for (const part of encodeFrame(type, id, body)) this.socket.write(part);
  }

  /** Waits for a frame with that id, payloads and their data aside. */
  async frame(id: number): Promise<RawFrame> {
    for (;;) {
      const found = this.#frames.findIndex((one) => one.id === id);
      if (found >= 0) return this.#frames.splice(found, 1)[0];
      if (this.#isClosed) throw new Error(`the connection ended before frame ${id}`);
      await new Promise<void>((resolve) => {
        this.#onChange = resolve;
      });
    }
  }

  /** The code and text of the error that ends the call, or the type of what else does. */
  async outcome(id: number): Promise<string> {
    const { type, body } = await this.frame(id);
    if (type !== 'error') return type;
    const { code, message } = decodeFailure(body);
    return `${code} ${message}`;
  }

  close(): void {
    this.socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= frameHeaderBytes) {
      const { type, id, length } = decodeFrameHeader(this.#rest.subarray(0, frameHeaderBytes));
      if (this.#rest.length < frameHeaderBytes + length) return;
      const body = Uint8Array.from(
        this.#rest.subarray(frameHeaderBytes, frameHeaderBytes + length),
      );
      this.#rest = this.#rest.subarray(frameHeaderBytes + length);
      if (type === 'payload' || type === 'data') continue;
      this.#frames.push({ type, id, body });
      this.#onChange();
    }
  }
}
