import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { concatBytes } from '../../src/base/bytes.ts';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import { bulkParts, bulkType, encodeBulkHead } from '../../src/protocol/http1-bulk.ts';
import type { BulkRecord } from '../../src/protocol/http1-bulk.ts';
import { listenLocally } from './peer-server.ts';
import type { PeerServer } from './peer-server.ts';

/** What the peer was asked, as far as it matters. */
export interface Asked {
  readonly socket: Socket;
  readonly operation: 'ping' | 'contains' | 'lookup' | 'load' | 'save';
  readonly keys: readonly BlockKey[];
  readonly body: Buffer;
}

export interface HostileHttpPeer {
  readonly name: string;
  /** Answers a ping; undefined: rightly. */
  readonly greet?: (asked: Asked) => Uint8Array | string | undefined;
  /** Answers the calls; undefined: not at all. */
  readonly answer: (asked: Asked) => Uint8Array | string | undefined;
  /** Answers a save when its head has come, without waiting for its body. */
  readonly isHasty?: boolean;
  /** What is said of it, in the refusal to open or in the answer to a call. */
  readonly said: RegExp;
}

const ok = 'HTTP/1.1 200 OK\r\n';

export function json(value: unknown, status = '200 OK', headers = ''): string {
  const body = typeof value === 'string' ? value : JSON.stringify(value);
  return `HTTP/1.1 ${status}\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

const nothing = (): undefined => undefined;

/** A bulk answer; `spoil` changes the body before its length is stated. */
function bulk(
  records: readonly Partial<BulkRecord>[],
  keys: readonly BlockKey[],
  spoil: (body: Buffer) => Buffer = (body) => body,
): Uint8Array {
  const whole = records.map((record, index) => ({
    ...{ key: keys[index], byteLength: 5, tokens: 0, position: undefined },
    ...{ hasDecodedTokens: false, isLeftOut: false, tier: 'memory' as const },
    ...record,
  }));
  const payloads = records.map(() => ({ payload: Buffer.from('bytes') }));
  const head = encodeBulkHead({ records: whole, attributes: {} });
  const body = spoil(Buffer.from(concatBytes([...bulkParts(head, payloads)])));
  const lines = `${ok}content-type: ${bulkType}\r\ncontent-length: ${body.length}\r\n\r\n`;
  return concatBytes([Buffer.from(lines), body]);
}

/** Of a load: this; of anything else: nothing that could be meant. */
function ofLoad(
  make: (keys: readonly BlockKey[]) => Uint8Array | string,
): HostileHttpPeer['answer'] {
  return ({ operation, keys }) => (operation === 'load' ? make(keys) : json('[]'));
}

function flipped(at: number): (body: Buffer) => Buffer {
  return (body) => {
    body[at < 0 ? body.length + at : at] ^= 1;
    return body;
  };
}

/** An answer that must be taken for no answer, whoever is asked. */
function wrong(name: string, text: string, said: RegExp): HostileHttpPeer {
  return { name, answer: () => text, said };
}

/** What is said of the bulk body before a save, and the magic of the save, which is refused with it. */
function version(name: string, bulk: unknown, magic: string): HostileHttpPeer {
  return {
    name,
    answer: ({ operation, body }) =>
      operation === 'contains'
        ? json({ stored: [false, false, false], bulk })
        : json(
            { error: { code: 'INVALID', reason: `sent ${body.toString('latin1', 0, 8)}` } },
            '400 No',
          ),
    said: new RegExp(`put -1 .*sent ${magic}`),
  };
}

const otherKey = parseBlockKey('ab'.repeat(32));

/** Peers that break every rule of docs/HTTP.md and RFC 9112 that a client depends on. */
export const hostileHttpPeers: readonly HostileHttpPeer[] = [
  {
    name: 'speaks frames',
    greet: () => Buffer.from('WKVP\x01\x03\0\0\0\0\0\0\0\0\0\0\n'),
    answer: nothing,
    said: /speaks no HTTP\/1\.1: a line that ends with LF/,
  },
  {
    name: 'closes at once',
    greet: ({ socket }) => void socket.destroy(),
    answer: nothing,
    said: /closed the connection|ended/,
  },
  { name: 'never answers a ping', greet: nothing, answer: nothing, said: /no answer/ },
  {
    name: 'knows no ping',
    greet: () => json('Not here', '404 Not Found'),
    answer: nothing,
    said: /invalid: the server answers with status 404/,
  },
  {
    name: 'answers a ping at length',
    greet: () => `${ok}content-length: 99999\r\n\r\n`,
    answer: nothing,
    said: /no daemon of WombatKV: it answers at length/,
  },
  {
    name: 'answers a ping with a page',
    greet: () => json('<html>'),
    answer: nothing,
    said: /no daemon of WombatKV: it answers a ping with something else/,
  },
  {
    name: 'is full',
    greet: () => json({ error: { code: 'BUSY', reason: 'too many' } }, '503 No'),
    answer: nothing,
    said: /busy: too many/,
  },
  { name: 'answers nothing', answer: nothing, said: /no answer from the daemon by the deadline/ },
  {
    name: 'closes in the middle of a head',
    answer: ({ socket }) => void socket.end('HTTP/1.1 200 OK\r\nconte'),
    said: /closed the connection/,
  },
  {
    name: 'closes in the middle of a body',
    answer: ({ socket }) => void socket.end(`${ok}content-length: 50\r\n\r\n{"matched":3`),
    said: /closed the connection/,
  },
  {
    name: 'drips a byte at a time',
    answer: ({ socket }) => void drip(socket, json({ matched: 3 })),
    said: /no answer from the daemon by the deadline/,
  },
  wrong(
    'ends lines with LF',
    `HTTP/1.1 200 OK\ncontent-length: 13\n\n{"matched":3}`,
    /LF instead of/,
  ),
  wrong('hides a CR', `${ok}a: b\rcontent-length: 13\r\n\r\n{"matched":3}`, /a CR that ends no/),
  wrong('folds a line', `${ok}a: b\r\n content-length: 13\r\n\r\n{"matched":3}`, /a folded line/),
  wrong('puts a space before a colon', `${ok}content-length : 13\r\n\r\n{"matched":3}`, /name is/),
  wrong(
    'states two lengths',
    `${ok}content-length: 13\r\ncontent-length: 1\r\n\r\n{"matched":3}`,
    /more than one Content-Length/,
  ),
  wrong(
    'states a length beside chunks',
    `${ok}content-length: 13\r\ntransfer-encoding: chunked\r\n\r\n{"matched":3}`,
    /beside Transfer-Encoding/,
  ),
  wrong(
    'has another transfer coding',
    `${ok}transfer-encoding: gzip, chunked\r\n\r\nd\r\n{"matched":3}\r\n0\r\n\r\n`,
    /a transfer coding but chunked/,
  ),
  wrong('states no length', `${ok}\r\n{"matched":3}`, /whose length nobody states/),
  wrong('claims text of 3 GiB', `${ok}content-length: 3221225472\r\n\r\n{`, /claims 3221225472 by/),
  wrong('claims more than 2^53', `${ok}content-length: 99999999999999999\r\n\r\n{`, /beyond 2\^53/),
  wrong('has a head without end', `${ok}a: ${'b'.repeat(20_000)}`, /a head of more than 16384/),
  wrong('has 101 lines', `${ok}${'a: b\r\n'.repeat(101)}\r\n`, /more than 100 lines/),
  wrong(
    'has chunks without sizes',
    `${ok}transfer-encoding: chunked\r\n\r\nxyz\r\n{"matched":3}\r\n0\r\n\r\n`,
    /a chunk without its size/,
  ),
  wrong(
    'has a chunk that is too long',
    `${ok}transfer-encoding: chunked\r\n\r\nc\r\n{"matched":3}\r\n0\r\n\r\n`,
    /longer than its size says|does not end with CR LF/,
  ),
  wrong(
    'has a line before a chunk without end',
    `${ok}transfer-encoding: chunked\r\n\r\n1;${'x'.repeat(400)}`,
    /a line between chunks of more than 256 bytes/,
  ),
  wrong(
    'has chunks of text without end',
    `${ok}transfer-encoding: chunked\r\n\r\n${`10000\r\n${' '.repeat(0x10000)}\r\n`.repeat(17)}`,
    /more than 1048576 bytes of text/,
  ),
  wrong(
    'has trailers without end',
    `${ok}transfer-encoding: chunked\r\n\r\n0\r\n${`a: ${'b'.repeat(200)}\r\n`.repeat(30)}`,
    /trailers of more than 4096 bytes/,
  ),
  {
    name: 'is about to answer without end',
    answer: () => 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(20),
    said: /informational answers without end/,
  },
  wrong('redirects', `HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n`, /redirects/),
  wrong('fails with a page', json('<html>', '502 Bad'), /unavailable: .*status 502: .*no reason/),
  wrong(
    'refuses with a reason',
    json({ error: { code: 'TOO_LARGE', reason: 'a\u0000b "c" \u{1f600}' } }, '413 Too'),
    /too large: a b "c" \u{1f600}/u,
  ),
  wrong('answers with a list', json('[3]'), /no JSON object/),
  wrong('answers with something else', json({ ready: true }), /answered by something else/),
  wrong('matches more than was asked', json({ matched: 9 }), /matched 9 of 3 keys/),
  wrong('matches less than nothing', json({ matched: -1 }), /answered by something else/),
  wrong(
    'nests without end',
    json(`{"matched":${'['.repeat(100_000)}${']'.repeat(100_000)}}`),
    /no JSON object/,
  ),
  wrong(
    'says more than it was asked, for the next call to find',
    `${json({ error: { code: 'BUSY', reason: 'first' } }, '429 No')}${json({ matched: 3 })}`,
    /busy: first/,
  ),
  {
    name: 'knows of more blocks than were asked for',
    answer: ({ operation }) =>
      operation === 'contains' ? json({ stored: [true, true, true, true] }) : json('[]'),
    said: /contains is answered by something else/,
  },
  {
    name: 'sends no bulk body',
    answer: ofLoad(() => json({ blocks: [] })),
    said: /load is answered by something else/,
  },
  {
    name: 'sends another magic',
    answer: ofLoad((keys) => bulk([{}], keys, flipped(0))),
    said: /magic of a bulk body/,
  },
  {
    name: 'sends a table that does not hold',
    answer: ofLoad((keys) => bulk([{}], keys, flipped(60))),
    said: /the checksum of a bulk body's table does not hold/,
  },
  {
    name: 'sends more payloads than were asked for',
    answer: ofLoad((keys) => bulk([{}, {}, {}, {}], [...keys, otherKey])),
    said: /claims 4 records/,
  },
  {
    name: 'sends a payload of another key',
    answer: ofLoad((keys) => bulk([{ key: otherKey }], keys)),
    said: /a payload that was not asked for/,
  },
  {
    name: 'leaves a payload out',
    answer: ofLoad((keys) => bulk([{ isLeftOut: true }], keys)),
    said: /record 0 of a bulk body is not what it should be/,
  },
  {
    name: 'announces a payload of 4 GiB',
    answer: ofLoad((keys) => bulk([{ byteLength: 2 ** 32 - 1 }], keys)),
    said: /claims 4294967295 bytes; at most 1073741824/,
  },
  {
    name: 'announces payloads of 3 GiB and sends none',
    answer: ofLoad((keys) => bulk([{ byteLength: 2 ** 30 }, {}, {}], keys)),
    said: /claims payloads of \d+ bytes; 27 follow/,
  },
  {
    name: 'sends a payload whose checksum does not hold',
    answer: ofLoad((keys) => bulk([{}], keys, flipped(-1))),
    said: /damaged on its way/,
  },
  {
    name: 'sends a table that is cut off',
    answer: ofLoad((keys) => bulk([{}], keys, (body) => body.subarray(0, 50))),
    said: /claims a table of 66 bytes; 26 follow/,
  },
  {
    name: 'refuses a save before it was sent',
    isHasty: true,
    answer: ({ operation }) =>
      operation === 'save'
        ? json({ error: { code: 'TOO_LARGE', reason: 'stop' } }, '413 No', 'connection: close\r\n')
        : json({ stored: [false, false, false] }),
    said: /too large: stop/,
  },
  version('knows of no versions of the bulk body', undefined, 'WMBTHTP1'),
  version('takes a newer bulk body than there is', 9, 'WMBTHTP2'),
  version('takes version 2 of the bulk body, and then does not', 2, 'WMBTHTP2'),
  version('says a version that is no number', '2', 'WMBTHTP1'),
  version('says a version below nothing', -2, 'WMBTHTP1'),
  version('says a version beyond 2^53', 2 ** 60, 'WMBTHTP1'),
  version('says a version that is a list', [2], 'WMBTHTP1'),
  {
    name: 'has no room for what it is asked of',
    answer: ({ operation }) =>
      operation === 'contains'
        ? json({ error: { code: 'BUSY', reason: 'no room' } }, '429 No')
        : json({ error: { code: 'INVALID', reason: 'sent all the same' } }, '400 No'),
    said: /put -1 .*busy: no room/,
  },
  {
    name: 'loses what it had again and again',
    answer: ({ operation }) =>
      operation === 'save'
        ? json({ error: { code: 'MISSING', reason: '3 are gone' } }, '409 Conflict')
        : json({ stored: [true, true, true] }),
    said: /lost again and again: .*3 are gone/,
  },
];

async function drip(socket: Socket, text: string): Promise<void> {
  for (const byte of Buffer.from(text)) {
    if (socket.destroyed) return;
    socket.write(Uint8Array.of(byte));
    await sleep(100);
  }
}

/** Listens as the peer; gives the address and how to end it. */
export function listenAsHttp(peer: HostileHttpPeer): Promise<PeerServer> {
  return listenLocally((socket) => serve(socket, peer));
}

/** Takes requests apart, one after another. */
function serve(socket: Socket, peer: HostileHttpPeer): void {
  let rest = Buffer.alloc(0);
  let isSaving = false;
  socket.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const end = rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = rest.subarray(0, end).toString('latin1');
      const operation = (/\/(ping|contains|lookup|load|save)\S* HTTP/.exec(head)?.[1] ??
        'ping') as Asked['operation'];
      const length = Number(/content-length: (\d+)/.exec(head)?.[1] ?? 0);
      if (peer.isHasty === true && operation === 'save' && !isSaving) {
        isSaving = true;
        reply(socket, peer, { socket, operation, keys: [], body: Buffer.alloc(0) });
      }
      if (rest.length < end + 4 + length) return;
      const body = rest.subarray(end + 4, end + 4 + length);
      rest = rest.subarray(end + 4 + length);
      const keys = keysIn(body.toString('latin1'));
      if (!isSaving) reply(socket, peer, { socket, operation, keys, body });
      isSaving = false;
    }
  });
}

function keysIn(body: string): readonly BlockKey[] {
  return Array.from(body.matchAll(/"([0-9a-f]{64})"/g), ([, key]) => parseBlockKey(key));
}

function reply(socket: Socket, peer: HostileHttpPeer, asked: Asked): void {
  const isEntry = asked.operation === 'contains' && asked.keys.length === 0;
  const answer =
    asked.operation === 'ping'
      ? peer.greet === undefined
        ? json('')
        : peer.greet(asked)
      : isEntry
        ? json({ stored: [] })
        : peer.answer(asked);
  if (answer !== undefined && !socket.destroyed) socket.write(answer);
}
