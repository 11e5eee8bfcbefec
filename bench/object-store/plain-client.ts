import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { S3Signer } from '../../src/objectstore/s3/s3-signer.ts';
import type { GetJob, GetResult } from './client-job.ts';
import { cpuMsNow } from './cpu-time.ts';

/** Bytes that the kernel hands over at a time. */
const readBytes = 256 * 1024;
const headBytesMax = 64 * 1024;
/** A server that is silent for so long is gone. */
const silenceMs = 30_000;

/**
 * GETs of all objects by the fastest plain client there is in Node: sockets, requests signed
 * beforehand, bodies counted and forgotten. What it takes is the server's own time, as nearly as
 * anyone can see it. Where bodies are kept they are read straight into memory of their own, and that
 * is all that is done with them.
 */
export async function getPlainly(job: GetJob): Promise<GetResult> {
  const { host, hostname, port } = new URL(job.access.endpoint);
  const requests = job.objectKeys.map((key) => requestFor(job, key, host));
  const startCpuMs = cpuMsNow();
  const startMs = performance.now();
  const rest = requests.values();
  const lanes = Array.from({ length: Math.min(job.lanes, requests.length) }, () =>
    runLane({ host: hostname, port: Number(port), isKept: job.isKept === true }, rest),
  );
  const bytes = (await Promise.all(lanes)).reduce((sum, one) => sum + one, 0);
  return { ms: performance.now() - startMs, cpuMs: cpuMsNow() - startCpuMs, bytes };
}

function requestFor({ access }: GetJob, key: string, host: string): string {
  const { accessKey, secretKey, bucket } = access;
  const path = `/${bucket}/${key}`;
  const headers = new S3Signer().signedHeaders(
    { method: 'GET', path, headers: { host }, region: 'us-east-1', timeMs: Date.now() },
    { accessKeyId: accessKey, secretAccessKey: secretKey, sessionToken: undefined },
  );
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** One connection, one request after another; resolves to the bytes of all bodies. */
function runLane(
  {
    host,
    port,
    isKept,
  }: { readonly host: string; readonly port: number; readonly isKept: boolean },
  requests: Iterator<string>,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const answers = new AnswerReader(isKept);
    let bytes = 0;
    const next = (): void => {
      const { value, done } = requests.next();
      if (done !== true) {
        socket.write(value);
        return;
      }
      resolve(bytes);
      socket.destroy();
    };
    const onBytes = (length: number, buffer: Uint8Array): boolean => {
      try {
        const ended = answers.take(buffer.subarray(0, length));
        if (ended !== undefined) {
          bytes += ended;
          next();
        }
      } catch (error) {
        reject(error);
        socket.destroy();
      }
      return true;
    };
    const buffer = Buffer.alloc(isKept ? headBytesMax : readBytes);
    const onread = { buffer: isKept ? () => answers.space() ?? buffer : buffer, callback: onBytes };
    const socket: Socket = connect({ host, port, noDelay: true, onread }, next);
    socket.setTimeout(silenceMs, () => socket.destroy(new Error(`${host}:${port} is silent`)));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`${host}:${port} closed the connection`)));
  });
}

/** Looks for the end of one answer after another. */
class AnswerReader {
  readonly #isKept: boolean;
  #head = '';
  /** Of the body; undefined while the head is not complete. */
  #length: number | undefined;
  #received = 0;
  /** The bodies that are kept; the last one is being filled. */
  readonly #bodies: Uint8Array[] = [];

  constructor(isKept: boolean) {
    this.#isKept = isKept;
  }

  /** Where the next bytes of a body that is kept belong; undefined while a head is expected. */
  space(): Uint8Array | undefined {
    if (this.#length === undefined) return undefined;
    return this.#bodies.at(-1)?.subarray(this.#received);
  }

  /** The length of the body when these bytes are its last. */
  take(bytes: Uint8Array): number | undefined {
    if (this.#length === undefined) {
      const headBefore = this.#head.length;
      this.#head += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
      const end = this.#head.indexOf('\r\n\r\n');
      if (end < 0) {
        if (this.#head.length > headBytesMax) throw new Error('a head without an end');
        return undefined;
      }
      this.#length = lengthOf(this.#head.slice(0, end));
      this.#received = bytes.length - (end + 4 - headBefore);
      if (this.#isKept) this.#keep(this.#length, bytes.subarray(bytes.length - this.#received));
    } else this.#received += bytes.length;
    if (this.#received < this.#length) return undefined;
    if (this.#received > this.#length) throw new Error('an answer is longer than it says');
    const length = this.#length;
    this.#head = '';
    this.#length = undefined;
    return length;
  }

  /** Makes memory for a body, of which these bytes came with the head. */
  #keep(length: number, beginning: Uint8Array): void {
    const body = new Uint8Array(length);
    body.set(beginning);
    this.#bodies.push(body);
  }
}

function lengthOf(head: string): number {
  const length = /^content-length: *(\d+)\r?$/im.exec(head)?.[1];
  if (!head.startsWith('HTTP/1.1 200') || length === undefined) {
    throw new Error(`not an answer with a length: ${head.slice(0, 200)}`);
  }
  return Number(length);
}
