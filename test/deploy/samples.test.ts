import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { configFromEnvironment } from '../../src/config/environment.ts';
import { doorsFromEnvironment } from '../../src/config/door-settings.ts';
import { findSetting } from '../../src/config/settings.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { projectRoot } from '../../tools/project.ts';
import { startMeteredDaemon } from '../support/metered-daemon.ts';
import type { MeteredDaemon } from '../support/metered-daemon.ts';
import { parsePrometheus } from '../support/prometheus.ts';
import type { PrometheusFamily } from '../support/prometheus.ts';

let daemon: MeteredDaemon;
let families: readonly PrometheusFamily[] = [];
/** Names of samples, as expressions name them. */
const exported = new Set<string>();

before(async () => {
  daemon = await startMeteredDaemon();
  families = parsePrometheus(await daemon.metrics());
  for (const { name, type } of families) {
    exported.add(name);
    if (type === 'HISTOGRAM') {
      for (const end of ['bucket', 'sum', 'count']) exported.add(`${name}_${end}`);
    }
  }
});
after(() => daemon.close());

function read(path: string): string {
  return readFileSync(join(projectRoot(), path), 'utf8');
}

function valueOf(name: string, labels: Readonly<Record<string, string>> = {}): number {
  const family = families.find((one) => one.name === name);
  const found = family?.metrics.find(({ labels: own = {} }) =>
    Object.entries(labels).every(([label, value]) => own[label] === value),
  );
  assert.ok(found !== undefined, `${name} ${JSON.stringify(labels)}`);
  return Number(found.value);
}

describe('the metrics of a daemon', () => {
  it('tell calls, hits, pins, queues, connections, requests and certificate', () => {
    assert.equal(valueOf('wombatkv_calls_total', { verb: 'load', outcome: 'ok' }), 1);
    assert.equal(valueOf('wombatkv_calls_total', { verb: 'save', outcome: 'ok' }), 1);
    assert.equal(valueOf('wombatkv_saved_total'), 3);
    assert.equal(valueOf('wombatkv_pending'), 3);
    assert.ok(valueOf('wombatkv_object_billed_requests_total', { class: 'write' }) >= 0);
    assert.ok(valueOf('wombatkv_object_price_dollars_total', { class: 'read' }) >= 0);
    assert.equal(valueOf('wombatkv_daemon_connections_broken_total'), 0);
    assert.equal(valueOf('wombatkv_daemon_calls_waiting'), 0);
    assert.ok(exported.has('wombatkv_object_request_seconds_bucket'));
    assert.ok(valueOf('wombatkv_daemon_calls_total') >= 3);
    assert.equal(valueOf('wombatkv_pinned_bytes'), 0);
    assert.equal(valueOf('wombatkv_misses_total', { reason: 'unknown' }) >= 0, true);
    const inDays =
      (valueOf('wombatkv_tls_certificate_expires_seconds') - Date.now() / 1000) / 86_400;
    assert.ok(inDays > 1 && inDays < 3, `${inDays} days`);
  });

  it('have one family of each name, with help and a type', () => {
    const names = families.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const { name, type } of families) {
      assert.notEqual(type, 'UNTYPED', name);
      assert.match(name, /^(?:wombatkv|process)_/);
      assert.equal(name.endsWith('_total'), type === 'COUNTER', name);
    }
  });
});

/** Words that look like a metric of ours. */
function metricsIn(text: string): readonly string[] {
  return [...new Set(text.match(/\b(?:wombatkv|process)_[a-z_]+[a-z]\b/g))];
}

describe('the samples of deploy/', () => {
  it('name only metrics that a daemon exports', (context) => {
    let count = 0;
    const files = [
      'deploy/prometheus/alerts.yml',
      'deploy/grafana/wombatkv.json',
      'docs/OPERATING.md',
    ];
    for (const file of files) {
      const names = metricsIn(read(file));
      assert.ok(names.length > 5, file);
      for (const name of names) assert.ok(exported.has(name), `${file} names ${name}`);
      count += names.length;
    }
    context.diagnostic(`${count} names of metrics are those of a daemon`);
  });

  it('have a dashboard whose every panel asks something', () => {
    const dashboard = JSON.parse(read('deploy/grafana/wombatkv.json')) as {
      readonly panels: readonly {
        readonly title: string;
        readonly targets: readonly { readonly expr: string }[];
      }[];
    };
    assert.ok(dashboard.panels.length > 8);
    for (const { title, targets } of dashboard.panels) {
      assert.ok(targets.length > 0, title);
      for (const { expr } of targets) assert.ok(metricsIn(expr).length > 0, `${title}: ${expr}`);
    }
  });

  it('have a unit whose shared memory outlives it: what was accepted there is for the next daemon', () => {
    const unit = read('deploy/systemd/wombatkv-daemon.service');
    assert.match(unit, /^RemoveIPC=no$/m);
    assert.doesNotMatch(unit, /^(?:PrivateIPC|TemporaryFileSystem)=/m);
  });

  it('set only what is a setting, to what is accepted', () => {
    const lines = read('deploy/systemd/daemon.conf').split('\n');
    const settings = lines
      .map((line) => /^#?([A-Z][A-Z0-9_]*)=(.*)$/.exec(line))
      .filter((match) => match !== null)
      .map(([, name, value]) => [name, value] as const);
    assert.ok(settings.length > 8);
    for (const [name] of settings) assert.ok(findSetting(name) !== undefined, name);
    const { host } = nodePlatform();
    for (const [name, value] of settings) {
      // An endpoint alone would name a server and no bucket.
      const environment = { WMBT_KV_OBJECT_STORE: 's3://bucket', [name]: value };
      configFromEnvironment(environment, host, { mode: 'strict' });
      doorsFromEnvironment(environment, host.homeDirectory);
    }
    const files = ['deploy/Dockerfile', 'deploy/compose.yaml'];
    const service = 'deploy/systemd/wombatkv-daemon.service';
    for (const file of [...files, service]) {
      const names = read(file).match(/\bWMBT_KV_[A-Z0-9_]+\b/g) ?? [];
      assert.ok(names.length > 0, file);
      for (const name of names) assert.ok(findSetting(name) !== undefined, `${file}: ${name}`);
    }
  });
});
