import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, test } from 'node:test';
import fc from 'fast-check';
import { concatBytes } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { StoreError } from '../base/errors.ts';
import { hexFromBytes } from '../base/hex.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { goldenFiles, goldenPath } from '../../test/golden/golden.ts';
import { decodeFrameHeader, encodeDataHeader, encodeFrame, frameHeaderBytes } from './frame.ts';
import type { FrameType } from './frame-types.ts';
import * as reads from './read-messages.ts';
import * as session from './session-messages.ts';
import { decodeStatistics } from './statistics.ts';
import * as writes from './write-messages.ts';

function key(first: number): BlockKey {
  return parseBlockKey(hexFromBytes(Uint8Array.from({ length: 32 }, (_, at) => first + at)));
}

const head = { namespace: parseNamespace('default'), deadlineMs: 10_000 };
const bytes = new TextEncoder().encode('bytes');

interface Golden {
  readonly type: FrameType;
  readonly id: number;
  readonly value: unknown;
  readonly encode: () => Uint8Array;
  readonly decode: (body: Uint8Array) => unknown;
}

function golden<Value>(
  place: readonly [type: FrameType, id: number],
  value: Value,
  codec: readonly [encode: (value: Value) => Uint8Array, decode: (body: Uint8Array) => unknown],
): Golden {
  const [type, id] = place;
  return { type, id, value, encode: () => codec[0](value), decode: codec[1] };
}

const noBody = [() => new Uint8Array(0), () => undefined] as const;
const number = [reads.encodeNumber, reads.decodeNumber] as const;
const keysCall = [reads.encodeKeysCall, reads.decodeKeysCall] as const;
const deletion = [reads.encodeDeleteCall, reads.decodeDeleteCall] as const;
const minute = { ...head, deadlineMs: 60_000 };

