import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { concatBytes } from '../../src/base/bytes.ts';
import { crc32c } from '../../src/base/crc32c.ts';
import { isStoreError } from '../../src/base/errors.ts';
import { limits } from '../../src/blocks/limits.ts';
import { loadZstd } from '../../src/format/zstd.ts';
import { BodyDecoder } from '../../src/protocol/http1-body.ts';
import { encodeBulkHead } from '../../src/protocol/http1-bulk.ts';
import { chunkOf, lastChunk } from '../../src/protocol/http1-chunks.ts';
import { decodeForm, encodeForm, formBytes } from '../../src/protocol/http1-form.ts';
import { BulkSink } from '../../src/protocol/http1-sink.ts';
import type { BeginForm } from '../../src/protocol/http1-sink.ts';
import { wireFilters } from '../../src/protocol/read-messages.ts';
import { compressedParts } from '../../src/wire/compressed-body.ts';
import { decodeFromWire, encodeForWire } from '../../src/wire/wire-tasks.ts';
import { chainOf } from '../support/chains.ts';
import { randomPayload, smoothPayload } from '../support/payloads.ts';
import { feedBulk } from '../support/feed-bulk.ts';

const zstd = loadZstd();
const { keys } = chainOf('forms', 4);
const payloads = [
  smoothPayload('forms/0', 20_000),
  randomPayload('forms/1', 700),
  new Uint8Array(0),
  smoothPayload('forms/3', 17_001),
];
const codec = { encode: async (payload: Uint8Array) => encodeForWire(payload, zstd) };

/** Decodes at once what threads decode beside other work. */
const beginForm: BeginForm = (form, payload) => {
  const stored = new Uint8Array(form.length);
  return {
    stored,
    finish: async () => decodeFromWire(stored, form.filter, payload, zstd),
    giveUp: () => undefined,
  };
};

/** A body of version 3, its payloads from the last to the first. */
async function bodyOf(sent = payloads): Promise<Uint8Array> {
  const records = sent.map(({ length }, index) => ({
    ...{ key: keys[index], byteLength: length, tokens: 128, position: undefined },
    ...{ hasDecodedTokens: false, isLeftOut: false, tier: undefined },
  }));
  const head = encodeBulkHead({ records, attributes: {}, isLastFirst: true, hasForms: true });
  const order = sent.map((payload) => ({ payload })).reverse();
  const parts: Uint8Array[] = [];
  for (const part of compressedParts(head, order, { codec, onSent: () => undefined })) {
    parts.push(...(part instanceof Promise ? await part : [part]));
  }
  return concatBytes(parts);
}

interface Reading {
  readonly step: number;
  readonly take?: (length: number) => Uint8Array;
  readonly begin?: BeginForm | undefined;
}

async function read(bytes: Uint8Array, reading: Reading): Promise<readonly Uint8Array[]> {
  const { step, take = (length) => new Uint8Array(length), begin } = reading;
  const sink = new BulkSink(
    ({ records }) => ({ take: (index) => take(records[index].byteLength) }),
    undefined,
    { beginForm: begin },
  );
  feedBulk(sink, bytes, step);
  await sink.verified();
  return sink.result.payloads;
}

describe('the form of a payload in a bulk body', () => {
  it('has the bytes that the page draws', () => {
    assert.equal(Buffer.from(encodeForm(undefined)).toString('hex'), '0000000000000000');
    const form = { filter: 'split2', length: 0x1234 } as const;
    assert.equal(Buffer.from(encodeForm(form)).toString('hex'), '3412000002000000');
    assert.deepEqual(decodeForm(encodeForm(form), 0x1235), form);
    assert.equal(decodeForm(new Uint8Array(8), 5), undefined);
  });

  it('is refused when it claims no byte, no fewer than the payload has, or a filter that is none', () => {
    const form = (length: number, filter: number): Uint8Array =>
      Uint8Array.from([...new Uint8Array(Uint32Array.of(length, filter).buffer)]);
    const most = limits.wireCompressBytesMax;
    for (const [bytes, rawLength] of [
      [form(0, 1), 100],
      [form(100, 0), 100],
      [form(0xffffffff, 0), 100],
      [form(50, wireFilters.length), 100],
      [form(50, 0xffffffff), 100],
      [form(50, 0), most + 1],
    ] as const) {
      assert.throws(
        () => decodeForm(bytes, rawLength),
        (error) => isStoreError(error, 'INVALID'),
      );
    }
    assert.equal(decodeForm(form(most - 1, 0), most)?.length, most - 1);
  });
});

