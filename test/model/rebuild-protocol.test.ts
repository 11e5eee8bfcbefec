import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explore } from './interleavings.ts';
import type { MemoryModel } from './interleavings.ts';
import { rebuildOmissions, rebuildProtocol } from './rebuild-protocol.ts';
import type { RebuildReader } from './rebuild-protocol.ts';

const models: readonly MemoryModel[] = ['sequential', 'tso', 'weak'];
const readers: readonly RebuildReader[] = ['of the old index', 'by name'];

describe('the protocol of an index that is built anew', () => {
  for (const model of models) {
    it(`gives no reader of either index other bytes than it pinned, in any order of a ${model} memory`, () => {
      for (const reader of readers) {
        const { violation, outcomes, states } = explore(rebuildProtocol(reader), model);
        assert.equal(violation, undefined, JSON.stringify(violation));
        assert(outcomes > 0);
        process.stdout.write(`${model}, ${reader}: ${states} states, ${outcomes} outcomes\n`);
      }
    });
  }

  for (const omission of rebuildOmissions) {
    it(`needs ${omission}: without it the checker finds wrong bytes`, () => {
      const { violation } = explore(rebuildProtocol('of the old index', omission), 'weak');
      assert(violation !== undefined);
    });
  }

  it('needs the fences on x86-64 too', () => {
    for (const omission of ['the fence of the reader', 'the fence of the writer'] as const) {
      const { violation } = explore(rebuildProtocol('of the old index', omission), 'tso');
      assert(violation !== undefined, omission);
    }
  });
});
