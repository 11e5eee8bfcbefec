import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** Where the relay cuts a connection of HTTP. */
export const httpCuts = [
  'at-connect',
  'between-requests',
  'in-request-head',
  'in-request-body',
  'in-answer-head',
  'in-answer-body',
] as const;
export type HttpCut = (typeof httpCuts)[number];

/** A cut in what follows a request for one operation. */
export interface ArmedCut {
  readonly kind: Exclude<HttpCut, 'between-requests'>;
  /** The end of the path of the request that is meant. */
  readonly operation: string;
  /** Bytes of the head, or of the body behind it, that still pass. */
  readonly afterBytes: number;
}

const headEnd = Buffer.from('\r\n\r\n');

/**
 * A relay between clients and an HTTP server that knows heads from bodies as far as it must, and cuts connections in
 * them. Counts its cuts by kind.
 */
export class CuttingHttpRelay {
  readonly counts = Object.fromEntries(httpCuts.map((kind) => [kind, 0])) as Record<
    HttpCut,
    number
  >;
  readonly #targetPort: number;
  readonly #server = createServer((socket) => this.#relay(socket));
  readonly #open = new Set<Socket>();
  #armed: ArmedCut | undefined;

  constructor(targetPort: number) {
    this.#targetPort = targetPort;
  }

  /** The cut that has not happened yet. */
  get armed(): ArmedCut | undefined {
    return this.#armed;
  }

  /** Starts to listen; gives the address of clients. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Arms the next cut; one at connecting meets the next connection that is made. */
  arm(cut: ArmedCut): void {
    this.#armed = cut;
  }

  /** Cuts every connection now, none of which is in an exchange. */
  cutAll(): void {
    this.counts['between-requests'] += 1;
    this.#dropAll();
  }

  close(): void {
    this.#server.close();
    this.#dropAll();
  }

  #dropAll(): void {
    for (const socket of this.#open) socket.destroy();
  }

  #relay(client: Socket): void {
    if (this.#armed?.kind === 'at-connect') {
      this.#hit('at-connect');
      client.destroy();
      return;
    }
    const server = connect({ port: this.#targetPort, host: '127.0.0.1' });
    // Undefined until the request that is meant has begun; then how it goes on.
    const state = { isMeant: false };
    this.#pass(client, server, 'request', state);
    this.#pass(server, client, 'answer', state);
  }

  #pass(from: Socket, to: Socket, side: 'request' | 'answer', state: { isMeant: boolean }): void {
    this.#open.add(from);
    from.on('error', () => undefined);
    from.on('close', () => {
      this.#open.delete(from);
      to.destroy();
    });
    const reader = { isInBody: false, passed: 0 };
    from.on('data', (chunk: Buffer) => {
      const armed = this.#armed;
      if (side === 'request' && !state.isMeant && armed !== undefined) {
        const line = chunk.subarray(0, 300).toString('latin1').split('\r\n')[0];
        state.isMeant = line.includes(`/${armed.operation} HTTP/`);
        if (state.isMeant) Object.assign(reader, { isInBody: false, passed: 0 });
      }
      const isDue = state.isMeant && armed?.kind.startsWith(`in-${side}`) === true;
      const most = isDue ? bytesToPass(chunk, armed, reader) : chunk.length;
      if (most < chunk.length && armed !== undefined) {
        this.#hit(armed.kind);
        to.write(chunk.subarray(0, most), () => {
          from.destroy();
          to.destroy();
        });
        return;
      }
      if (!to.write(chunk)) {
        from.pause();
        to.once('drain', () => from.resume());
      }
    });
  }

  #hit(kind: HttpCut): void {
    this.counts[kind] += 1;
    this.#armed = undefined;
  }
}

/** How many bytes of the chunk pass before the cut; all of them when it comes later. */
function bytesToPass(
  chunk: Buffer,
  { kind, afterBytes }: ArmedCut,
  reader: { isInBody: boolean; passed: number },
): number {
  const isInHead = kind.endsWith('-head');
  let start = 0;
  if (!isInHead && !reader.isInBody) {
    const end = chunk.indexOf(headEnd);
    if (end < 0) return chunk.length;
    reader.isInBody = true;
    start = end + headEnd.length;
  }
  const left = Math.max(0, afterBytes - reader.passed);
  reader.passed += chunk.length - start;
  return Math.min(chunk.length, start + left);
}
