import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { silentLogger } from '../../base/logger.ts';
import { seedOf } from '../../blocks/prefix.ts';
import { nodePlatform } from '../../platform/node-platform.ts';
import { makeTemporaryDirectory } from '../../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../../test/support/temporary-directory.ts';
import type { LlamaIdentity } from './llama-identity.ts';
import { rehearseRestore } from './llama-rehearsal.ts';
import { newStatistics } from './llama-statistics.ts';
import { Payback } from './payback.ts';
import { StateFiles } from './state-files.ts';
import type { StateGeometry } from './state-layout.ts';
import { StoredKeys } from './stored-keys.ts';

const row = { type: 1, rowBytes: 4096, elementBytes: 0 };
const layouts: readonly (readonly [string, StateGeometry])[] = [
  ['rows', { isTransposed: false, keys: [row, row], values: [row, row] }],
  [
    'transposed values',
    {
      isTransposed: true,
      keys: [row, row],
      values: [
        { ...row, elementBytes: 2 },
        { ...row, elementBytes: 2 },
      ],
    },
  ],
];

describe('rehearseRestore', () => {
  let directory: TemporaryDirectory;
  before(async () => (directory = await makeTemporaryDirectory('rehearsal')));
  after(() => directory.remove());

  for (const [name, geometry] of layouts) {
    it(`restores a whole prompt, leaves no file and no trace, with ${name}`, async () => {
      const platform = nodePlatform();
      const { path } = directory;
      const host = { ...platform.host, memoryDirectory: path, temporaryDirectory: path };
      const statistics = newStatistics();
      const stored = new StoredKeys();
      const payback = new Payback(100, false);
      const planned = payback.planLookup(1000);
      const identity = { geometry, streams: 2, seed: seedOf('rehearsal test') } as LlamaIdentity;
      const tokens = await rehearseRestore({
        ...{ platform, identity, statistics, stored, payback, logger: silentLogger },
        ...{ namespace: undefined, blockTokens: 128, policy: 'never', exact: true },
        stateFiles: new StateFiles({ ...platform, host }),
        stateFileBytesMax: 2 ** 30,
      });
      assert.equal(tokens, 13 * 128 + 35);
      assert.deepEqual(statistics, newStatistics());
      assert.deepEqual(payback.planLookup(1000), planned);
      assert.deepEqual(await readdir(path), []);
    });
  }
});
