import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { concatBytes } from '../../src/base/bytes.ts';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import { bulkParts, encodeBulkHead } from '../../src/protocol/http1-bulk.ts';
import type { BulkRecord } from '../../src/protocol/http1-bulk.ts';
import { goldenBytes, goldenFiles, goldenPath } from '../golden/golden.ts';
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
      assert.deepEqual(readdirSync(directory.path).sort(), goldenFiles('http-v1'));
      for (const file of goldenFiles('http-v1')) {
        const expected = readFileSync(goldenPath('http-v1', file));
        assert.ok(readFileSync(join(directory.path, file)).equals(expected), file);
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
});
