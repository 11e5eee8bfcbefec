import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { concatBytes } from '../../src/base/bytes.ts';
import { crc32c } from '../../src/base/crc32c.ts';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import { readBulkVersion, readStored } from '../../src/client/http-values.ts';
import { loadZstd } from '../../src/format/zstd.ts';
import { bulkParts, encodeBulkHead } from '../../src/protocol/http1-bulk.ts';
import type { BulkRecord } from '../../src/protocol/http1-bulk.ts';
import { compressedParts } from '../../src/wire/compressed-body.ts';
import { decodeFromWire } from '../../src/wire/wire-tasks.ts';
import { goldenBytes, goldenFiles, goldenPath, goldenText } from '../golden/golden.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';

/** 32 bytes counting up from `first`, as digits. */
function digits(first: number): string {
  return Buffer.from(Array.from({ length: 32 }, (_, index) => first + index)).toString('hex');
}

function record(first: number, rest: Partial<BulkRecord>): BulkRecord {
  return {
    ...{ key: parseBlockKey(digits(first)), byteLength: 0, tokens: 0, position: undefined },
    ...{ hasDecodedTokens: false, isLeftOut: false, tier: undefined },
    ...rest,
  };
}

const payloads = [Buffer.from('bytes'), new Uint8Array(0)].map((payload) => ({ payload }));

/** The C library reads and writes the same files: capi/test/frames/http-test.c. */
describe('golden messages of HTTP', () => {
  const hasPython = spawnSync('python3', ['--version']).status === 0;
  const skip = hasPython ? false : 'python3 is not installed';

  it('are those that make-http.py writes', { skip }, async () => {
    const directory = await makeTemporaryDirectory('golden http');
    try {
      const made = spawnSync('python3', [goldenPath('make-http.py'), directory.path]);
      assert.equal(made.status, 0, made.stderr.toString());
      for (const folder of ['http-v1', 'http-v2', 'http-v3']) {
        const written = join(directory.path, folder);
        assert.deepEqual(readdirSync(written).sort(), goldenFiles(folder));
        for (const file of goldenFiles(folder)) {
          const expected = readFileSync(goldenPath(folder, file));
          assert.ok(readFileSync(join(written, file)).equals(expected), `${folder}/${file}`);
        }
      }
    } finally {
      await directory.remove();
    }
  });

  it('are what TypeScript writes of a save', () => {
    const records = [
      record(1, { isLeftOut: true }),
      record(33, { byteLength: 5 }),
      record(65, { byteLength: 0 }),
    ];
    const attributes = { durable: true, parent: digits(100) };
    const bytes = concatBytes([...bulkParts(encodeBulkHead({ records, attributes }), payloads)]);
    assert.deepEqual(bytes, goldenBytes('http-v1', 'save-body.bin'));
  });

  it('of version 2 are what TypeScript writes of a save, and reads of the answer before it', () => {
    const records = [
      record(1, { isLeftOut: true }),
      record(33, { byteLength: 5 }),
      record(65, { byteLength: 2 }),
    ];
    const attributes = { durable: true, parent: digits(100) };
    const head = encodeBulkHead({ records, attributes, isLastFirst: true });
    const lastFirst = [Buffer.from('ab'), Buffer.from('bytes')].map((payload) => ({ payload }));
    const bytes = concatBytes([...bulkParts(head, lastFirst)]);
    assert.deepEqual(bytes, goldenBytes('http-v2', 'save-body.bin'));
    const [, body] = goldenText('http-v2', 'present.bin').split('\r\n\r\n');
    const answer: unknown = JSON.parse(body);
    assert.deepEqual(readStored(answer, 3), [true, false, false]);
    assert.equal(readBulkVersion(answer), 2);
  });

  it('of version 3 are what TypeScript writes of a save, and reads', async () => {
    const golden = goldenBytes('http-v3', 'save-body.bin');
    const records = [
      record(1, { isLeftOut: true }),
      record(33, { byteLength: 20_000 }),
      record(65, { byteLength: 2 }),
    ];
    const attributes = { durable: true, parent: digits(100) };
    const head = encodeBulkHead({ records, attributes, isLastFirst: true, hasForms: true });
    const repeated = new Uint8Array(20_000).fill(97);
    const stored = Uint8Array.from(golden.subarray(golden.length - 17, golden.length - 4));
    const compressed = { form: { filter: 'none' as const, length: stored.length }, stored };
    const codec = {
      encode: async (payload: Uint8Array) =>
        payload.length === 2 ? undefined : { crc: crc32c(payload), compressed },
    };
    const lastFirst = [{ payload: Buffer.from('ab') }, { payload: repeated }];
    const parts: Uint8Array[] = [];
    for (const part of compressedParts(head, lastFirst, { codec, onSent: () => undefined })) {
      parts.push(...(part instanceof Promise ? await part : [part]));
    }
    assert.deepEqual(concatBytes(parts), golden);
    const target = new Uint8Array(20_000);
    decodeFromWire(stored, 'none', target, loadZstd());
    assert.deepEqual(target, repeated);
  });
});
