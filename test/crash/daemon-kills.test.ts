import { it } from 'node:test';
import { daemonKillRun } from './daemon-kill-run.ts';

it('a daemon is killed 4 times under load: nothing accepted is lost, no byte is wrong', (context) =>
  daemonKillRun(4, (line) => context.diagnostic(line)));
