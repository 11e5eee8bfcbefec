import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { limits } from '../blocks/limits.ts';
import { WireChoice } from './wire-choice.ts';
import type { WireTransfer } from './wire-choice.ts';

const mb = 1_000_000;

/** A transfer of 40 MB at so many raw megabytes a second. */
function transfer(speed: number, ratio = 1): WireTransfer {
  const ms = (40 * mb) / (speed * 1000);
  return { rawBytes: 40 * mb, wireBytes: 40 * mb * ratio, linkMs: ms, callMs: ms };
}

function choiceAt(speed: number): WireChoice {
  const choice = new WireChoice();
  choice.note(transfer(speed));
  return choice;
}

describe('whether compression pays', () => {
  it('is not known before the link was measured, by a transfer that is long enough', () => {
    const choice = new WireChoice();
    assert.equal(choice.pays(100), false);
    choice.note({ rawBytes: 100_000, wireBytes: 100_000, linkMs: 100, callMs: 100 });
    assert.equal(choice.pays(100), false);
    choice.note(transfer(20));
    assert.equal(choice.pays(100), true);
  });

  it('depends on the speed of the link, and for few payloads on their number', () => {
    assert.equal(choiceAt(1000).pays(1000), false);
    assert.equal(choiceAt(260).pays(1000), false);
    assert.equal(choiceAt(240).pays(1000), true);
    // One gains 15 % on the link and passes both threads at 300 MB/s: 45 MB/s.
    assert.equal(choiceAt(44).pays(1), true);
    assert.equal(choiceAt(46).pays(1), false);
    assert.equal(choiceAt(46).pays(2), true);
  });

  it('follows the median of the last raw transfers', () => {
    const choice = choiceAt(1000);
    choice.note(transfer(20));
    assert.equal(choice.pays(40), false);
    choice.note(transfer(20));
    assert.equal(choice.pays(40), true);
  });

  it('learns the ratio', () => {
    const choice = choiceAt(46);
    for (let count = 0; count < 8; count += 1) choice.note(transfer(60, 0.6));
    assert.equal(choice.pays(1), true);
  });

  it('measures the link again from time to time, and sees that it has become faster', () => {
    const choice = choiceAt(20);
    for (let count = 0; count < limits.wireMeasureEvery; count += 1) {
      assert.equal(choice.pays(40), true);
      choice.note(transfer(23, 0.85));
    }
    assert.equal(choice.pays(40), false);
    choice.note(transfer(20));
    assert.equal(choice.pays(40), true);
    for (let count = 0; count < 3; count += 1) choice.note(transfer(1000));
    assert.equal(choice.pays(40), false);
  });

  it('takes what came compressed for a bound of the link from below', () => {
    const choice = choiceAt(20);
    for (let count = 0; count < 3; count += 1) choice.note(transfer(2000, 0.85));
    assert.equal(choice.pays(40), false);
  });

  it('pauses where it turned out slower, longer each time, and no longer where it is faster again', () => {
    const choice = choiceAt(100);
    const pause = (): number => {
      choice.note(transfer(90, 0.85));
      assert.equal(choice.pays(40), true);
      choice.note(transfer(90, 0.85));
      let raw = 0;
      for (; !choice.pays(40); raw += 1) choice.note(transfer(100));
      return raw;
    };
    const first = limits.wirePauseFirst;
    assert.deepEqual([pause(), pause(), pause()], [first, 2 * first, 4 * first]);
    for (let count = 0; count < 9; count += 1) pause();
    assert.equal(pause(), limits.wirePauseMost);
    choice.note(transfer(115, 0.85));
    assert.equal(pause(), first);
  });
});
