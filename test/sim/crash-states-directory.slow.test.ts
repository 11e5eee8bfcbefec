import { it } from 'node:test';
import { crashStateRun } from './crash-state-run.ts';

it('crash states hold after every step of 12 histories whose bucket is a directory on the same disk', (context) =>
  crashStateRun({ bucket: 'directory', histories: 12, statesMin: 5000 }, (line) =>
    context.diagnostic(line),
  ));
