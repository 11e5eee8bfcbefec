import { it } from 'node:test';
import { daemonKillRun } from './daemon-kill-run.ts';

it('a daemon is killed 40 times under load: nothing accepted is lost, no byte is wrong', (context) =>
  daemonKillRun(40, (line) => context.diagnostic(line)));
