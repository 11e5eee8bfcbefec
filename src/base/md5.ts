// oxlint-disable-next-line import/no-nodejs-modules -- a pure function of bytes, no more of the machine
import { createHash, getFips } from 'node:crypto';

/**
 * MD5 of the bytes in hex, for comparison with what a bucket says of an object. It finds accidents;
 * as protection against forgery it is worth nothing. Undefined where the machine forbids MD5.
 */
export function md5Hex(bytes: Uint8Array): string | undefined {
  return getFips() === 1 ? undefined : createHash('md5').update(bytes).digest('hex');
}