/** What each golden file says, by its name. */
const goldens: Readonly<Record<string, Golden>> = {
  hello: golden(
    ['hello', 0],
    {
      versionOldest: 1,
      versionNewest: 1,
      features: 55,
      clientId: '000102030405060708090a0b0c0d0e0f',
      token: 's3cret',
      agent: 'c-library 1.1',
    },
    [session.encodeHello, session.decodeHello],
  ),
  welcome: golden(
    ['welcome', 0],
    {
      version: 1,
      features: 55,
      bodyBytesMax: 8_388_608,
      dataBytesMax: 1_048_576,
      eagerBytesMax: 131_072,
      callsMax: 256,
      connectionsMax: 16,
      agent: 'wombatkv 0.1.0',
    },
    [session.encodeWelcome, session.decodeWelcome],
  ),
  error: golden(['error', 7], new StoreError('BUSY', 'the backlog limit is 4 bytes'), [
    session.encodeFailure,
    session.decodeFailure,
  ]),
  cancel: golden(['cancel', 7], undefined, noBody),
  ping: golden(['ping', 9], undefined, noBody),
  pong: golden(['pong', 9], undefined, noBody),
  lookup: golden(['lookup', 1], { ...head, deadlineMs: 250, keys: [key(1), key(33)] }, keysCall),
  'looked-up': golden(['looked-up', 1], { matched: 1, reason: 'evicted' as const }, [
    reads.encodeLookedUp,
    reads.decodeLookedUp,
  ]),
  contains: golden(
    ['contains', 2],
    { ...head, namespace: parseNamespace('équipe/a'), keys: [] },
    keysCall,
  ),
  present: golden(['present', 2], [1, 0, 1, 0, 0, 0, 0, 1, 0, 1].map(Boolean), [
    reads.encodePresent,
    reads.decodePresent,
  ]),
  load: golden(
    ['load', 3],
    {
      ...head,
      deadlineMs: 9999,
      exact: true,
      fingerprint: key(200),
      mayCompress: false,
      keys: [key(1)],
    },
    [reads.encodeLoadCall, reads.decodeLoadCall],
  ),
  'load-any': golden(
    ['load', 15],
    {
      ...head,
      deadlineMs: 9999,
      exact: false,
      fingerprint: undefined,
      mayCompress: false,
      keys: [key(1)],
    },
    [reads.encodeLoadCall, reads.decodeLoadCall],
  ),
  'load-borrowing': golden(
    ['load', 21],
    {
      ...{ ...head, deadlineMs: 9999, exact: false, fingerprint: undefined },
      ...{ mayCompress: false, mayBorrow: true, keys: [key(1)] },
    },
    [reads.encodeLoadCall, reads.decodeLoadCall],
  ),
  resident: golden(['resident', 21], ['object', 'disk', 'memory'] as const, [
    reads.encodeResident,
    reads.decodeResident,
  ]),
  'load-tail': golden(
    ['load-tail', 4],
    {
      ...{
        ...head,
        deadlineMs: 1,
        exact: false,
        fingerprint: undefined,
        mayCompress: false,
        tip: key(7),
      },
      tokens: [1, -2, 2_147_483_647],
    },
    [reads.encodeLoadTailCall, reads.decodeLoadTailCall],
  ),
  'load-raw-tail': golden(['load-raw-tail', 5], { ...head, deadlineMs: 0, tip: key(7) }, [
    reads.encodeLoadRawTailCall,
    reads.decodeLoadRawTailCall,
  ]),
  'load-tail-borrowing': golden(
    ['load-tail', 22],
    {
      ...{ ...head, deadlineMs: 1, exact: false, fingerprint: undefined, mayCompress: false },
      ...{ mayBorrow: true, tip: key(7), tokens: [1, -2, 2_147_483_647] },
    },
    [reads.encodeLoadTailCall, reads.decodeLoadTailCall],
  ),
  'borrow-raw-tail': golden(['borrow-raw-tail', 23], { ...head, deadlineMs: 0, tip: key(7) }, [
    reads.encodeLoadRawTailCall,
    reads.decodeLoadRawTailCall,
  ]),
  'resident-tail': golden(['resident-tail', 22], { tokens: 2, tier: 'disk' as const }, [
    reads.encodeResidentTail,
    reads.decodeResidentTail,
  ]),
  payload: golden(
    ['payload', 3],
    {
      ...{ index: 0, length: 5, crc: crc32c(bytes), tokens: 128, hasDecodedTokens: true },
      tier: 'object' as const,
    },
    [reads.encodePayloadNotice, reads.decodePayloadNotice],
  ),
  'load-compressed': golden(
    ['load', 19],
    {
      ...{ ...head, deadlineMs: 9999, exact: false, fingerprint: undefined, mayCompress: true },
      keys: [key(1)],
    },
    [reads.encodeLoadCall, reads.decodeLoadCall],
  ),
  'payload-compressed': golden(
    ['payload', 19],
    {
      ...{ index: 0, length: 65_536, crc: 0xdeadbeef, tokens: 128, hasDecodedTokens: true },
      ...{ tier: 'memory' as const, compressed: { filter: 'split2' as const, length: 40_000 } },
    },
    [reads.encodePayloadNotice, reads.decodePayloadNotice],
  ),
  data: golden(['data', 3], bytes, [(value) => value, (body) => Uint8Array.from(body)]),
  loaded: golden(['loaded', 3], { count: 1, reason: undefined }, [
    reads.encodeLoaded,
    reads.decodeLoaded,
  ]),
  save: golden(
    ['save', 6],
    {
      ...{ ...head, durable: true, fingerprint: key(200), parent: key(100), isUnasked: false },
      isWhole: true,
      mayFill: false,
      mayCompress: false,
      blocks: [
        { key: key(1), length: 5, tokens: 128, position: 0, hasDecodedTokens: false },
        { key: key(33), length: 0, tokens: 0, position: undefined, hasDecodedTokens: true },
      ],
    },
    [writes.encodeSaveCall, writes.decodeSaveCall],
  ),
  'save-unasked': golden(
    ['save', 16],
    {
      ...{ ...head, durable: true, fingerprint: undefined, parent: key(100), isUnasked: true },
      isWhole: true,
      mayFill: false,
      mayCompress: false,
      blocks: [
        { key: key(1), length: 5, tokens: 0, position: undefined, hasDecodedTokens: false },
        { key: key(33), length: 0, tokens: 0, position: undefined, hasDecodedTokens: false },
      ],
    },
    [writes.encodeSaveCall, writes.decodeSaveCall],
  ),
  'save-filling': golden(
    ['save', 17],
    {
      ...{ ...head, durable: undefined, fingerprint: undefined, parent: undefined },
      ...{ isUnasked: false, isWhole: false, mayFill: true, mayCompress: false },
      blocks: [{ key: key(1), length: 131_072, tokens: 128, position: 0, hasDecodedTokens: false }],
    },
    [writes.encodeSaveCall, writes.decodeSaveCall],
  ),
  'save-compressed': golden(
    ['save', 20],
    {
      ...{ ...head, durable: undefined, fingerprint: undefined, parent: undefined },
      ...{ isUnasked: false, isWhole: false, mayFill: false, mayCompress: true },
      blocks: [{ key: key(1), length: 131_072, tokens: 128, position: 0, hasDecodedTokens: false }],
    },
    [writes.encodeSaveCall, writes.decodeSaveCall],
  ),
  'save-tail': golden(
    ['save-tail', 7],
    {
      ...{
        ...head,
        durable: false,
        fingerprint: undefined,
        isUnasked: true,
        isWhole: false,
        mayFill: false,
        mayCompress: false,
        tip: key(7),
      },
      ...{ length: 5, position: undefined, hasDecodedTokens: true, tokens: [5, 6] },
    },
    [writes.encodeSaveTailCall, writes.decodeSaveTailCall],
  ),
  'save-raw-tail': golden(
    ['save-raw-tail', 8],
    {
      ...{ ...head, durable: undefined, fingerprint: undefined, isUnasked: false },
      ...{ isWhole: false, mayFill: false, mayCompress: false, tip: key(7), length: 5 },
    },
    [writes.encodeSaveRawTailCall, writes.decodeSaveRawTailCall],
  ),
  wanted: golden(['wanted', 6], { grantBytes: 67_108_864, isWanted: [true, false] }, [
    writes.encodeWanted,
    writes.decodeWanted,
  ]),
  grant: golden(['grant', 6], 1_048_576, number),
  lent: golden(
    ['lent', 17],
    [{ segment: 2, offset: 769, salt: 0xdeadbeef, number: 7 }],
    [writes.encodeLent, writes.decodeLent],
  ),
  filled: golden(['filled', 17], [0xe3069283], [writes.encodeFilled, writes.decodeFilled]),
  'open-ring': golden(['open-ring', 18], undefined, noBody),
  ring: golden(['ring', 18], { number: 3, byteLength: 8_392_704 }, [
    session.encodeRing,
    session.decodeRing,
  ]),
  'ring-news': golden(['ring-news', 0], undefined, noBody),
  saved: golden(['saved', 6], { saved: 1, known: 1, savedBytes: 5 }, [
    writes.encodeSaved,
    writes.decodeSaved,
  ]),
  resend: golden(['resend', 6], undefined, noBody),
  prefetched: golden(['prefetched', 10], 40, number),
  flush: golden(['flush', 11], minute, [reads.encodeHead, reads.decodeHead]),
  flushed: golden(['flushed', 11], undefined, noBody),
  'delete-blocks': golden(
    ['delete', 12],
    { ...minute, selection: { kind: 'blocks' as const, keys: [key(1), key(33)] } },
    deletion,
  ),
  'delete-subtree': golden(
    ['delete', 13],
    { ...minute, selection: { kind: 'subtree' as const, root: key(1) } },
    deletion,
  ),
  'delete-namespace': golden(
    ['delete', 14],
    { ...minute, selection: { kind: 'namespace' as const } },
    deletion,
  ),
  deleted: golden(['deleted', 14], 3, number),
};

