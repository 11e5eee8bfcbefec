/**
 * Heads of HTTP/1.1 messages (RFC 9112), read strictly: what two readers could take in two ways is
 * refused, because that is what request smuggling is made of. Pure; only whole heads come here.
 */

/** Why a message is refused, and the status that says so. The connection ends with it. */
export interface Http1Refusal {
  readonly status: number;
  readonly reason: string;
}

/** How long the body is. */
export type BodyFraming =
  { readonly kind: 'length'; readonly byteLength: number } | { readonly kind: 'chunked' };

/** Values by lower-case name; those of a name that came several times stand in order. */
export type HeaderFields = ReadonlyMap<string, readonly string[]>;

export interface RequestHead {
  readonly method: string;
  /** Path and query as they came, without scheme and host. */
  readonly target: string;
  readonly headers: HeaderFields;
  readonly body: BodyFraming;
  /** False when the connection ends after this exchange. */
  readonly isKeptAlive: boolean;
  /** The client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: HeaderFields;
  readonly body: BodyFraming;
  readonly isKeptAlive: boolean;
}

export const http1Limits = {
  /** Bytes of a request line or status line, and of a whole head with its last empty line. */
  lineBytesMax: 8 * 1024,
  headBytesMax: 16 * 1024,
  /** Lines of a header or trailer section. */
  fieldsMax: 100,
  /** Bytes of a line before a chunk: its size, and extensions that nobody here wants. */
  chunkLineBytesMax: 256,
  /** Bytes of all trailers. */
  trailerBytesMax: 4 * 1024,
} as const;

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Everything but controls; a tab may stand between words. */
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/;
const requestLine = /^([^ ]+) ([^ ]+) HTTP\/(\d)\.(\d)$/;
const statusLine = /^HTTP\/1\.(\d) (\d{3})(?: [\t\x20-\x7e\x80-\xff]*)?$/;
/** What a URL may hold as it goes over the wire: no space, no control, no fragment. */
const targetCharacters = /^[\x21\x22\x24-\x7e]+$/;
/** A name, an IPv4 address or a bracketed IPv6 address, with or without a port. */
const hostValue = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::\d{1,5})?$/;
const absoluteTarget = /^https?:\/\/([^/?#]*)([^#]*)$/i;

const registeredCoding = /^(?:gzip|x-gzip|compress|x-compress|deflate)$/i;

/** The head in `text`, which ends with its empty line; bytes as Latin-1. */
export function parseRequestHead(text: string): RequestHead | Http1Refusal {
  const lines = linesOf(text);
  const line = requestLine.exec(lines[0]);
  if (line === null) return bad(`not a request line: ${quoted(lines[0])}`);
  const [, method, rawTarget, major, minor] = line;
  if (!token.test(method)) return bad(`not a method: ${quoted(method)}`);
  if (major !== '1') return { status: 505, reason: `HTTP/${major}.${minor} is not spoken here` };
  const headers = parseFields(lines);
  if (isRefusal(headers)) return headers;
  const isOld = minor === '0';
  const hostless = hostRefusal(headers, isOld);
  if (hostless !== undefined) return hostless;
  const target = parseTarget(method, rawTarget);
  if (typeof target !== 'string') return target;
  const body = requestFraming(headers, isOld);
  if (isRefusal(body)) return body;
  const expectations = listOf(headers, 'expect');
  const unknown = expectations.find((one) => one !== '100-continue');
  if (unknown !== undefined) return { status: 417, reason: `cannot meet ${quoted(unknown)}` };
  return {
    method,
    target,
    headers,
    body,
    isKeptAlive: !isOld && !listOf(headers, 'connection').includes('close'),
    expectsContinue: !isOld && expectations.length > 0 && hasBody(body),
  };
}

/** The head of an answer to a request with that method. */
export function parseResponseHead(text: string, method: string): ResponseHead | Http1Refusal {
  const lines = linesOf(text);
  const line = statusLine.exec(lines[0]);
  if (line === null) return bad(`not a status line: ${quoted(lines[0])}`);
  const status = Number(line[2]);
  const headers = parseFields(lines);
  if (isRefusal(headers)) return headers;
  const isBodiless = method === 'HEAD' || status < 200 || status === 204 || status === 304;
  const framed = framingOf(headers);
  if (isRefusal(framed)) return framed;
  if (framed === undefined && !isBodiless) return bad('an answer whose length nobody states');
  const isKeptAlive = line[1] !== '0' && !listOf(headers, 'connection').includes('close');
  const body = isBodiless || framed === undefined ? noBody : framed;
  return { status, headers, body, isKeptAlive };
}

export function isRefusal(value: object | undefined): value is Http1Refusal {
  return value !== undefined && 'reason' in value && 'status' in value;
}

export function hasBody(body: BodyFraming): boolean {
  return body.kind === 'chunked' || body.byteLength > 0;
}

/** The value of a header that has one; several are joined as a list. */
export function headerOf(headers: HeaderFields, name: string): string | undefined {
  return headers.get(name)?.join(', ');
}

/** The members of a header that is a list, in lower case. */
export function listOf(headers: HeaderFields, name: string): readonly string[] {
  return (headers.get(name) ?? [])
    .flatMap((value) => value.split(','))
    .map((member) => trimSpace(member).toLowerCase())
    .filter((member) => member !== '');
}

/** A head as it goes out. Names and values are ours or checked here: no line can be slipped in. */
export function encodeHead(
  startLine: string,
  headers: readonly (readonly [name: string, value: string])[],
): Uint8Array {
  let text = `${startLine}\r\n`;
  for (const [name, value] of headers) {
    if (!token.test(name) || !fieldValue.test(value)) {
      throw new RangeError(`not a header: ${quoted(name)}: ${quoted(value)}`);
    }
    text += `${name}: ${value}\r\n`;
  }
  return latin1Bytes(`${text}\r\n`);
}

const noBody: BodyFraming = { kind: 'length', byteLength: 0 };

function bad(reason: string): Http1Refusal {
  return { status: 400, reason };
}

/** The lines of the head, without the two empty pieces behind the last line end. */
function linesOf(text: string): readonly string[] {
  return text.split('\r\n').slice(0, -2);
}

function parseFields(lines: readonly string[]): HeaderFields | Http1Refusal {
  if (lines.length - 1 > http1Limits.fieldsMax) {
    const reason = `${lines.length - 1} header lines; at most ${http1Limits.fieldsMax} are read`;
    return { status: 431, reason };
  }
  const fields = new Map<string, string[]>();
  for (let index = 1; index < lines.length; index += 1) {
    const line = lines[index];
    if (line.startsWith(' ') || line.startsWith('\t')) {
      return bad(index === 1 ? 'space before the first header' : 'a folded header line');
    }
    const colon = line.indexOf(':');
    if (colon < 0) return bad(`a header line without a colon: ${quoted(line)}`);
    const name = line.slice(0, colon);
    // A space before the colon is the classic way to hide a header from one of two readers.
    if (!token.test(name)) return bad(`not a header name: ${quoted(name)}`);
    const value = trimSpace(line.slice(colon + 1));
    if (!fieldValue.test(value)) return bad(`a control character in the value of ${name}`);
    const lower = name.toLowerCase();
    const values = fields.get(lower);
    if (values === undefined) fields.set(lower, [value]);
    else values.push(value);
  }
  return fields;
}

/** RFC 9112 §3.2: path and query of the target, whichever of its forms it has. */
function parseTarget(method: string, target: string): string | Http1Refusal {
  if (target.length > http1Limits.lineBytesMax) {
    const reason = `a target of ${target.length} bytes; at most ${http1Limits.lineBytesMax} are read`;
    return { status: 414, reason };
  }
  if (method === 'CONNECT') return { status: 501, reason: 'CONNECT is not served' };
  if (!targetCharacters.test(target)) return bad(`not a request target: ${quoted(target)}`);
  if (target.startsWith('/') || (target === '*' && method === 'OPTIONS')) return target;
  const absolute = absoluteTarget.exec(target);
  if (absolute === null) return bad(`not a request target: ${quoted(target)}`);
  const [, host, path] = absolute;
  if (host === '' || !hostValue.test(host)) return bad(`not a host: ${quoted(host)}`);
  return path.startsWith('/') ? path : `/${path}`;
}

/** One Host header, and a host in it; HTTP/1.0 may leave it out. */
function hostRefusal(headers: HeaderFields, isOld: boolean): Http1Refusal | undefined {
  const hosts = headers.get('host') ?? [];
  if (hosts.length > 1) return bad(`${hosts.length} Host headers`);
  if (hosts.length === 0) return isOld ? undefined : bad('no Host header');
  return hostValue.test(hosts[0]) ? undefined : bad(`not a host: ${quoted(hosts[0])}`);
}

function requestFraming(headers: HeaderFields, isOld: boolean): BodyFraming | Http1Refusal {
  if (isOld && headers.has('transfer-encoding')) {
    return bad('Transfer-Encoding in a message of HTTP/1.0');
  }
  return framingOf(headers) ?? noBody;
}

/** RFC 9112 §6: the one length that every reader finds; undefined when no header tells. */
function framingOf(headers: HeaderFields): BodyFraming | Http1Refusal | undefined {
  const lengths = headers.get('content-length');
  const codings = headers.get('transfer-encoding');
  if (codings !== undefined) {
    if (lengths !== undefined) return bad('Content-Length beside Transfer-Encoding');
    return codedFraming(codings);
  }
  if (lengths === undefined) return undefined;
  if (lengths.length > 1) return bad(`${lengths.length} Content-Length headers`);
  if (!/^\d+$/.test(lengths[0])) return bad(`not a length: ${quoted(lengths[0])}`);
  const byteLength = Number(lengths[0]);
  if (!Number.isSafeInteger(byteLength)) {
    return { status: 413, reason: `a body of ${lengths[0].slice(0, 40)} bytes` };
  }
  return { kind: 'length', byteLength };
}

function codedFraming(values: readonly string[]): BodyFraming | Http1Refusal {
  const codings = values.join(',').split(',').map(trimSpace);
  const wrong = codings.find((coding) => !token.test(coding));
  if (wrong !== undefined) return bad(`not a transfer coding: ${quoted(wrong)}`);
  const isChunked = (coding: string): boolean => coding.toLowerCase() === 'chunked';
  const other = codings.find((coding) => !isChunked(coding));
  if (other === undefined) {
    return codings.length > 1 ? bad('chunked more than once') : { kind: 'chunked' };
  }
  if (!isChunked(codings[codings.length - 1]) && registeredCoding.test(other)) {
    return bad('Transfer-Encoding does not end with chunked');
  }
  return { status: 501, reason: `the transfer coding ${quoted(other)} is not read` };
}

/** Spaces and tabs only: what else counts as space elsewhere must stay and be refused. */
function trimSpace(text: string): string {
  return text.replace(/^[ \t]+|[ \t]+$/g, '');
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

function latin1Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  return bytes;
}
