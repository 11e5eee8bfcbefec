import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { crc32c } from '../../src/base/crc32c.ts';
import { isStoreError } from '../../src/base/errors.ts';
import { limits } from '../../src/blocks/limits.ts';
import { bulkParts, encodeBulkHead } from '../../src/protocol/http1-bulk.ts';
import { isRefusal, parseResponseHead } from '../../src/protocol/http1-head.ts';
import { latin1Text } from '../../src/protocol/http1-scan.ts';
import { parsePath } from '../../src/protocol/http1-paths.ts';
import { BulkSink } from '../../src/protocol/http1-sink.ts';
import { chainOf } from '../support/chains.ts';
import { badRequests, chunked, get, post } from './bad-requests.ts';
import { headBytesOf, readRequest } from './read-request.ts';
import { feedBulk } from '../support/feed-bulk.ts';

/**
 * Goal: no bytes make a decoder of HTTP throw what is no refusal, take memory that was not claimed within bounds,
 * or read differently when they come in other pieces. Method: whole messages, right and wrong ones, changed at
 * random. A failure prints its seed.
 */
const runs = { numRuns: 3000 };

interface Change {
  /** Where, as a share of the text. */
  readonly at: number;
  readonly removed: number;
  readonly put: string;
}

const telling = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '0',
  'f',
  '-',
  '\x0b',
  '\x80',
  '\xff',
];
const words = [
  'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Host: h\r\n',
  '0\r\n\r\n',
  'HTTP/1.1',
];
const byte = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));
const changes = fc.array(
  fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    removed: fc.oneof(fc.constant(0), fc.nat(3), fc.nat(40)),
    put: fc.oneof(fc.constantFrom('', ...telling), fc.constantFrom(...words), byte),
  }),
  { maxLength: 4 },
);

function changed(text: string, list: readonly Change[]): string {
  return list.reduce((now, { at, removed, put }) => {
    const index = Math.floor(at * now.length);
    return now.slice(0, index) + put + now.slice(index + removed);
  }, text);
}

const requests = fc
  .tuple(
    fc.constantFrom(
      `${get}\r\n`,
      `${post}Content-Length: 5\r\n\r\nhello`,
      `${chunked}5 ;a="b"\r\nhello\r\n0;x\r\nA: b\r\n\r\n`,
      'GET http://h:80/wmbt/v1/ns/a%2Fb/lookup?keys=a,b HTTP/1.1\r\nHost: [::1]:80\r\nConnection: X, close\r\n\r\n',
      ...badRequests.map(({ bytes }) => bytes),
    ),
    changes,
  )
  .map(([text, list]) => changed(text, list));

describe('made-up bytes for HTTP', () => {
  it('as a request are read or refused, whatever the pieces in which they come', () => {
    const statuses = new Set<number>();
    fc.assert(
      fc.property(requests, fc.integer({ min: 2, max: 40 }), (text, step) => {
        const whole = readRequest(text, text.length);
        assert.deepEqual(readRequest(text, 1), whole);
        assert.deepEqual(readRequest(text, step), whole);
        if (whole === 'more') return;
        if (isRefusal(whole)) statuses.add(whole.status);
        else assert.ok(whole.body.length + whole.rest.length < text.length);
      }),
      runs,
    );
    for (const status of [400, 413, 414, 417, 431, 501, 505])
      assert.ok(statuses.has(status), `${status}`);
  });

  it('as the head of an answer are read or refused', () => {
    const heads = fc.constantFrom(
      'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n',
      'HTTP/1.1 204 No Content\r\n\r\n',
      'HTTP/1.1 100 Continue\r\n\r\n',
      'HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n',
    );
    let [read, refused] = [0, 0];
    fc.assert(
      fc.property(heads, changes, fc.constantFrom('GET', 'HEAD', 'PUT'), (head, list, method) => {
        const bytes = Buffer.from(changed(head, list), 'latin1');
        const size = headBytesOf(bytes, bytes.length);
        if (typeof size !== 'number') return;
        const result = parseResponseHead(latin1Text(bytes, size), method);
        if (isRefusal(result)) {
          assert.ok(result.reason.length > 0);
          refused += 1;
          return;
        }
        const { body } = result;
        assert.ok(body.kind !== 'length' || Number.isSafeInteger(body.byteLength));
        read += 1;
      }),
      runs,
    );
    assert.ok(read > 100 && refused > 100, `${read} read, ${refused} refused`);
  });

  it('as a path name a resource or none, or are no name', () => {
    const paths = fc.constantFrom(
      '/wmbt/v1/ns/a%2Fb/blocks/00',
      '/healthz',
      '/wmbt/v1/ns/%/lookup',
      '/wmbt/v1/ping',
    );
    fc.assert(
      fc.property(paths, changes, (path, list) => {
        try {
          const resource = parsePath(changed(path, list));
          assert.ok(resource === undefined || typeof resource.kind === 'string');
        } catch (error) {
          // Says what the name or the key in it lacks.
          assert.ok(error instanceof RangeError, String(error));
        }
      }),
      runs,
    );
  });
});