describe('a bulk body of version 3', () => {
  it('is shorter than its payloads, and is read in pieces of any size', async () => {
    const bytes = await bodyOf();
    assert.equal(Buffer.from(bytes.subarray(0, 8)).toString(), 'WMBTHTP3');
    assert.ok(bytes.length < 30_000, `${bytes.length} bytes`);
    for (const step of [1, 7, 4096, bytes.length]) {
      const got = await read(bytes, { step, begin: beginForm });
      got.forEach((payload, at) => assert.ok(Buffer.from(payload).equals(payloads[at]), `${at}`));
      assert.equal(got.length, payloads.length);
    }
  });

  it('with a compressed payload is refused by who agreed to none, before that takes memory', async () => {
    const bytes = await bodyOf([smoothPayload('refused', 30_000)]);
    const take = (): Uint8Array => assert.fail('memory was taken');
    await assert.rejects(
      read(bytes, { step: bytes.length, take }),
      (error) => isStoreError(error, 'INVALID') && error.message.includes('not agreed'),
    );
    const noise = randomPayload('noise', 20_000);
    assert.deepEqual(await read(await bodyOf([noise]), { step: 1000 }), [noise]);
  });

  /**
   * Goal: whatever the bytes, they are refused or give what their checksums say, and no more memory is taken than the
   * table and the forms may claim. Method: bytes of a true body changed at random, half of them in its forms and heads.
   */
  it('of made-up bytes is refused, or gives what its checksums say', async () => {
    const body = await bodyOf();
    const lastFirst = [3, 2, 1, 0];
    let at = 24 + 64 * payloads.length + 2;
    const formsAt = lastFirst.map((index) => {
      const here = at;
      const sent = new DataView(body.buffer, body.byteOffset + at).getUint32(0, true);
      at += formBytes + (sent === 0 ? payloads[index].length : sent) + 4;
      return here;
    });
    const anywhere = fc.nat(body.length - 1);
    const inForm = fc
      .tuple(fc.constantFrom(...formsAt), fc.nat(formBytes - 1))
      .map(([start, offset]) => start + offset);
    const flips = fc.array(fc.tuple(fc.oneof(anywhere, inForm), fc.nat(255)), { maxLength: 3 });
    let [whole, refused] = [0, 0];
    const property = fc.asyncProperty(
      flips,
      fc.integer({ min: 1, max: 9000 }),
      async (list, step) => {
        const bytes = Uint8Array.from(body);
        for (const [place, value] of list) bytes[place] = value;
        let taken = 0;
        const take = (length: number): Uint8Array => {
          taken += length;
          assert.ok(taken <= 40_000, `${taken} bytes for payloads`);
          return new Uint8Array(length);
        };
        const begin: BeginForm = (form, payload) => {
          assert.ok(form.length < payload.length);
          return beginForm(form, payload);
        };
        try {
          const got = await read(bytes, { step, take, begin });
          got.forEach((one, index) => assert.ok(Buffer.from(one).equals(payloads[index])));
          whole += 1;
        } catch (error) {
          const isOurs = isStoreError(error, 'INVALID') || isStoreError(error, 'CORRUPT');
          assert.ok(isOurs || isStoreError(error, 'TOO_LARGE'), String(error));
          refused += 1;
        }
      },
    );
    await fc.assert(property, { numRuns: 1500 });
    assert.ok(whole > 50 && refused > 50, `${whole} whole, ${refused} refused`);
  });

  it('that breaks off lets go of what was coming, and says when threads have let go', async () => {
    const bytes = await bodyOf([payloads[0], payloads[3]]);
    let givenUp = 0;
    let finish: ((sum: number) => void) | undefined;
    const sink = new BulkSink(
      ({ records }) => ({ take: (index) => new Uint8Array(records[index].byteLength) }),
      undefined,
      {
        beginForm: ({ length }) => ({
          stored: new Uint8Array(length),
          finish: () => new Promise((resolve) => (finish = resolve)),
          giveUp: () => (givenUp += 1),
        }),
      },
    );
    for (let at = 0; at < bytes.length - 100;) {
      const space = sink.space();
      const part = bytes.subarray(at, Math.min(at + space.length, bytes.length - 100));
      space.set(part);
      sink.took(part.length);
      at += part.length;
    }
    let isClosed = false;
    const closing = sink.close().then(() => (isClosed = true));
    assert.equal(givenUp, 1);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isClosed, false);
    finish?.(crc32c(payloads[3]));
    await closing;
  });
});

describe('chunks', () => {
  it('are read as what they were made of, and none of no byte stands before the end', () => {
    const groups = [[Buffer.from('abc'), Buffer.alloc(20, 'd')], [], [Buffer.from('e')]];
    const bytes = concatBytes([...groups.flatMap(chunkOf), lastChunk]);
    assert.equal(
      Buffer.from(bytes).toString(),
      `17\r\nabc${'d'.repeat(20)}\r\n1\r\ne\r\n0\r\n\r\n`,
    );
    const decoder = new BodyDecoder({ kind: 'chunked' });
    let data = '';
    for (let at = 0; at < bytes.length && !decoder.isDone;) {
      if (decoder.dataAhead === 0) {
        const next = decoder.takeFraming(bytes, at, bytes.length);
        assert.ok(typeof next === 'number');
        at = next;
      } else {
        const ahead = decoder.dataAhead;
        data += Buffer.from(bytes.subarray(at, at + ahead)).toString();
        decoder.tookData(ahead);
        at += ahead;
      }
    }
    assert.equal(data, `abc${'d'.repeat(20)}e`);
    assert.ok(decoder.isDone);
  });
});
