import { crc32c, crc32cAppend } from '../../base/crc32c.ts';
import { StoreError } from '../../base/errors.ts';
import type { HttpHead } from '../../platform/http.ts';

/** The header in which S3 takes and tells the CRC32C of a body. */
export const crcHeader = 'x-amz-checksum-crc32c';

/** The CRC32C of the parts one after another. */
export function crcOfParts(parts: readonly Uint8Array[]): number {
  return parts.reduce((crc, part) => crc32cAppend(crc, part), 0);
}

/** A CRC32C as S3 writes it: its four bytes, highest first, in base64. */
export function crcText(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc >>> 0);
  return bytes.toString('base64');
}

/** Throws `UNAVAILABLE` when the server told the checksum of the whole body and it is another. */
export function requireBodyCrc(what: string, { headers }: HttpHead, body: Uint8Array): void {
  const told = headers[crcHeader];
  // The checksum of an upload in parts may be one of checksums, which says how many there are.
  if (told === undefined || told.includes('-')) return;
  if (headers['x-amz-checksum-type'] === 'COMPOSITE') return;
  if (told === crcText(crc32c(body))) return;
  throw new StoreError(
    'UNAVAILABLE',
    `${what}: the body fails the server's CRC32C; altered on the way`,
  );
}

/** Throws `UNAVAILABLE` when the server stored bytes of another checksum. */
export function requireStoredCrc(what: string, { headers }: HttpHead, crc: number): void {
  const told = headers[crcHeader];
  if (told === undefined || told.includes('-') || told === crcText(crc)) return;
  throw new StoreError('UNAVAILABLE', `${what}: the server stored bytes of the CRC32C ${told}`);
}
