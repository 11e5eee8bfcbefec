import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { limits } from '../blocks/limits.ts';
import { IdleMemory } from './idle-memory.ts';

/** A process whose work is told by the test. */
function open(): {
  readonly done: string[];
  readonly idle: IdleMemory;
  readonly clock: ManualClock;
  work(ms: number): void;
  look(): void;
} {
  const clock = new ManualClock();
  const done: string[] = [];
  let usedMs = 0;
  const idle = new IdleMemory({
    clock,
    processorMs: () => usedMs,
    collect: () => done.push('collect'),
    trim: () => done.push('trim'),
  });
  return {
    ...{ done, idle, clock },
    work: (ms) => {
      usedMs += ms;
    },
    look: () => clock.advance(limits.idleLookMs),
  };
}

const muchMs = limits.idleProcessorMs + 1;

describe('memory of a process that rests', () => {
  it('is given back once for each rest, first what is garbage and then what is free', () => {
    const { done, work, look } = open();
    work(muchMs);
    look();
    assert.deepEqual(done, []);
    look();
    assert.deepEqual(done, ['collect']);
    for (let i = 0; i < 10; i += 1) look();
    assert.deepEqual(done, ['collect', 'trim', 'trim']);
    work(muchMs);
    look();
    for (let i = 0; i < 10; i += 1) look();
    assert.deepEqual(done.slice(3), ['collect', 'trim', 'trim']);
  });

  it('is kept while the process works, also when it begins again in the middle', () => {
    const { done, work, look } = open();
    for (let i = 0; i < 5; i += 1) {
      work(muchMs);
      look();
    }
    assert.deepEqual(done, []);
    look();
    work(muchMs);
    look();
    look();
    assert.deepEqual(done, ['collect', 'collect']);
  });

  it('is given back while there is only a little to do', () => {
    const { done, work, look } = open();
    for (let i = 0; i < 10; i += 1) {
      work(limits.idleProcessorMs);
      look();
    }
    assert.deepEqual(done, ['collect', 'trim', 'trim']);
  });

  it('is nobody’s business any more when the store has closed', async () => {
    const { done, idle, clock, look } = open();
    await idle.stop();
    look();
    assert.deepEqual(done, []);
    assert.equal(clock.waiting, 0);
  });
});
