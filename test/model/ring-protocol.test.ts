import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explore } from './interleavings.ts';
import type { MemoryModel } from './interleavings.ts';
import { ringOmissions, ringProtocol } from './ring-protocol.ts';

const models: readonly MemoryModel[] = ['sequential', 'tso', 'weak'];

describe('the protocol of commit rings', () => {
  for (const model of models) {
    it(`takes every save that was accepted, with its bytes, in any order of a ${model} memory`, () => {
      const { violation, outcomes, states } = explore(ringProtocol(), model);
      assert.equal(violation, undefined, JSON.stringify(violation));
      assert(outcomes > 0);
      process.stdout.write(`${model}: ${states} states, ${outcomes} outcomes\n`);
    });
  }

  it('is of use: a save is accepted in some orders, refused in others, and its place used again', () => {
    const seen = new Set<string>();
    const { fault: _fault, ...program } = ringProtocol();
    explore(
      {
        ...program,
        fault: ({ memory, registers }) => {
          const { closed } = registers['client'];
          seen.add(
            `closed ${closed}, found ${registers['closer']['head']}, at last ${memory['payload']}`,
          );
          return undefined;
        },
      },
      'weak',
    );
    assert.deepEqual([...seen].sort(), [
      'closed 0, found 1, at last 1',
      'closed 0, found 1, at last 2',
      'closed 1, found 0, at last 1',
      'closed 1, found 1, at last 1',
      'closed 1, found 1, at last 2',
    ]);
  });

  for (const omission of ringOmissions) {
    it(`needs ${omission}: without it the checker finds a save that is lost, or has other bytes`, () => {
      assert(explore(ringProtocol(omission), 'weak').violation !== undefined);
    });
  }

  it('needs both fences on x86-64 too', () => {
    for (const omission of ['the fence of the client', 'the fence of the closer'] as const) {
      assert(explore(ringProtocol(omission), 'tso').violation !== undefined, omission);
    }
  });
});
