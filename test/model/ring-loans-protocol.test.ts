import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explore } from './interleavings.ts';
import type { MemoryModel } from './interleavings.ts';
import { ringLoanOmissions, ringLoansProtocol } from './ring-loans-protocol.ts';

const models: readonly MemoryModel[] = ['sequential', 'tso', 'weak'];

describe('the protocol of memory that is lent in rings', () => {
  for (const model of models) {
    it(`takes every save that was accepted, and changes none, in any order of a ${model} memory`, () => {
      const { violation, outcomes, states } = explore(ringLoansProtocol(), model);
      assert.equal(violation, undefined, JSON.stringify(violation));
      assert(outcomes > 0);
      process.stdout.write(`${model}: ${states} states, ${outcomes} outcomes\n`);
    });
  }

  it('is of use: saves are accepted, refused, too late, and the memory is used again', () => {
    const seen = new Set<string>();
    const { fault: _fault, ...program } = ringLoansProtocol();
    explore(
      {
        ...program,
        fault: ({ memory, registers }) => {
          const { stamp, closed } = registers['client'];
          const { head } = registers['store'];
          seen.add(`stamp ${stamp}, closed ${closed}, found ${head}, at last ${memory['payload']}`);
          return undefined;
        },
      },
      'weak',
    );
    for (const one of [
      'stamp 1, closed 0, found 1, at last 1',
      'stamp 1, closed 1, found 1, at last 1',
      'stamp 1, closed 1, found 0, at last 1',
      'stamp 1, closed 1, found 0, at last 2',
      'stamp 0, closed 1, found 0, at last 2',
    ]) {
      assert(seen.has(one), `${one} is not among ${[...seen].sort().join('; ')}`);
    }
  });

  for (const omission of ringLoanOmissions) {
    it(`needs ${omission}: without it the checker finds a save that is lost or changed`, () => {
      assert(explore(ringLoansProtocol(omission), 'weak').violation !== undefined);
    });
  }

  it('needs the fences on x86-64 too', () => {
    for (const omission of [
      'the fence behind the hazard',
      'the fence behind the head',
      'the fence behind closing',
      'the fence behind the stamp',
    ] as const) {
      assert(explore(ringLoansProtocol(omission), 'tso').violation !== undefined, omission);
    }
  });
});
