import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { projectRoot } from '../../tools/project.ts';
import { startMeteredDaemon } from '../support/metered-daemon.ts';
import type { MeteredDaemon } from '../support/metered-daemon.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';

let daemon: MeteredDaemon;
let directory: TemporaryDirectory;
let text = '';

before(async () => {
  directory = await makeTemporaryDirectory('prometheus');
  daemon = await startMeteredDaemon();
  text = await daemon.metrics();
});
after(async () => {
  await daemon.close();
  await directory.remove();
});

/** Runs a program on the input; gives what it wrote. */
async function feed(
  program: string,
  words: readonly string[],
  input: string,
): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => (output += part));
  }
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

describe('/metrics', () => {
  it('is read by promtool, which finds no fault', async () => {
    const { code, output } = await feed('promtool', ['check', 'metrics'], text);
    assert.equal(code, 0, output);
  });

  it('is read by the Prometheus client for Python, histograms too', async () => {
    const script = [
      'import json, sys',
      'from prometheus_client.parser import text_string_to_metric_families as read',
      'families = list(read(sys.stdin.read()))',
      'print(json.dumps({f.name: [f.type, len(f.samples)] for f in families}))',
    ].join('\n');
    const { code, output } = await feed('python3', ['-c', script], text);
    assert.equal(code, 0, output);
    const families = JSON.parse(output) as Readonly<Record<string, readonly [string, number]>>;
    assert.deepEqual(families['wombatkv_pins'], ['gauge', 1]);
    assert.equal(families['wombatkv_hits']?.[0], 'counter');
    assert.equal(families['wombatkv_call_seconds']?.[0], 'histogram');
    assert.ok((families['wombatkv_call_seconds']?.[1] ?? 0) >= 20);
    assert.ok(Object.keys(families).length > 40, output);
  });
});

describe('the samples for Prometheus', () => {
  it('are accepted by promtool', async () => {
    const root = join(projectRoot(), 'deploy', 'prometheus');
    const at = `${directory.path}/prometheus`;
    mkdirSync(at);
    writeFileSync(`${at}/token`, 'token');
    const configuration = readFileSync(join(root, 'prometheus.yml'), 'utf8');
    // The file of the token is there in a container only.
    const local = configuration.replace('/run/secrets/tokens', `${at}/token`);
    writeFileSync(`${at}/prometheus.yml`, local);
    writeFileSync(`${at}/alerts.yml`, readFileSync(join(root, 'alerts.yml')));
    const config = await feed('promtool', ['check', 'config', `${at}/prometheus.yml`], '');
    assert.equal(config.code, 0, config.output);
    const rules = await feed('promtool', ['check', 'rules', `${at}/alerts.yml`], '');
    assert.equal(rules.code, 0, rules.output);
    assert.match(rules.output, /[5-9] rules found/);
  });
});
