import { BodyDecoder } from '../../src/protocol/http1-body.ts';
import { isRefusal, parseRequestHead } from '../../src/protocol/http1-head.ts';
import type { Http1Refusal, RequestHead } from '../../src/protocol/http1-head.ts';
import { HeadScanner, latin1Text } from '../../src/protocol/http1-scan.ts';

/** A request as a server reads it, and what follows it. */
export interface ReadRequest {
  readonly head: RequestHead;
  readonly body: string;
  readonly rest: string;
}

/** Reads one request as a connection does, in pieces of that size. `more`: the bytes end before it does. */
export function readRequest(text: string, step: number): ReadRequest | Http1Refusal | 'more' {
  const bytes = Buffer.from(text, 'latin1');
  const start = text.startsWith('\r\n') ? 2 : 0;
  const view = bytes.subarray(start);
  const size = headBytesOf(view, step);
  if (typeof size !== 'number') return size;
  const head = parseRequestHead(latin1Text(view, size));
  if (isRefusal(head)) return head;
  const decoder = new BodyDecoder(head.body);
  let body = '';
  let at = size;
  while (!decoder.isDone) {
    if (at === view.length) return 'more';
    const end = Math.min(at + step, view.length);
    if (decoder.dataAhead > 0) {
      const count = Math.min(decoder.dataAhead, end - at);
      body += latin1Text(view.subarray(at), count);
      decoder.tookData(count);
      at += count;
    } else {
      const next = decoder.takeFraming(view, at, end);
      if (typeof next !== 'number') return next;
      at = next;
    }
  }
  return { head, body, rest: Buffer.from(view.subarray(at)).toString('latin1') };
}

/** Bytes of the head that the bytes begin with, which come in pieces of that size. `more`: it does not end. */
export function headBytesOf(view: Uint8Array, step: number): number | Http1Refusal | 'more' {
  const scanner = new HeadScanner();
  for (let end = Math.min(step, view.length); ; end = Math.min(end + step, view.length)) {
    const scanned = scanner.scan(view, end);
    if (scanned !== 0) return scanned;
    if (end === view.length) return 'more';
  }
}
