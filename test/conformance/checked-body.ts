import assert from 'node:assert/strict';
import { crc32c } from '../../src/base/crc32c.ts';
import { viewOf } from '../../src/base/bytes.ts';

/** Bytes of length and checksum before the content. */
const headerBytes = 8;

/** A body that tells whether it is whole: its length, its checksum, and content by the seed. */
export function checkedBody(seed: number, contentBytes: number): Uint8Array {
  const body = new Uint8Array(headerBytes + contentBytes);
  const content = body.subarray(headerBytes);
  for (let at = 0; at < content.length; at += 1)
    content[at] = Math.imul(at + seed, 0x9e3779b1) >>> 24;
  viewOf(body).setUint32(0, body.length, true);
  viewOf(body).setUint32(4, crc32c(content), true);
  return body;
}

/** Fails unless the body is whole and unaltered. */
export function requireCheckedBody(body: Uint8Array): void {
  assert.ok(body.length > headerBytes, `only ${body.length} bytes`);
  assert.equal(viewOf(body).getUint32(0, true), body.length, 'length');
  assert.equal(viewOf(body).getUint32(4, true), crc32c(body.subarray(headerBytes)), 'checksum');
}
