import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explore } from './interleavings.ts';
import type { MemoryModel } from './interleavings.ts';
import { lendingOmissions, lendingProtocol } from './lending-protocol.ts';

const models: readonly MemoryModel[] = ['sequential', 'tso', 'weak'];

describe('the protocol of lent memory', () => {
  for (const model of models) {
    it(`lets no late client change what is shown, in any order of a ${model} memory`, () => {
      const { violation, outcomes, states } = explore(lendingProtocol(), model);
      assert.equal(violation, undefined, JSON.stringify(violation));
      assert(outcomes > 0);
      process.stdout.write(`${model}: ${states} states, ${outcomes} outcomes\n`);
    });
  }

  it('is of use: the store uses the memory again, and the client fills it, in some orders', () => {
    const seen = new Set<string>();
    const { fault: _fault, ...program } = lendingProtocol();
    explore(
      {
        ...program,
        fault: ({ memory, registers }) => {
          seen.add(`shown ${memory['shown']}, stamp seen ${registers['client']['stamp']}`);
          return undefined;
        },
      },
      'weak',
    );
    assert.deepEqual([...seen].sort(), [
      'shown 0, stamp seen 0',
      'shown 0, stamp seen 1',
      'shown 1, stamp seen 0',
      'shown 1, stamp seen 1',
    ]);
  });

  for (const omission of lendingOmissions) {
    it(`needs ${omission}: without it the checker finds a payload that was changed`, () => {
      assert(explore(lendingProtocol(omission), 'weak').violation !== undefined);
    });
  }

  it('needs both fences on x86-64 too', () => {
    for (const omission of ['the fence of the client', 'the fence of the store'] as const) {
      assert(explore(lendingProtocol(omission), 'tso').violation !== undefined, omission);
    }
  });
});
