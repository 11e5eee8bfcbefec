import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explore } from './interleavings.ts';
import type { MemoryModel } from './interleavings.ts';
import { omissions, pinProtocol } from './pin-protocol.ts';

const models: readonly MemoryModel[] = ['sequential', 'tso', 'weak'];
const keys = [1, 2] as const;

describe('the checker', () => {
  const storeBuffering = {
    memory: { x: 0, y: 0 },
    threads: [
      { name: 'a', operations: [store('x'), load('y')] },
      { name: 'b', operations: [store('y'), load('x')] },
    ],
    fault: ({ registers }: { registers: Record<string, Record<string, number | undefined>> }) =>
      registers['a']['y'] === 0 && registers['b']['x'] === 0 ? 'both read zero' : undefined,
  };

  it('knows that x86-64 loads before an earlier store and a sequential machine does not', () => {
    assert.equal(explore(storeBuffering, 'sequential').violation, undefined);
    assert.equal(explore(storeBuffering, 'tso').violation?.fault, 'both read zero');
    assert.equal(explore(storeBuffering, 'weak').violation?.fault, 'both read zero');
  });

  it('knows that a weak machine stores and loads out of order, and x86-64 does not', () => {
    const messagePassing = {
      memory: { x: 0, y: 0 },
      threads: [
        { name: 'a', operations: [store('x'), store('y')] },
        { name: 'b', operations: [load('y'), load('x')] },
      ],
      fault: ({ registers }: { registers: Record<string, Record<string, number | undefined>> }) =>
        registers['b']['y'] === 1 && registers['b']['x'] === 0 ? 'flag without data' : undefined,
    };
    assert.equal(explore(messagePassing, 'tso').violation, undefined);
    assert.equal(explore(messagePassing, 'weak').violation?.fault, 'flag without data');
  });
});

describe('the index and pin protocol', () => {
  for (const model of models) {
    it(`gives no reader other bytes than it pinned, in any order of a ${model} memory`, () => {
      for (const key of keys) {
        const { violation, outcomes, states } = explore(pinProtocol(key), model);
        assert.equal(violation, undefined, JSON.stringify(violation));
        assert(outcomes > 0);
        process.stdout.write(`${model}, key ${key}: ${states} states, ${outcomes} outcomes\n`);
      }
    });
  }

  for (const omission of omissions) {
    it(`needs ${omission}: without it the checker finds wrong bytes`, () => {
      const found = keys.map((key) => explore(pinProtocol(key, omission), 'weak').violation);
      assert(found.some((violation) => violation !== undefined));
    });
  }
});

function store(word: string) {
  return { kind: 'store' as const, word, value: 1 };
}

function load(word: string) {
  return { kind: 'load' as const, word, into: word };
}
