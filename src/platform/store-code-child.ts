/**
 * Runs the store program, for a parent as the C library is, and keeps its compiled code when the parent says
 * so: store-program.ts.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { constants, Script } from 'node:vm';

const [, , program = '', target = ''] = process.argv;
// The program would take what follows for the address of a daemon.
process.argv.length = 2;

const source = readFileSync(program, 'latin1');
const script = new Script(source, {
  filename: program,
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
});
process.once('message', () => {
  const code = script.createCachedData();
  if (new Script(source, { cachedData: code }).cachedDataRejected !== false) {
    throw new Error('Node does not take the code that it has just compiled');
  }
  writeFileSync(target, code);
  process.disconnect();
});
const home = `${pathToFileURL(dirname(program)).href}/`;
script.runInThisContext()(createRequire(program), home);
