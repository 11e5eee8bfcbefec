import { it } from 'node:test';
import { crashStateRun } from './crash-state-run.ts';

it('crash states hold after every step of 50 histories', (context) =>
  crashStateRun({ bucket: 'cloud', histories: 50, statesMin: 10000 }, (line) =>
    context.diagnostic(line),
  ));
