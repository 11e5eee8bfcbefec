import assert from 'node:assert/strict';
import { test } from 'node:test';
import { md5Hex } from './md5.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

test('md5Hex() gives the digests of RFC 1321', () => {
  assert.equal(md5Hex(text('')), 'd41d8cd98f00b204e9800998ecf8427e');
  assert.equal(md5Hex(text('message digest')), 'f96b697d7cb7938d525a2f31aaf161d0');
});

test('md5Hex() reads a view of shared memory, and no more than it', () => {
  const memory = new Uint8Array(new SharedArrayBuffer(20)).fill(0xff);
  memory.set(text('message digest'), 3);
  assert.equal(md5Hex(memory.subarray(3, 17)), 'f96b697d7cb7938d525a2f31aaf161d0');
});
