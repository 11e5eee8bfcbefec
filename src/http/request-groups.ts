import { chunkOf, lastChunk } from '../protocol/http1-chunks.ts';
import type { BodyPart } from '../protocol/http1-chunks.ts';
import { encodeHead } from '../protocol/http1-head.ts';

/** One request. It may be sent again after a failure, so its parts can be asked for again. */
export interface OutgoingRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  /** Value of the header of that name, where it is not the address. */
  readonly host?: string | undefined;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Undefined: it is not known before, so the body goes in chunks. */
  readonly byteLength: number | undefined;
  /** The body, part by part; its payloads must not change until the exchange has ended. */
  readonly body: () => Iterable<BodyPart>;
}

/** Bytes written at once: while the system sends them the next ones get their checksums. */
const writeBytesMax = 1024 * 1024;

/**
 * The request as bytes, in groups that are written one after another; address is that of the server. What there is
 * goes before a part is waited for that is still made.
 */
export async function* requestGroups(
  request: OutgoingRequest,
  address: string,
): AsyncGenerator<readonly Uint8Array[]> {
  const isChunked = request.byteLength === undefined;
  let head: readonly Uint8Array[] = [encodeRequestHead(request, address)];
  let group: Uint8Array[] = [];
  let bytes = 0;
  const taken = (): readonly Uint8Array[] => {
    const parts = [...head, ...(isChunked ? chunkOf(group) : group)];
    [head, group, bytes] = [[], [], 0];
    return parts;
  };
  for (const part of request.body()) {
    if (part instanceof Promise && bytes > 0) yield taken();
    for (const one of part instanceof Promise ? await part : [part]) {
      group.push(one);
      bytes += one.length;
    }
    if (bytes >= writeBytesMax) yield taken();
  }
  const end = [...taken(), ...(isChunked ? [lastChunk] : [])];
  if (end.length > 0) yield end;
}

function encodeRequestHead(request: OutgoingRequest, address: string): Uint8Array {
  const { method, path, host, headers } = request;
  const own = [['host', host ?? address], ...headers, ...framingOf(request)] as const;
  return encodeHead(`${method} ${path} HTTP/1.1`, own);
}

/** Methods without a body say nothing of its length. */
function framingOf({
  method,
  byteLength,
}: OutgoingRequest): readonly (readonly [name: string, value: string])[] {
  if (byteLength === undefined) return [['transfer-encoding', 'chunked']];
  const hasLength = byteLength > 0 || method === 'PUT' || method === 'POST';
  return hasLength ? [['content-length', String(byteLength)]] : [];
}
