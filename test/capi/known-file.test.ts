import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildKnownFileTest, runProgram, withoutTestCompiler } from './c-program.ts';

// Goal: whoever looks into the file of known keys finds nothing that is not there, whatever the store does meanwhile, wherever
// it died, and whatever the file says. Method: the code of both by itself; a thread that adds, removes and lets shards grow as
// the store does, and others that look; entries of which two halves would make a key; headers and entries made at random, in
// memory that is not a byte longer.
describe('the file of known keys in C', { skip: withoutTestCompiler() }, () => {
  it('shows what is there, while it changes and whatever is in it', async (context) => {
    const program = await buildKnownFileTest();
    const { status, lines, notes } = await runProgram(program, [], { environment: {} });
    assert.equal(status, 0, [...lines, notes].join('\n'));
    context.diagnostic(lines[0]);
    assert.match(lines[0], /^found [1-9]\d*, asked \d+$/);
  });
});
