import assert from 'node:assert/strict';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { BodyDecoder } from '../../src/protocol/http1-body.ts';
import { bulkType } from '../../src/protocol/http1-bulk.ts';
import { chunkOf, lastChunk } from '../../src/protocol/http1-chunks.ts';
import { encodeHead, isRefusal, parseRequestHead } from '../../src/protocol/http1-head.ts';
import { parseResponseHead } from '../../src/protocol/http1-head.ts';
import { operationPath } from '../../src/protocol/http1-paths.ts';
import { HeadScanner, latin1Text } from '../../src/protocol/http1-scan.ts';
import { mib } from '../measured-limits.ts';
import { measureInTurns, samplesOf } from '../measure.ts';
import type { TimedCase } from '../measure.ts';
import { rowOf } from '../report.ts';
import type { Row, ScenarioResult } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';
import { Llhttp, llhttpVersion } from './llhttp.ts';

/** Our own parser of HTTP/1.1 beside llhttp in WebAssembly, on the messages of a batch. */
export const parsing: Scenario = {
  name: 'parsing',
  about: 'our parser of HTTP/1.1 against llhttp in WebAssembly',
  run: (context) => Promise.resolve(run(context)),
};

/** Bytes that one call of the system brings. */
const receiveBytes = 64 * 1024;
const bodyBytes = 8 * mib;

function run({ isQuick, rounds }: BenchContext): ScenarioResult {
  const cases = [...headCases('request'), ...headCases('response'), ...bodyCases()];
  const options = { rounds: rounds ?? (isQuick ? 5 : 15), roundMs: isQuick ? 5 : 50 };
  const measured = measureInTurns(cases, options);
  const micros = (name: string): readonly number[] =>
    samplesOf(measured, name).map((ms) => ms * 1000);
  const rows: Row[] = cases
    .map(({ name }) => name)
    .filter((name) => name.endsWith(own))
    .map((name) =>
      rowOf({
        ...{ what: name, unit: 'µs', samples: micros(name) },
        against: { what: 'llhttp', value: micros(name.replace(own, other)) },
      }),
    );
  const notes = [
    'CPU time. Heads are those of a bulk request and its answer, read into the fields that are asked for. Of a body of ' +
      '8 MiB each piece of 64 KiB is copied once, as the system does when it is received: by ours into its last place, for ' +
      'llhttp into the memory that it reads, from which it is copied on.',
  ];
  const table = { name: 'parsing', title: 'Parsing HTTP', rows, notes };
  return {
    tables: [table],
    settings: {},
    versions: { llhttp: llhttpVersion() },
    voidReasons: [],
  };
}

const own = 'ours';
const other = 'llhttp';

function headOf(kind: 'request' | 'response', byteLength: number | undefined): Uint8Array {
  const framing =
    byteLength === undefined
      ? (['transfer-encoding', 'chunked'] as const)
      : (['content-length', String(byteLength)] as const);
  const line =
    kind === 'request'
      ? `POST ${operationPath(parseNamespace('default'), 'save')} HTTP/1.1`
      : 'HTTP/1.1 200 OK';
  const beside =
    kind === 'request'
      ? [
          ['host', '127.0.0.1:8080'] as const,
          ['authorization', `Bearer ${'t'.repeat(40)}`] as const,
          ['wombatkv-deadline-ms', '10000'] as const,
        ]
      : [['date', 'Tue, 15 Nov 1994 08:12:31 GMT'] as const];
  return encodeHead(line, [...beside, ['content-type', bulkType], framing]);
}

