import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explore } from './interleavings.ts';
import type { MemoryModel } from './interleavings.ts';
import { knownOmissions, knownProtocol } from './known-protocol.ts';
import type { KnownChange, KnownOmission } from './known-protocol.ts';

const models: readonly MemoryModel[] = ['sequential', 'tso', 'weak'];
const changes: readonly KnownChange[] = ['put', 'place', 'remove', 'withdraw'];
const keys = [1, 2] as const;

/** True when the checker finds a fault with that part left out, in any change. */
function isFaulty(model: MemoryModel, omission: KnownOmission): boolean {
  return changes.some((change) =>
    keys.some((key) => explore(knownProtocol(change, key, omission), model).violation),
  );
}

describe('the protocol of the file of known keys', () => {
  for (const model of models) {
    it(`shows no key that is not there, in any order of a ${model} memory`, () => {
      for (const change of changes) {
        for (const key of keys) {
          const { violation, outcomes, states } = explore(knownProtocol(change, key), model);
          assert.equal(violation, undefined, JSON.stringify(violation));
          assert(outcomes > 0);
          const what = `${model}, ${change}, key ${key}`;
          process.stdout.write(`${what}: ${states} states, ${outcomes} outcomes\n`);
        }
      }
    });
  }

  it('is of use: a key is found before it is removed, and not when that was told', () => {
    const { fault: _fault, ...program } = knownProtocol('remove', 1);
    const seen = new Set<string>();
    explore(
      {
        ...program,
        fault: ({ registers }) => {
          const { told, s1, s2, first, last } = registers['reader'];
          const isFound = s1 === s2 && first === 1 && last === 1;
          seen.add(`told ${told}, ${isFound ? 'found' : 'not found'}`);
          return undefined;
        },
      },
      'weak',
    );
    assert.deepEqual([...seen].sort(), ['told 0, found', 'told 0, not found', 'told 1, not found']);
  });

  for (const omission of knownOmissions) {
    it(`needs ${omission}: without it the checker finds a key that is not there`, () => {
      assert(isFaulty('weak', omission));
    });
  }

  it('needs the numbers and both looks on x86-64 too', () => {
    for (const omission of ['the odd number', 'the second look'] as const) {
      assert(isFaulty('tso', omission), omission);
    }
  });
});