function goldenBytes(name: string): Uint8Array {
  return new Uint8Array(readFileSync(goldenPath('protocol-v1', `${name}.bin`)));
}

describe('the golden frames', () => {
  it('are all read by this suite', () => {
    const names = goldenFiles('protocol-v1').map((file) => file.replace(/\.bin$/, ''));
    assert.deepEqual(names.sort(), Object.keys(goldens).sort());
  });

  for (const [name, { type, id, value, encode, decode }] of Object.entries(goldens)) {
    it(`${name} is what the encoder writes and what the decoder reads`, () => {
      const expected = goldenBytes(name);
      const body = encode();
      const made =
        type === 'data' ? [encodeDataHeader(id, body.length), body] : encodeFrame(type, id, body);
      assert.deepEqual(concatBytes(made), expected);
      const header = decodeFrameHeader(expected.subarray(0, frameHeaderBytes));
      assert.deepEqual(
        [header.type, header.id, header.length],
        [type, id, expected.length - frameHeaderBytes],
      );
      const decoded = decode(expected.subarray(frameHeaderBytes));
      if (value instanceof StoreError) {
        assert.ok(decoded instanceof StoreError);
        assert.deepEqual([decoded.code, decoded.message], [value.code, value.message]);
      } else if (name === 'contains') {
        assert.deepEqual(decoded, value);
      } else {
        assert.deepEqual(decoded, value);
      }
    });
  }
});

