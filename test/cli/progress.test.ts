import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Progress } from '../../src/cli/progress.ts';
import { outputOf } from '../../src/cli/terminal.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { eventually } from '../support/waiting.ts';

describe('the progress of a command', () => {
  const { clock } = nodePlatform();
  const startOn = (
    isTTY: boolean,
  ): { readonly progress: Progress; readonly text: () => string } => {
    let written = '';
    const stream = { isTTY, columns: 60, write: (text: string) => (written += text) };
    return { progress: new Progress(outputOf(stream, '1'), clock), text: () => written };
  };

  it('is two plain lines for a step when nobody watches', async () => {
    const { progress, text } = startOn(false);
    progress.begin('Making tea');
    progress.update({ activity: 'boiling', done: 1, total: 4 });
    await sleep(150);
    progress.end('done');
    progress.begin('Drinking it');
    progress.fail();
    progress.fail();
    assert.equal(text(), 'Making tea ...\n  done\nDrinking it ...\n  failed\n');
  });

  it('is one line on a terminal, drawn again and again, with a bar, and never too long', async () => {
    const { progress, text } = startOn(true);
    progress.begin('Making tea');
    progress.update({ activity: 'boiling', done: 1, total: 4 });
    const drawings = (): string[] => text().split('\r\u001b[K').slice(1);
    const drawnTimes = (count: number): Promise<void> =>
      eventually(`drawn ${count} times`, () => Promise.resolve(drawings().length >= count));
    await drawnTimes(3);
    progress.update({ activity: 'x'.repeat(200) });
    await drawnTimes(drawings().length + 1);
    progress.end('done');
    const drawn = drawings();
    assert.ok(drawn.length >= 4, `${drawn.length} drawings`);
    assert.equal(drawn.at(-1), '✓ Making tea: done\n');
    assert.ok(drawn.some((line) => line.includes('boiling  ██████░░░░░░░░░░░░░░░░░░ 1 of 4')));
    assert.ok(drawn.every((line) => line.length < 60));
    const length = text().length;
    await sleep(150);
    assert.equal(text().length, length, 'nothing is drawn after the end');
  });
});
