import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Samples } from '../one-host/samples.ts';
import { modes } from './sequence-places.ts';
import { nameOf, steps, strayBytes } from './sequence-rounds.ts';
import { sequenceTable } from './sequence-table.ts';

const none = { memory: 0, disk: 0, object: 0 };
const size = { blocks: 13, blockBytes: 1024, tailBytes: 100 };

describe('strayBytes', () => {
  it('finds nothing wrong when all bytes came from the tier', () => {
    for (const tier of ['memory', 'disk', 'object'] as const) {
      assert.equal(strayBytes({ ...none, [tier]: 500 }, tier, 500), undefined);
    }
  });

  it('finds bytes of other tiers, and bytes that are missing or too many', () => {
    const wrong = [
      { ...none, memory: 500 },
      { ...none, disk: 499 },
      { ...none, disk: 501 },
      { memory: 1, disk: 500, object: 0 },
      { memory: 0, disk: 500, object: 1 },
    ];
    for (const found of wrong) assert.match(strayBytes(found, 'disk', 500) ?? '', /500 from disk$/);
  });
});

describe('sequenceTable', () => {
  const samples = new Samples();
  for (const mode of modes) for (const step of steps) samples.keep(nameOf(size, mode, step), 8);
  for (const step of ['save', 'again', 'warm']) samples.keep(nameOf(size, 'files', step), 4);
  for (const limit of ['copy', 'T put', 'T get', 'U put', 'U get']) {
    samples.keep(nameOf(size, 'limit', limit), 2);
  }
  const { rows } = sequenceTable(samples, size);

  it('has a row for each step in each mode', () => {
    const own = rows.filter(({ what }) => !what.startsWith('plain files'));
    assert.equal(new Set(own.map(({ what }) => what)).size, modes.length * steps.length);
  });

  it('says how much of the limit a mode reaches, and where plain files are faster', () => {
    const byLimit = rows.filter(({ against }) => ['M', 'T', 'U'].includes(against?.what ?? ''));
    assert.ok(byLimit.length > 0 && byLimit.every(({ ratio }) => ratio === 0.25));
    const files = rows.filter(({ what }) => what.startsWith('plain files'));
    assert.ok(files.length > 0 && files.every(({ ratio, isMet }) => ratio === 0.5 && !isMet));
  });
});
