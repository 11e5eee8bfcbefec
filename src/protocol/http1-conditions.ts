/** Bytes of a body, from the first up to but not including the last. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * What a Range header asks for (RFC 9110 §14). Undefined when the whole body is to be sent: no
 * header, another unit, several ranges, or none by the rules of the syntax.
 */
export function parseRange(
  header: string | undefined,
  byteLength: number,
): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(header?.replace(/[ \t]/g, '') ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return undefined;
  if (match[1] === '') {
    const start = Math.max(0, byteLength - Number(match[2]));
    return start === byteLength ? 'unsatisfiable' : { start, end: byteLength };
  }
  const start = Number(match[1]);
  const last = match[2] === '' ? Infinity : Number(match[2]);
  if (last < start) return undefined;
  return start >= byteLength ? 'unsatisfiable' : { start, end: Math.min(last + 1, byteLength) };
}

/** True when the header of a condition names the tag, or any by `*`. Weak tags compare as strong. */
export function matchesTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  const members = header.match(/\*|(?:W\/)?"[^"]*"/g) ?? [];
  return members.some((member) => member === '*' || member.replace(/^W\//, '') === tag);
}
