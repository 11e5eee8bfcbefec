/** A request in one piece, and the status that refuses it. Each is a way to smuggle or to confuse. */
export interface BadRequest {
  readonly rule: string;
  readonly bytes: string;
  readonly status: number;
}

/** Heads without their last line. */
export const get = 'GET /healthz HTTP/1.1\r\nHost: h\r\n';
export const post = 'POST /wmbt/v1/flush HTTP/1.1\r\nHost: h\r\n';
/** Head of a request whose body comes in chunks. */
export const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`;

/** By section of RFC 9112, all of §2.2, §3, §5.1, §5.2, §6, §7.1 and §11 that a server can refuse. */
const badByRule: readonly BadRequest[] = [
  ['§2.2 a line that ends with a bare LF', 'GET / HTTP/1.1\nHost: h\r\n\r\n'],
  ['§2.2 a header line that ends with a bare LF', `${get}A: b\nC: d\r\n\r\n`],
  ['§2.2 a head whose last line is a bare LF', `${get}\n`],
  ['§2.2 a bare CR in the request line', 'GET /\r HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['§2.2 a bare CR in a header value', `${get}A: b\rC: d\r\n\r\n`],
  ['§2.2 a CR CR LF', `${get}A: b\r\r\n\r\n`],
  ['§2.2 space before the first header', 'GET / HTTP/1.1\r\n Host: h\r\n\r\n'],
  ['§2.2 two empty lines before the request', `\r\n\r\n${get}\r\n`],
  ['§3 two spaces in the request line', 'GET  / HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['§3 a tab in the request line', 'GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['§3 space behind the version', 'GET / HTTP/1.1 \r\nHost: h\r\n\r\n'],
  ['§3 no version', 'GET /\r\nHost: h\r\n\r\n'],
  ['§3 a version in lower case', 'GET / http/1.1\r\nHost: h\r\n\r\n'],
  ['§3.1 a method that is no token', 'G@T / HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['§3.2 no Host', 'GET / HTTP/1.1\r\n\r\n'],
  ['§3.2 two Hosts', `${get}Host: other\r\n\r\n`],
  ['§3.2 a Host that is none', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n'],
  ['§3.2 a Host with a path', 'GET / HTTP/1.1\r\nHost: h/x\r\n\r\n'],
  ['§3.2 a target with a fragment', 'GET /#x HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['§3.2 a target without a slash', 'GET healthz HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['§3.2 a target with a byte above ASCII', 'GET /\xe9 HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['§3.2.2 an absolute target of another scheme', 'GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['§3.2.4 an asterisk for GET', 'GET * HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['§5.1 a space before the colon', `${post}Content-Length : 5\r\n\r\nhello`],
  ['§5.1 a tab before the colon', `${post}Transfer-Encoding\t: chunked\r\n\r\n`],
  ['§5.1 a header without a name', `${get}: x\r\n\r\n`],
  ['§5.1 a header without a colon', `${get}nonsense\r\n\r\n`],
  ['§5.1 a name with a byte above ASCII', `${get}T\xe9: x\r\n\r\n`],
  ['§5.1 a NUL in a value', `${get}A: b\0c\r\n\r\n`],
  ['§5.1 a control character in a value', `${get}A: b\x0bc\r\n\r\n`],
  ['§5.2 a folded header line', `${get}A: b\r\n c\r\n\r\n`],
  ['§5.2 a Transfer-Encoding that is folded', `${post}Transfer-Encoding:\r\n chunked\r\n\r\n`],
  [
    '§6.1 Transfer-Encoding beside Content-Length (TE.CL, CL.TE)',
    `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  [
    '§6.1 the same, the other way round',
    `${post}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n`,
  ],
  [
    '§6.1 Transfer-Encoding in HTTP/1.0',
    'POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['§6.1 chunked twice', `${post}Transfer-Encoding: chunked, chunked\r\n\r\n`],
  [
    '§6.1 chunked in two headers (TE.TE)',
    `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
  ],
  ['§6.1 chunked that is not the last coding', `${post}Transfer-Encoding: chunked, gzip\r\n\r\n`],
  ['§6.1 a coding in quotes', `${post}Transfer-Encoding: "chunked"\r\n\r\n`],
  ['§6.1 a coding with a parameter', `${post}Transfer-Encoding: chunked;x=y\r\n\r\n`],
  ['§6.1 a coding behind a vertical tab', `${post}Transfer-Encoding: \x0bchunked\r\n\r\n`],
  ['§6.1 an empty Transfer-Encoding', `${post}Transfer-Encoding:\r\n\r\n`],
  ['§6.3 gzip without chunked: no length at all', `${post}Transfer-Encoding: gzip\r\n\r\n`],
  ['§6.2 two different lengths', `${post}Content-Length: 5\r\nContent-Length: 6\r\n\r\n`],
  ['§6.2 one length twice', `${post}Content-Length: 5\r\nContent-Length: 5\r\n\r\n`],
  ['§6.2 a list of lengths', `${post}Content-Length: 5, 5\r\n\r\n`],
  ['§6.2 a length with a sign', `${post}Content-Length: +5\r\n\r\n`],
  ['§6.2 a negative length', `${post}Content-Length: -1\r\n\r\n`],
  ['§6.2 a length in hex', `${post}Content-Length: 0x5\r\n\r\n`],
  ['§6.2 a length with a point', `${post}Content-Length: 5.0\r\n\r\n`],
  ['§6.2 an empty length', `${post}Content-Length:\r\n\r\n`],
  ['§6.2 a length with a space in it', `${post}Content-Length: 1 0\r\n\r\n`],
  ['§7.1 a chunk size with a sign', `${chunked}+1\r\nx\r\n0\r\n\r\n`],
  ['§7.1 a chunk size with 0x', `${chunked}0x1\r\nx\r\n0\r\n\r\n`],
  ['§7.1 a chunk size with a space before it', `${chunked} 1\r\nx\r\n0\r\n\r\n`],
  ['§7.1 an empty chunk size', `${chunked}\r\nx\r\n0\r\n\r\n`],
  ['§7.1 a negative chunk size', `${chunked}-1\r\n\r\n`],
  ['§7.1 a chunk size that overflows', `${chunked}fffffffffffffffff\r\n`],
  ['§7.1 a chunk line that ends with a bare LF', `${chunked}1\nx\r\n0\r\n\r\n`],
  ['§7.1 a bare CR in a chunk line', `${chunked}1\rx\r\nx\r\n`],
  ['§7.1 a chunk longer than its size', `${chunked}1\r\nxy\r\n0\r\n\r\n`],
  ['§7.1 data that ends with a bare LF', `${chunked}1\r\nx\n0\r\n\r\n`],
  ['§7.1 data that ends with CR and something', `${chunked}1\r\nx\r0\r\n\r\n`],
  ['§7.1.1 an extension with a control character', `${chunked}1;a=\x01\r\nx\r\n`],
  ['§7.1.1 an endless extension', `${chunked}1;${'a'.repeat(300)}`],
  ['§7.1.2 a trailer that is none', `${chunked}0\r\nnonsense\r\n\r\n`],
  ['§7.1.2 a trailer line that ends with a bare LF', `${chunked}0\r\nA: b\n\r\n`],
].map(([rule, bytes]) => ({ rule, bytes, status: 400 }));

/** All of them: most are wrong, some are more than a server takes. */
export const badRequests: readonly BadRequest[] = [
  ...badByRule,
  { rule: '§2.3 the preface of HTTP/2', bytes: 'PRI * HTTP/2.0\r\n\r\n', status: 505 },
  { rule: '§3 a line that never ends', bytes: `GET /${'a'.repeat(9000)}`, status: 414 },
  { rule: '§3.2.3 CONNECT', bytes: 'CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n', status: 501 },
  { rule: '§5 too many headers', bytes: `${get}${'A: b\r\n'.repeat(101)}\r\n`, status: 431 },
  { rule: '§5 too long a head', bytes: `${get}A: ${'b'.repeat(17_000)}`, status: 431 },
  {
    rule: '§6.1 an unknown coding',
    bytes: `${post}Transfer-Encoding: xchunked\r\n\r\n`,
    status: 501,
  },
  { rule: '§6.1 identity', bytes: `${post}Transfer-Encoding: identity\r\n\r\n`, status: 501 },
  {
    rule: '§6.1 gzip below chunked',
    bytes: `${post}Transfer-Encoding: gzip, chunked\r\n\r\n`,
    status: 501,
  },
  {
    rule: '§6.2 a length beyond all numbers',
    bytes: `${post}Content-Length: 99999999999999999999\r\n\r\n`,
    status: 413,
  },
  {
    rule: '§7.1.2 endless trailers',
    bytes: `${chunked}0\r\n${`A: ${'b'.repeat(200)}\r\n`.repeat(30)}`,
    status: 431,
  },
  {
    rule: 'RFC 9110 §10.1.1 an expectation that nobody meets',
    bytes: `${get}Expect: miracles\r\n\r\n`,
    status: 417,
  },
];
