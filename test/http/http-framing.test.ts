import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isRefusal, parseRequestHead, parseResponseHead } from '../../src/protocol/http1-head.ts';
import type { RequestHead } from '../../src/protocol/http1-head.ts';
import { badRequests, chunked, get, post } from './bad-requests.ts';
import { readRequest } from './read-request.ts';

describe('HTTP/1.1 framing refuses', () => {
  for (const { rule, bytes, status } of badRequests) {
    it(`${rule}, with ${status}`, () => {
      for (const step of [bytes.length, 1, 7]) {
        const read = readRequest(bytes, step);
        assert.ok(read !== 'more' && isRefusal(read), `refused in pieces of ${step}`);
        assert.equal(read.status, status, read.reason);
        assert.ok(read.reason.length > 0);
      }
    });
  }
});

describe('HTTP/1.1 framing reads', () => {
  const accepted: readonly (readonly [string, string, string])[] = [
    ['no body', `${get}\r\n`, ''],
    ['an empty line before a request', `\r\n${get}\r\n`, ''],
    ['a body by its length', `${post}Content-Length: 5\r\n\r\nhello`, 'hello'],
    [
      'a length with leading zeros and space around',
      `${post}Content-Length: \t005 \r\n\r\nhello`,
      'hello',
    ],
    ['chunks', `${chunked}5\r\nhello\r\nA\r\n, wombat!!\r\n0\r\n\r\n`, 'hello, wombat!!'],
    [
      'chunks with extensions and trailers',
      `${chunked}5 ;a="b"\r\nhello\r\n0;x\r\nA: b\r\n\r\n`,
      'hello',
    ],
    ['Chunked in any case', `${post}transfer-encoding: ChUnKeD\r\n\r\n1\r\nx\r\n0\r\n\r\n`, 'x'],
    ['an absolute target', 'GET http://h:80/healthz?x HTTP/1.1\r\nHost: h\r\n\r\n', ''],
    ['a bracketed host', 'GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n', ''],
    ['HTTP/1.0 without a host', 'GET / HTTP/1.0\r\n\r\n', ''],
  ];
  for (const [what, bytes, body] of accepted) {
    it(`${what}, in pieces of any size, and leaves the next request alone`, () => {
      for (const step of [bytes.length, 1, 3]) {
        const read = readRequest(bytes + get, step);
        assert.ok(read !== 'more' && !isRefusal(read), JSON.stringify(read));
        assert.equal(read.body, body);
        assert.equal(read.rest, get);
      }
    });
  }

  it('what a head says', () => {
    const head = parseRequestHead(
      'PUT http://h/a%2Fb?c=d HTTP/1.1\r\nHost: h\r\nA: 1\r\na: 2\r\nConnection: X, Close\r\n' +
        'Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n',
    );
    assert.ok(!isRefusal(head));
    assert.deepEqual([head.method, head.target], ['PUT', '/a%2Fb?c=d']);
    assert.deepEqual(head.headers.get('a'), ['1', '2']);
    assert.deepEqual([head.isKeptAlive, head.expectsContinue], [false, true]);
    assert.deepEqual(head.body, { kind: 'length', byteLength: 3 });
  });

  it('answers without a body where none can be, and refuses those without a length', () => {
    const read = (text: string, method = 'GET'): unknown => parseResponseHead(text, method);
    const long = 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n';
    assert.deepEqual((read(long) as RequestHead).body, { kind: 'length', byteLength: 9 });
    assert.deepEqual((read(long, 'HEAD') as RequestHead).body, { kind: 'length', byteLength: 0 });
    assert.ok(!isRefusal(read('HTTP/1.1 204 No Content\r\n\r\n') as object));
    for (const wrong of [
      'HTTP/1.1 200 OK\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      'HTTP/1.1 20 OK\r\n\r\n',
      'ICY 200 OK\r\n\r\n',
    ]) {
      assert.ok(isRefusal(read(wrong) as object), wrong);
    }
  });
});
