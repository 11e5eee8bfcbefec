import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { configFromEnvironment } from '../../src/config/environment.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { buildAbiTest, reportTests, runProgram, withoutTestCompiler } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';
import type { DaemonHome } from './daemon-home.ts';

/**
 * Goal: an engine in C hears of each variable that is set in vain, once, whatever the way to its store.
 * Method: capi/test/library opens handles with such variables; what it writes to standard error is held against what the
 * store itself says of them.
 */
const variables = {
  WMBT_KV_NAMESPCE: 'tenant',
  WMBT_KV_S3_SECRETKEY: 'secret',
  WMBT_KV_PREFETCH_TOP_K: '3',
  WMBT_KV_BLOCK_TOKENS: '128',
  DS4_WOMBATKV_ENABLE: '1',
  // Nothing is set by these.
  WMBT_KV_NAMESPAC: '',
  WMBT_KX_NAMESPACE: 'x',
};

describe('variables that are set in vain', { skip: withoutTestCompiler() }, () => {
  let home: DaemonHome;
  before(async () => {
    home = await startDaemonHome();
  });
  after(() => home.close());

  for (const way of ['unix', 'tcp', 'http'] as const) {
    it(`are named once to an engine over ${way}`, async (context) => {
      const environment = { ...home[way], ...variables };
      const end = await runProgram(await buildAbiTest(), ['odd-settings'], { environment });
      await reportTests(context, end);
      const expected: string[] = [];
      configFromEnvironment(environment, nodePlatform().host, {
        report: (line) => expected.push(line),
      });
      expected.push(
        'WombatKV: unknown setting WMBT_KV_LOKUP_DEADLINE_MS (the nearest known name is WMBT_KV_LOOKUP_DEADLINE_MS)',
      );
      const said = end.notes.trim().split('\n');
      assert.deepEqual(said.map(namesInOrder).sort(), expected.map(namesInOrder).sort());
      assert.equal(said.length, 4);
    });
  }

  it('are named in a few lines when they are many, with what a terminal would obey in quotes', async () => {
    const many = Array.from({ length: 20 }, (_, index) => [`WMBT_KV_UNKNOWN_${index}`, '1']);
    const environment = {
      ...home.tcp,
      ...(Object.fromEntries(many) as Readonly<Record<string, string>>),
      'WMBT_KV_\u001b[31m': '1',
      [`WMBT_KV_${'LONG_'.repeat(40)}`]: '1',
    };
    const { notes } = await runProgram(await buildAbiTest(), ['odd-settings'], { environment });
    const lines = notes.trim().split('\n');
    assert.equal(lines.filter((line) => line.includes('unknown setting ')).length, 17);
    assert.ok(lines.includes('WombatKV: 6 more unknown settings'), notes);
    assert.doesNotMatch(notes, /\u001b/);
  });
});

/** The names of the line that has many follow the environment in C, and the table of settings in TypeScript. */
function namesInOrder(line: string): string {
  const [head, names] = line.split(/(?<=: )(?=.*, )/);
  return names === undefined ? line : `${head}${names.split(', ').sort().join(', ')}`;
}