const { keys } = chainOf('bulk', 3);
const payloads = [new Uint8Array(9).fill(7), new Uint8Array(0), new Uint8Array(300).fill(9)];

function bulkBody(isLastFirst: boolean): Uint8Array {
  const records = payloads.map(({ length }, index) => ({
    ...{ key: keys[index], byteLength: length, tokens: 128, position: 128 * index },
    ...{ hasDecodedTokens: false, tier: undefined, isLeftOut: false },
  }));
  const head = encodeBulkHead({ records, attributes: { reason: 'unknown' }, isLastFirst });
  const order = isLastFirst ? payloads.toReversed() : payloads;
  return Buffer.concat([
    ...bulkParts(
      head,
      order.map((payload) => ({ payload })),
    ),
  ]);
}

/** With the checksum of its table set right, so that what it guards is read too. */
function resealed(body: Uint8Array): Uint8Array {
  const bytes = Buffer.from(body);
  const tableBytes = 64 * bytes.readUInt32LE(8) + bytes.readUInt32LE(12);
  if (24 + tableBytes > bytes.length) return bytes;
  const table = Buffer.concat([bytes.subarray(0, 16), bytes.subarray(24, 24 + tableBytes)]);
  bytes.writeUInt32LE(crc32c(table), 16);
  return bytes;
}

const codes = ['INVALID', 'CORRUPT', 'TOO_LARGE'] as const;

describe('made-up bulk bodies', () => {
  it('are refused, or give what their checksums say, and take no memory beyond their length', () => {
    let [whole, refused] = [0, 0];
    const flips = fc.array(fc.tuple(fc.nat(700), fc.integer({ min: 0, max: 255 })), {
      maxLength: 4,
    });
    fc.assert(
      fc.property(
        fc.boolean(),
        flips,
        fc.boolean(),
        fc.integer({ min: 1, max: 700 }),
        (order, list, seal, step) => {
          const body = Uint8Array.from(bulkBody(order));
          for (const [at, value] of list) if (at < body.length) body[at] = value;
          const bytes = seal ? resealed(body) : body;
          let taken = 0;
          const take = (byteLength: number): Uint8Array => {
            taken += byteLength;
            assert.ok(taken <= bytes.length, `${taken} bytes for a body of ${bytes.length}`);
            return new Uint8Array(byteLength);
          };
          const sink = new BulkSink(({ records }) => {
            assert.ok(records.length <= limits.keysPerCallMax);
            return { take: (index) => take(records[index].byteLength) };
          }, bytes.length);
          try {
            feedBulk(sink, bytes, step);
          } catch (error) {
            assert.ok(
              codes.some((code) => isStoreError(error, code)),
              String(error),
            );
            refused += 1;
            return;
          }
          whole += 1;
          assert.deepEqual(
            [...sink.result.payloads].map((payload) => Buffer.from(payload)),
            payloads.map((payload) => Buffer.from(payload)),
          );
        },
      ),
      runs,
    );
    assert.ok(whole > 100 && refused > 100, `${whole} whole, ${refused} refused`);
  });
});
