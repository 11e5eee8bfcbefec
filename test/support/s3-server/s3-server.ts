import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServerBucket } from './server-bucket.ts';
import type { Headers, ServerAbilities, StoredObject } from './server-bucket.ts';
import { element, S3ServerError } from './server-error.ts';
import type { FaultableRequest, ServerFault, ServerFaultPicker } from './server-faults.ts';
import { checkSignature } from './signature.ts';
import type { ServerIdentity } from './signature.ts';

export interface S3ServerOptions extends Partial<ServerAbilities>, Partial<ServerIdentity> {
  /** What the server's clock is ahead of ours. */
  readonly skewMs?: number;
  /** Key and certificate in PEM: then it speaks TLS. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Buckets are also found in front of this host name. */
  readonly virtualHost?: string;
  /** The address that it listens at; that of this host alone when absent. */
  readonly listenAt?: string;
}

/** What a request answers. */
interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: Buffer | string;
}

interface Received extends FaultableRequest {
  readonly headers: Headers;
  readonly body: Buffer;
}

const queryNames = ['x-id', 'list-type', 'prefix', 'start-after', 'max-keys', 'encoding-type'];
const uploadNames = ['uploads', 'uploadId', 'partNumber'];

/**
 * An S3 server in this process that is stricter than most: every request must be signed for this
 * server, region and time, with all that has a meaning covered; lengths and checksums must be right;
 * what it does not know it refuses. It can be told to go wrong. Held to the contract of
 * `ObjectStore` through the client, as radosgw is, so that it does not promise what no server keeps.
 */
