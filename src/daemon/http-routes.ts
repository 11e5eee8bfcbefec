import { BufferPool } from '../base/buffer-pool.ts';
import type { StoreStats } from '../blocks/kv-store.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { ServedStore } from '../blocks/served-store.ts';
import type { Checksums } from '../platform/checksums.ts';
import type { Clock } from '../platform/clock.ts';
import { needMemory } from '../platform/payload-memory.ts';
import type { PayloadMemory } from '../platform/payload-memory.ts';
import { headerOf } from '../protocol/http1-head.ts';
import type { RequestHead } from '../protocol/http1-head.ts';
import { parsePath } from '../protocol/http1-paths.ts';
import type { HttpResource } from '../protocol/http1-paths.ts';
import type { HttpAccess, HttpDenial, HttpPermit } from './http-access.ts';
import type { HttpAdmission } from './http-admission.ts';
import { emptyAnswer, errorAnswer, jsonAnswer, textAnswer } from './http-answer.ts';
import type { HttpAnswer } from './http-answer.ts';
import { HttpBlock } from './http-block.ts';
import { bareJob, jsonJob, MediaTypeError } from './http-bodies.ts';
import type { HttpClients } from './http-clients.ts';
import type { HttpJob, HttpPeer } from './http-exchange.ts';
import { callOptionsOf } from './http-context.ts';
import type { HttpParts, HttpRequest } from './http-context.ts';
import type { HttpLimits } from './http-limits.ts';
import type { HttpMetrics } from './http-metrics.ts';
import { HttpOperations } from './http-operations.ts';
import { renderStoreMetrics } from './metrics-store.ts';

export interface HttpRoutesOptions {
  readonly store: ServedStore;
  readonly checksums: Checksums;
  readonly clock: Clock;
  readonly memory: PayloadMemory;
  readonly limits: HttpLimits;
  readonly admission: HttpAdmission;
  readonly metrics: HttpMetrics;
  readonly clients: HttpClients;
  readonly authorize: (access: HttpAccess) => HttpDenial | HttpPermit | undefined;
  readonly wire: HttpParts['wire'];
  readonly counters: HttpParts['counters'];
  readonly moreMetrics: (stats: StoreStats) => string;
  readonly isReady: () => boolean;
}

const prometheusType = 'text/plain; version=0.0.4; charset=utf-8';

/** From a request's head to what does it: path, method, permission. */
export class HttpRoutes {
  readonly #options: HttpRoutesOptions;
  readonly #parts: HttpParts;
  readonly #operations: HttpOperations;
  readonly #block: HttpBlock;

  constructor(options: HttpRoutesOptions) {
    this.#options = options;
    const takeMemory = (byteLength: number): Uint8Array => needMemory(options.memory, byteLength);
    const pool = new BufferPool(options.limits.pooledBytesMax, takeMemory);
    this.#parts = { ...options, pool, takeMemory };
    this.#operations = new HttpOperations(this.#parts);
    this.#block = new HttpBlock(this.#parts);
  }