const hasPython = spawnSync('python3', ['--version']).status === 0;

test(
  'make-protocol.py writes the golden frames that are here',
  { skip: hasPython ? false : 'python3 is not installed' },
  () => {
    const directory = mkdtempSync(join(tmpdir(), 'wombatkv golden '));
    try {
      const made = spawnSync('python3', [goldenPath('make-protocol.py'), directory]);
      assert.equal(made.status, 0, made.stderr.toString());
      assert.deepEqual(readdirSync(directory).sort(), goldenFiles('protocol-v1'));
      for (const file of goldenFiles('protocol-v1')) {
        const expected = readFileSync(goldenPath('protocol-v1', file));
        assert.ok(readFileSync(join(directory, file)).equals(expected), file);
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
);

const decoders: Readonly<Record<string, (body: Uint8Array) => unknown>> = {
  ...Object.fromEntries(Object.entries(goldens).map(([name, { decode }]) => [name, decode])),
  statistics: decodeStatistics,
  header: (body) =>
    decodeFrameHeader(concatBytes([body, new Uint8Array(frameHeaderBytes)]).subarray(0, 24)),
};

describe('every decoder', () => {
  for (const [name, decode] of Object.entries(decoders)) {
    it(`${name} answers any bytes with a value or our own error`, () => {
      const start = name in goldens ? goldenBytes(name).subarray(frameHeaderBytes) : bytes;
      const changed = fc
        .array(fc.tuple(fc.nat(Math.max(0, start.length - 1)), fc.nat(255)), { maxLength: 4 })
        .map((changes) => {
          const copy = Uint8Array.from(start);
          for (const [at, value] of changes) if (at < copy.length) copy[at] = value;
          return copy;
        });
      const cut = fc.nat(start.length).map((length) => start.subarray(0, length));
      const inputs = fc.oneof(fc.uint8Array({ maxLength: 200 }), changed, cut);
      fc.assert(
        fc.property(inputs, (body) => {
          try {
            decode(body);
          } catch (error) {
            assert.ok(error instanceof StoreError, String(error));
          }
        }),
        { numRuns: 400 },
      );
    });
  }

  it('refuses a message that is cut off or too long', () => {
    for (const [name, { type, decode }] of Object.entries(goldens)) {
      const body = goldenBytes(name).subarray(frameHeaderBytes);
      if (body.length === 0 || type === 'data') continue;
      for (let length = 0; length < body.length; length += 1) {
        assert.throws(() => decode(body.subarray(0, length)), StoreError, `${name}: ${length}`);
      }
      if (type === 'hello' || type === 'welcome') continue;
      assert.throws(() => decode(concatBytes([body, bytes])), /bytes too many/, name);
    }
  });

  it('refuses a count that its bytes cannot hold before it takes memory', () => {
    const body = reads.encodeKeysCall({ ...head, keys: [] });
    new DataView(body.buffer).setUint32(body.length - 4, 65_536, true);
    assert.throws(() => reads.decodeKeysCall(body), /65536 entries in 0 bytes/);
    new DataView(body.buffer).setUint32(body.length - 4, 0xffffffff, true);
    assert.throws(() => reads.decodeKeysCall(body), /at most 65536/);
  });
});

describe('the version of the protocol', () => {
  it('is the newest that both speak', () => {
    assert.equal(session.commonVersion({ versionOldest: 1, versionNewest: 9 }), 1);
  });

  it('that only one of them speaks is INCOMPATIBLE', () => {
    assert.throws(
      () => session.commonVersion({ versionOldest: 2, versionNewest: 3 }),
      (error: unknown) => error instanceof StoreError && error.code === 'INCOMPATIBLE',
    );
  });
});

describe('statistics', () => {
  it('take what is absent for 0 and leave out what is unknown', () => {
    const body = new TextEncoder().encode('{"saved": 3, "surprises": 9, "memory": {"hits": 1}}');
    const stats = decodeStatistics(body);
    assert.deepEqual([stats.saved, stats.memory.hits, stats.misses.corrupt], [3, 1, 0]);
    assert.ok(!('surprises' in stats));
  });

  it('with something else for a count are INVALID', () => {
    for (const text of ['{"saved": -1}', '{"saved": "x"}', '[]', '{', '{"disk": 3}']) {
      assert.throws(() => decodeStatistics(new TextEncoder().encode(text)), StoreError, text);
    }
  });
});