export class S3Server {
  readonly bucket: ServerBucket;
  /** Every request that came, whatever became of it. */
  readonly requests: FaultableRequest[] = [];
  /** Picks what goes wrong; by default nothing does. */
  faults: ServerFaultPicker = () => undefined;
  /** Whose requests it takes, and when it is there: may be changed. */
  identity: ServerIdentity;
  skewMs: number;
  readonly #options: S3ServerOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(options: S3ServerOptions) {
    this.#options = options;
    this.bucket = new ServerBucket({
      conditions: options.conditions ?? 'full',
      checksums: options.checksums ?? 'full',
      partBytesMin: options.partBytesMin ?? 5 * 1024 * 1024,
    });
    this.identity = {
      accessKey: options.accessKey ?? 'test',
      secretKey: options.secretKey ?? 'testtest',
      sessionToken: options.sessionToken,
      expiredTokens: options.expiredTokens ?? [],
      region: options.region ?? 'us-east-1',
    };
    this.skewMs = options.skewMs ?? 0;
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      // A socket that breaks in the middle of a request is the test's doing or its subject.
      this.#serve(request, response).catch(() => request.socket.destroy());
    };
    this.#server =
      options.tls === undefined
        ? createServer(listener)
        : createTlsServer({ ...options.tls }, listener);
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
    });
  }

  /** Starts a server on a free port of this machine, with one bucket, `wombat`. */
  static async start(options: S3ServerOptions = {}): Promise<S3Server> {
    const server = new S3Server(options);
    server.#server.listen(0, options.listenAt ?? '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get port(): number {
    const address = this.#server.address() as AddressInfo;
    return address.port;
  }

  get endpoint(): string {
    return `${this.#options.tls === undefined ? 'http' : 'https'}://${this.#options.listenAt ?? '127.0.0.1'}:${this.port}`;
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#sockets.size;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const place = this.#place(request);
    const index = this.requests.length;
    const seen = { method: request.method ?? '', key: place.key, query: place.query, index };
    this.requests.push(seen);
    const fault = this.faults(seen);
    if (fault?.kind === 'reset') return void request.socket.destroy();
    if (fault?.kind === 'garble') return void request.socket.end('SSH-2.0-nothing\r\n\r\n');
    const sent = await readBody(request);
    const body = fault?.kind === 'alter-received' ? withFlippedBit(sent, fault.at) : sent;
    if (fault?.kind === 'slow') await sleep(fault.ms);
    const answer = this.#answer(request, { ...seen, headers: flat(request), body }, place, fault);
    if (fault?.kind === 'lose-reply') return void request.socket.destroy();
    await send(response, request, answer, { fault, nowMs: Date.now() + this.skewMs });
  }

  #answer(
    request: IncomingMessage,
    received: Received,
    place: { readonly bucket: string },
    fault: ServerFault | undefined,
  ): Answer {
    try {
      if (fault?.kind === 'refuse') {
        const error = new S3ServerError(fault.status, fault.code, 'by order of the test');
        return { ...errorAnswer(error, received.method), headers: { ...fault.headers } };
      }
      checkSignature(request, this.identity, Date.now() + this.skewMs);
      checkForm(received);
      if (place.bucket !== 'wombat') throw new S3ServerError(404, 'NoSuchBucket', place.bucket);
      return this.#perform(received);
    } catch (error) {
      if (!(error instanceof S3ServerError)) throw error;
      return errorAnswer(error, received.method);
    }
  }

  #perform(received: Received): Answer {
    const { method, key, query, body, headers } = received;
    const uploadId = query.get('uploadId');
    if (key === '') return listAnswer(this.bucket, received);
    if (query.has('uploads') && method === 'POST') {
      const id = this.bucket.beginUpload(key);
      return xmlAnswer('InitiateMultipartUploadResult', element('UploadId', id));
    }
    if (uploadId !== null) return this.#performUpload(received, uploadId);
    switch (method) {
      case 'PUT':
        return storedAnswer(this.bucket.put(key, body, headers));
      case 'GET':
      case 'HEAD':
        return readAnswer(this.bucket.objects.get(key), received);
      case 'DELETE':
        this.bucket.objects.delete(key);
        return { status: 204 };
      default:
        throw new S3ServerError(405, 'MethodNotAllowed', method);
    }
  }

  #performUpload({ method, query, body, headers }: Received, id: string): Answer {
    switch (method) {
      case 'PUT':
        return storedAnswer(
          this.bucket.putPart(id, Number(query.get('partNumber')), body, headers),
        );
      case 'POST': {
        const { etag } = this.bucket.completeUpload(id, body.toString(), headers);
        return xmlAnswer('CompleteMultipartUploadResult', element('ETag', etag));
      }
      case 'DELETE':
        this.bucket.abandonUpload(id);
        return { status: 204 };
      default:
        throw new S3ServerError(405, 'MethodNotAllowed', method);
    }
  }

  #place(request: IncomingMessage): {
    readonly bucket: string;
    readonly key: string;
    readonly query: URLSearchParams;
  } {
    // Not by the class URL, which would resolve dots in keys.
    const [path = '', search = ''] = (request.url ?? '').split(/\?(.*)/s);
    const query = new URLSearchParams(search);
    const names = path.slice(1);
    const host = (request.headers.host ?? '').replace(/:\d+$/, '');
    const { virtualHost } = this.#options;
    if (virtualHost !== undefined && host.endsWith(`.${virtualHost}`)) {
      const bucket = host.slice(0, -virtualHost.length - 1);
      return { bucket, key: decodeURIComponent(names), query };
    }
    if (virtualHost !== undefined) {
      throw new S3ServerError(400, 'InvalidRequest', `no bucket below ${virtualHost} in ${host}`);
    }
    const [bucket = '', key = ''] = names.split(/\/(.*)/s);
    return { bucket, key: decodeURIComponent(key), query };
  }
}

function checkForm({ method, query, headers, body }: Received): void {
  const unknown = [...query.keys()].filter(
    (name) => ![...queryNames, ...uploadNames].includes(name),
  );
  if (unknown.length > 0) throw new S3ServerError(501, 'NotImplemented', unknown.join());
  if (method === 'PUT' && headers['content-length'] === undefined) {
    throw new S3ServerError(411, 'MissingContentLength', '');
  }
  if (['GET', 'HEAD', 'DELETE'].includes(method) && body.length > 0) {
    throw new S3ServerError(400, 'InvalidRequest', `a ${method} with a body`);
  }
}

function listAnswer(bucket: ServerBucket, { method, query }: Received): Answer {
  const limit = Number(query.get('max-keys') ?? 1000);
  if (method !== 'GET' || query.get('list-type') !== '2' || query.get('encoding-type') !== 'url') {
    throw new S3ServerError(501, 'NotImplemented', 'only lists of version 2, encoded');
  }
  if (!(limit >= 1 && limit <= 1000)) throw new S3ServerError(400, 'InvalidArgument', 'max-keys');
  return { status: 200, headers: { 'content-type': 'application/xml' }, body: bucket.list(query) };
}

