import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { peerTable } from './peer-table.ts';
import type { Peer, Peers } from './peers.ts';
import { Samples } from './samples.ts';

const peersOf = (...names: Peer['name'][]): Peers => ({
  list: names.map((name) => ({ name }) as Peer),
  ...{ missing: '', versions: {} },
});

function samplesOf(values: Readonly<Record<string, readonly number[]>>): Samples {
  const samples = new Samples();
  for (const [what, all] of Object.entries(values)) {
    for (const value of all) samples.keep(what, value);
  }
  return samples;
}

describe('peerTable', () => {
  it('says of times and of rates how many times as fast WombatKV is', () => {
    const samples = samplesOf({
      ...{ get: [10, 10], 'Redis get': [40, 60] },
      ...{ one: [3000, 3000], 'Redis one': [1000, 1000] },
    });
    const { rows } = peerTable(peersOf('Redis'), samples);
    assert.deepEqual(
      rows.map(({ what, ratio }) => [what, ratio]),
      [
        ['Redis: get of 40 × 1 MiB', 5],
        ['Redis: gets of 4 KiB a second, one in a call', 3],
      ],
    );
  });

  it('compares the samples of a round with each other', () => {
    const samples = samplesOf({ growing: [8, 2, 3], 'LMDB growing': [4, 1, 1] });
    assert.equal(peerTable(peersOf('LMDB'), samples).rows[0].ratio, 2);
  });

  it('asks for ten times of gets without a copy, five of gets with one, and one of the rest', () => {
    const names = ['Redis', 'files', 'LMDB'] as const;
    const values = names.flatMap((name) => [
      [`${name} get`, [70]],
      [`${name} lookup`, [70]],
    ]);
    const samples = samplesOf({ ...{ get: [10], lookup: [80] }, ...Object.fromEntries(values) });
    const { rows } = peerTable(peersOf(...names), samples);
    assert.deepEqual(
      rows.map(({ bar, isMet }) => [bar?.value, isMet]),
      [
        ...[[1, false] as const, [5, true] as const],
        ...[[1, false] as const, [5, true] as const],
        ...[[1, false] as const, [10, false] as const],
      ],
    );
  });

  it('says what to type where the peers are missing', () => {
    const { rows, notes } = peerTable(
      { list: [], missing: 'apt-get install them', versions: {} },
      new Samples(),
    );
    assert.deepEqual(rows, []);
    assert.deepEqual(notes, ['Peers are left out: apt-get install them']);
  });
});