  async open(head: RequestHead, { peer, signal }: HttpPeer): Promise<HttpJob> {
    const [path, query] = splitTarget(head.target);
    const resource = parsePath(path);
    if (resource === undefined) {
      return refusal(errorAnswer(404, 'INVALID', `nothing is at ${path.slice(0, 200)}`));
    }
    const operation = nameOf(resource);
    this.#parts.metrics.name(head, operation);
    if (resource.kind === 'rpc') {
      const reason = 'the RPC of the Rust WombatKV is not spoken here; see docs/HTTP.md';
      return refusal(errorAnswer(415, 'INCOMPATIBLE', reason));
    }
    const methods = methodsOf(resource);
    if (!methods.includes(head.method)) return wrongMethod(head.method, methods);
    const need = needOf(resource, head.method);
    const verdict = need === undefined ? undefined : this.#judge(need, resource, head, peer);
    if (verdict !== undefined && 'status' in verdict) return refusal(denialAnswer(verdict));
    const { clients } = this.#options;
    const { account, end } =
      need === undefined ? clients.beginProbe() : clients.begin(verdict?.client, peer);
    try {
      const request = { head, query: new URLSearchParams(query), signal, account };
      return ending(await this.#openResource(resource, request), end);
    } catch (error) {
      end();
      if (!(error instanceof MediaTypeError)) throw error;
      return refusal(errorAnswer(415, 'INVALID', error.message));
    }
  }

  #openResource(resource: HttpResource, request: HttpRequest): Promise<HttpJob> | HttpJob {
    switch (resource.kind) {
      case 'block':
        return this.#block.open(resource.namespace, resource.key, request);
      case 'operation':
        return this.#operations.open(resource.operation, resource.namespace, request);
      case 'flush':
        return this.#flush(request);
      case 'stats':
        return bareJob(() => this.#stats(request));
      case 'metrics':
        return bareJob(() => this.#metrics(request));
      case 'ready':
        return bareJob(() => this.#ready(request));
      case 'ping':
        return bareJob(() => Promise.resolve(emptyAnswer(200)));
      case 'health':
        return bareJob(() => Promise.resolve(jsonAnswer({ status: 'ok' })));
      case 'rpc':
        throw new RangeError('a path that is refused has no job');
      default:
        return resource satisfies never;
    }
  }

  async #flush(request: HttpRequest): Promise<HttpJob> {
    const run = async (): Promise<HttpAnswer> => {
      await this.#parts.store.flush(callOptionsOf(request, undefined, this.#parts.limits));
      return jsonAnswer({});
    };
    const { body } = request.head;
    const isBare = body.kind === 'length' && body.byteLength === 0;
    return isBare ? bareJob(run) : jsonJob(this.#parts, request, run);
  }

  async #stats(request: HttpRequest): Promise<HttpAnswer> {
    const { store, limits } = this.#parts;
    const stats = await store.stats(callOptionsOf(request, undefined, limits));
    return jsonAnswer(stats);
  }

  async #metrics(request: HttpRequest): Promise<HttpAnswer> {
    const { store, limits, metrics } = this.#parts;
    const stats = await store.stats(callOptionsOf(request, undefined, limits));
    const text = renderStoreMetrics(stats);
    return textAnswer(
      200,
      prometheusType,
      text + metrics.render() + this.#options.moreMetrics(stats),
    );
  }

  /** Ready while new requests are taken and the store answers. */
  async #ready(request: HttpRequest): Promise<HttpAnswer> {
    if (!this.#options.isReady()) return errorAnswer(503, 'CLOSED', 'the server is draining');
    await this.#parts.store.stats(callOptionsOf(request, undefined, this.#parts.limits));
    return jsonAnswer({ status: 'ready' });
  }

  #judge(
    need: HttpAccess['need'],
    resource: HttpResource,
    head: RequestHead,
    peer: string,
  ): HttpDenial | HttpPermit | undefined {
    const namespace: Namespace | undefined =
      resource.kind === 'block' || resource.kind === 'operation' ? resource.namespace : undefined;
    const authorization = headerOf(head.headers, 'authorization');
    return this.#options.authorize({ need, namespace, authorization, peer });
  }
}

function denialAnswer({ status, reason }: HttpDenial): HttpAnswer {
  const answer = errorAnswer(status, 'INVALID', reason);
  if (status !== 401) return answer;
  return { ...answer, headers: [...answer.headers, ['www-authenticate', 'Bearer']] };
}

/** The job, and something more at its end. */
function ending(job: HttpJob, end: () => void): HttpJob {
  return {
    sink: job.sink,
    answer: () => job.answer(),
    close: () => {
      job.close?.();
      end();
    },
  };
}

/** An answer without a look at the body. What has one is the last of its connection. */
function refusal(answer: HttpAnswer): HttpJob {
  return bareJob(() => Promise.resolve(answer));
}

function wrongMethod(method: string, methods: readonly string[]): HttpJob {
  const reason = `${method.slice(0, 40)} is not done here, but ${methods.join(', ')}`;
  const answer = errorAnswer(405, 'INVALID', reason);
  return refusal({ ...answer, headers: [...answer.headers, ['allow', methods.join(', ')]] });
}

function splitTarget(target: string): readonly [path: string, query: string] {
  const mark = target.indexOf('?');
  return mark < 0 ? [target, ''] : [target.slice(0, mark), target.slice(mark + 1)];
}

function nameOf(resource: HttpResource): string {
  return resource.kind === 'operation' ? resource.operation : resource.kind;
}

function methodsOf(resource: HttpResource): readonly string[] {
  switch (resource.kind) {
    case 'block':
      return ['GET', 'HEAD', 'PUT', 'DELETE'];
    case 'operation':
      return resource.operation === 'lookup' ? ['GET', 'HEAD', 'POST'] : ['POST'];
    case 'flush':
    case 'rpc':
      return ['POST'];
    case 'ping':
    case 'health':
    case 'ready':
    case 'metrics':
    case 'stats':
      return ['GET', 'HEAD'];
    default:
      return resource satisfies never;
  }
}

/** Undefined for what anybody may ask. */
function needOf(resource: HttpResource, method: string): HttpAccess['need'] | undefined {
  switch (resource.kind) {
    case 'block':
      if (method === 'PUT') return 'write';
      return method === 'DELETE' ? 'delete' : 'read';
    case 'operation':
      if (resource.operation === 'delete') return 'delete';
      if (resource.operation === 'contains') return 'presence';
      return resource.operation.startsWith('save') ? 'write' : 'read';
    case 'flush':
    case 'metrics':
    case 'stats':
      return 'admin';
    case 'ping':
    case 'health':
    case 'ready':
    case 'rpc':
      return undefined;
    default:
      return resource satisfies never;
  }
}