function storedAnswer({ etag, checksum }: StoredObject): Answer {
  const checksumHeader = checksum === undefined ? {} : { 'x-amz-checksum-crc32c': checksum };
  return { status: 200, headers: { etag, ...checksumHeader } };
}

function xmlAnswer(name: string, inner: string): Answer {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<${name}>${inner}</${name}>`;
  return { status: 200, headers: { 'content-type': 'application/xml' }, body };
}

function errorAnswer(error: S3ServerError, method: string): Answer {
  const headers = { 'content-type': 'application/xml' };
  return { status: error.status, headers, body: method === 'HEAD' ? '' : error.toXml() };
}

function readAnswer(object: StoredObject | undefined, { method, key, headers }: Received): Answer {
  if (object === undefined) throw new S3ServerError(404, 'NoSuchKey', key);
  const { bytes, etag, modified, checksum } = object;
  const ifMatch = headers['if-match'];
  if (ifMatch !== undefined && ifMatch !== etag) {
    throw new S3ServerError(412, 'PreconditionFailed', 'a condition did not hold');
  }
  const facts = { etag, 'last-modified': modified.toUTCString(), 'accept-ranges': 'bytes' };
  if (headers['if-none-match'] === etag) return { status: 304, headers: facts };
  const range = headers['range'];
  if (method === 'HEAD' || range === undefined) {
    const isWanted = headers['x-amz-checksum-mode'] === 'ENABLED' && checksum !== undefined;
    const told = isWanted ? { 'x-amz-checksum-crc32c': checksum } : {};
    return { status: 200, headers: { ...facts, ...told }, body: bytes };
  }
  return rangeAnswer(bytes, range, facts);
}

function rangeAnswer(
  bytes: Buffer,
  range: string,
  facts: Readonly<Record<string, string>>,
): Answer {
  const match = /^bytes=(\d+)-(\d+)$/.exec(range);
  const [first = 0, last = 0] = (match ?? []).slice(1).map(Number);
  if (match === null || last < first) throw new S3ServerError(400, 'InvalidArgument', range);
  if (first >= bytes.length) throw new S3ServerError(416, 'InvalidRange', range);
  const part = bytes.subarray(first, last + 1);
  const contentRange = `bytes ${first}-${first + part.length - 1}/${bytes.length}`;
  return { status: 206, headers: { ...facts, 'content-range': contentRange }, body: part };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function flat(request: IncomingMessage): Headers {
  return Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, value?.toString()]),
  );
}

async function send(
  response: ServerResponse,
  { method, socket }: IncomingMessage,
  answer: Answer,
  { fault, nowMs }: { readonly fault: ServerFault | undefined; readonly nowMs: number },
): Promise<void> {
  const { body, byteLength, cut } = damaged(Buffer.from(answer.body ?? ''), fault);
  const date = new Date(nowMs).toUTCString();
  response.sendDate = false;
  response.strictContentLength = false;
  response.writeHead(answer.status, { date, ...answer.headers, 'content-length': byteLength });
  if (method === 'HEAD') return void response.end();
  if (cut === undefined) return void response.end(body);
  await new Promise<void>((done) => response.write(body.subarray(0, cut), () => done()));
  if (fault?.kind === 'break-body') socket.resetAndDestroy();
  if (fault?.kind === 'end-body' || fault?.kind === 'claim-length') socket.end();
}

/** The bytes that go out, the length that is claimed, and where they stop. */
function damaged(
  body: Buffer,
  fault: ServerFault | undefined,
): { readonly body: Buffer; readonly byteLength: number; readonly cut: number | undefined } {
  const whole = { body, byteLength: body.length, cut: undefined };
  switch (fault?.kind) {
    case 'break-body':
    case 'end-body':
    case 'stall':
      return { ...whole, cut: Math.floor(fault.at * body.length) };
    case 'shorten': {
      const short = body.subarray(0, Math.floor(fault.at * body.length));
      return { body: short, byteLength: short.length, cut: undefined };
    }
    case 'claim-length':
      return { body, byteLength: fault.byteLength, cut: body.length };
    case 'alter':
      return { ...whole, body: withFlippedBit(body, fault.at) };
    default:
      return whole;
  }
}

function withFlippedBit(bytes: Buffer, at: number): Buffer {
  const altered = Buffer.from(bytes);
  const index = Math.floor(at * bytes.length);
  altered[index] = (altered[index] ?? 0) ^ 1;
  return altered;
}
