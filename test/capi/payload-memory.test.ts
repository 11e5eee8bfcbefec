import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildPayloadMemoryTest, runProgram, withoutTestCompiler } from './c-program.ts';

// Goal: memory of payloads is used again, within its bounds and by nobody while it is borrowed, and what a program reads of it
// that it has released is found as it is of other memory. Method: the code by itself; each payload written and compared.
describe('memory for payloads in C', { skip: withoutTestCompiler() }, () => {
  it('is used again, and is nobody else’s while it is borrowed', async () => {
    const { status, lines, notes } = await runProgram(await buildPayloadMemoryTest(), [], {
      environment: {},
    });
    assert.equal(status, 0, [...lines, notes].join('\n'));
    assert.deepEqual(lines, ['ok']);
  });

  const isWatched = process.env['WOMBATKV_TEST_C_FLAVOUR'] === 'address';
  const skip = isWatched ? false : 'left to another lane: npm run capi';
  for (const wrong of ['released', 'behind']) {
    it(`is watched: what is read ${wrong} is found`, { skip }, async () => {
      const program = await buildPayloadMemoryTest();
      const { status, notes } = await runProgram(program, [wrong], { environment: {} });
      assert.notEqual(status, 0);
      assert.match(notes, /use-after-poison/);
    });
  }
});