function headCases(kind: 'request' | 'response'): TimedCase[] {
  const bytes = headOf(kind, 0);
  const scanner = new HeadScanner();
  const scratch = new Uint8Array(receiveBytes);
  const readOwn = (): number => {
    scratch.set(bytes);
    scanner.reset();
    const size = scanner.scan(scratch, bytes.length);
    assert.ok(typeof size === 'number');
    const text = latin1Text(scratch, size);
    const head = kind === 'request' ? parseRequestHead(text) : parseResponseHead(text, 'POST');
    assert.ok(!isRefusal(head));
    return head.headers.size;
  };
  let count = 0;
  const onHead = (fields: readonly string[]): void => {
    const headers = new Map<string, string>();
    for (let at = kind === 'request' ? 1 : 0; at + 1 < fields.length; at += 2) {
      headers.set(fields[at].toLowerCase(), fields[at + 1]);
    }
    count = headers.size;
  };
  const nothing = (): void => undefined;
  const llhttp = new Llhttp(kind, { onHead, onBody: nothing, onEnd: nothing });
  const readOther = (): number => {
    llhttp.input.set(bytes);
    llhttp.execute(bytes.length);
    return count;
  };
  assert.equal(readOwn(), readOther());
  return [
    { name: `the head of a ${kind}, ${own}`, run: readOwn },
    { name: `the head of a ${kind}, ${other}`, run: readOther },
  ];
}

function bodyCases(): TimedCase[] {
  const payload = new Uint8Array(bodyBytes).map((_, at) => at * 31);
  const pieces = Array.from({ length: bodyBytes / mib }, (_, at) =>
    payload.subarray(at * mib, (at + 1) * mib),
  );
  const whole = Buffer.concat([headOf('response', bodyBytes), payload]);
  const chunks = pieces.flatMap((piece) => chunkOf([piece]));
  const inChunks = Buffer.concat([headOf('response', undefined), ...chunks, lastChunk]);
  return [
    ...messageCases('8 MiB with a length', whole, payload),
    ...messageCases('8 MiB in chunks of 1 MiB', inChunks, payload),
  ];
}

function messageCases(what: string, message: Uint8Array, payload: Uint8Array): TimedCase[] {
  const places = { own: new Uint8Array(bodyBytes), other: new Uint8Array(bodyBytes) };
  let filled = 0;
  let isWhole = false;
  const llhttp = new Llhttp('response', {
    onHead: () => undefined,
    onBody: (bytes) => {
      places.other.set(bytes, filled);
      filled += bytes.length;
    },
    onEnd: () => (isWhole = true),
  });
  const readOther = (): void => {
    [filled, isWhole] = [0, false];
    for (let at = 0; at < message.length; at += receiveBytes) {
      const piece = message.subarray(at, at + receiveBytes);
      llhttp.input.set(piece);
      llhttp.execute(piece.length);
    }
    assert.ok(isWhole && filled === bodyBytes);
  };
  const scratch = new Uint8Array(receiveBytes);
  const readOwn = (): void => readByOurs(message, places.own, scratch);
  readOwn();
  readOther();
  for (const place of [places.own, places.other]) assert.ok(Buffer.from(place).equals(payload));
  return [
    { name: `${what}, ${own}`, run: readOwn },
    { name: `${what}, ${other}`, run: readOther },
  ];
}

/** As a connection reads: framing through the scratch buffer, data straight into its place. */
function readByOurs(message: Uint8Array, place: Uint8Array, scratch: Uint8Array): void {
  const scanner = new HeadScanner();
  scratch.set(message.subarray(0, receiveBytes));
  const size = scanner.scan(scratch, Math.min(receiveBytes, message.length));
  assert.ok(typeof size === 'number');
  const head = parseResponseHead(latin1Text(scratch, size), 'POST');
  assert.ok(!isRefusal(head));
  const decoder = new BodyDecoder(head.body);
  let at = size;
  let filled = 0;
  while (!decoder.isDone) {
    const ahead = Math.min(decoder.dataAhead, receiveBytes);
    if (ahead > 0) {
      place.set(message.subarray(at, at + ahead), filled);
      decoder.tookData(ahead);
      filled += ahead;
      at += ahead;
    } else {
      const framing = message.subarray(at, at + 512);
      scratch.set(framing);
      const next = decoder.takeFraming(scratch, 0, framing.length);
      assert.ok(typeof next === 'number');
      at += next;
    }
  }
  assert.equal(filled, place.length);
}
