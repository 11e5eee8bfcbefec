import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isStoreError } from '../base/errors.ts';
import type { StoreError } from '../base/errors.ts';
import type { Host } from '../platform/platform.ts';
import { configFromEnvironment } from './environment.ts';
import type { Environment, EnvironmentOptions } from './environment.ts';
import { effectiveSettings, settings } from './settings.ts';
import { resolveStoreConfig } from './store-config.ts';
import type { ResolvedStoreConfig } from './store-config.ts';

const mib = 1024 ** 2;

const host: Host = {
  processId: 1,
  bootId: '',
  hostName: 'somewhere',
  homeDirectory: '/home/somebody',
  temporaryDirectory: '/tmp',
  memoryDirectory: undefined,
  processors: 1,
};

describe('configFromEnvironment()', () => {
  it('gives the defaults for an empty environment, and is silent', () => {
    const { config, lines } = read({ PATH: '/bin', HOME: '/elsewhere', AWS_PROFILE: 'x' });
    assert.deepEqual(config, resolveStoreConfig({}, host));
    assert.deepEqual(lines, []);
  });

  it('takes empty values as unset, also those of unknown names', () => {
    const names = [...settings.map((setting) => setting.name), 'WMBT_KV_NO_SUCH_THING'];
    const environment = Object.fromEntries(names.map((name) => [name, '']));
    const { config, lines } = read(environment, { mode: 'strict' });
    assert.deepEqual(config, resolveStoreConfig({}, host));
    assert.deepEqual(lines, []);
  });

  it('lets overrides win over the environment, and the environment over the defaults', () => {
    const environment = { WMBT_KV_NAMESPACE: 'a', WMBT_KV_PUFFER_RAM_BYTES: '64M' };
    const { config } = read(environment, { overrides: { namespace: 'b', diskBytes: undefined } });
    assert.equal(config.namespace, 'b');
    assert.equal(config.memoryBytes, 64 * mib);
    assert.equal(config.diskBytes, 8 * 1024 * mib);
  });

  it('gives an overriding object store its own default limit', () => {
    assert.equal(
      read({}, { overrides: { objectStore: 'memory:' } }).config.objectStoreBytesMax,
      false,
    );
  });

  it('leaves a bad override to its caller as the error of the field', () => {
    assert.throws(() => read({}, { overrides: { memoryBytes: 1 } }), RangeError);
  });
});

describe('every setting that has effect', () => {
  type Sample = { readonly good: readonly (readonly [string, unknown])[]; readonly bad: string[] };
  const samples: Readonly<Record<string, Sample>> = {
    WMBT_KV_NAMESPACE: { good: [['team/ä', 'team/ä']], bad: ['n'.repeat(81), '\udc00'] },
    WMBT_KV_OBJECT_STORE: {
      good: [
        ['file:///srv/a%20b', 'file:///srv/a%20b'],
        ['memory:', 'memory:'],
        ['s3://bucket/p', 's3://bucket/p'],
      ],
      bad: ['/srv/kv', 's3:bucket/p', 'file://host/x', 'nothing'],
    },
    WMBT_KV_OBJECT_STORE_MAX_BYTES: {
      good: [
        ['1 GiB', 1024 * mib],
        ['off', false],
        ['None', false],
        ['0', false],
      ],
      bad: ['-1', 'unlimited', '12', '1.5G'],
    },
    WMBT_KV_S3_PREFIX: {
      good: [
        ['/kv/mine/', 'kv/mine'],
        ['/', ''],
      ],
      bad: ['..', 'a//b', 'x'.repeat(600)],
    },
    WMBT_KV_PUFFER_DIR: {
      good: [
        ['/var/cache/x/', '/var/cache/x'],
        ['~/c', '/home/somebody/c'],
      ],
      bad: ['cache', './cache', '~root/x'],
    },
    WMBT_KV_PUFFER_RAM_BYTES: { good: [['512MiB', 512 * mib]], bad: ['0', '1', 'much', '1GB'] },
    WMBT_KV_PUFFER_DISK_BYTES: {
      good: [['1073741824', 1024 * mib]],
      bad: ['8', '-0', 'off', '99999999999999999999'],
    },
    WMBT_KV_BLOCK_COMPRESS: {
      good: [
        ['zstd', 'zstd'],
        ['OFF', 'off'],
        ['none', 'off'],
        ['0', 'off'],
        ['lz4', 'zstd'],
      ],
      bad: ['gzip', '1', 'toString'],
    },
    WMBT_KV_BLOCK_COMPRESS_LEVEL: { good: [['22', 22]], bad: ['0', '23', '-5', 'best'] },
    WMBT_KV_READ_V1: {
      good: [
        ['ON', 'on'],
        ['auto', 'auto'],
        ['off', 'off'],
      ],
      bad: ['yes', '1'],
    },
    WMBT_KV_WRITE_FORMAT: {
      good: [
        ['v1', 'v1'],
        ['V2', 'v2'],
      ],
      bad: ['1', 'v3'],
    },
    WMBT_KV_NATIVE: {
      good: [
        ['auto', 'auto'],
        ['OFF', 'off'],
        ['0', 'off'],
      ],
      bad: ['on', '1'],
    },
    WMBT_KV_PUT_DURABLE: {
      good: [
        ['Yes', true],
        ['off', false],
      ],
      bad: ['2', 'maybe'],
    },
    WMBT_KV_LOOKUP_DEADLINE_MS: { good: [['100', 100]], bad: ['0', '1s', '2147483648'] },
    WMBT_KV_LOAD_DEADLINE_MS: { good: [['5000', 5000]], bad: ['0', '-1', 'forever'] },
    WMBT_KV_REMOTE_CALL_TIMEOUT_MS: { good: [['1', 1]], bad: ['0', '1.5'] },
    WMBT_KV_BUCKET: { good: [['kv-cache', 'kv-cache']], bad: ['a/b', 'a b', 's3://a'] },
    WMBT_KV_S3_ENDPOINT: {
      good: [['http://Host:9000/', 'http://host:9000']],
      bad: ['host:9000', 'ftp://host', 'http://host/bucket', 'http://me:hunter2@host'],
    },
    WMBT_KV_S3_ACCESS_KEY: { good: [['AKIA', 'AKIA']], bad: [] },
    WMBT_KV_S3_SECRET_KEY: { good: [['a b/+=', 'a b/+=']], bad: [] },
    WMBT_KV_S3_REGION: { good: [['eu-west-1', 'eu-west-1']], bad: ['eu west', 'x/y'] },
    WMBT_KV_S3_CA_FILE: { good: [['~/ca.pem', '/home/somebody/ca.pem']], bad: ['ca.pem'] },
    WMBT_KV_S3_FORCE_PATH_STYLE: {
      good: [
        ['TRUE', 'on'],
        ['0', 'off'],
        ['auto', 'auto'],
      ],
      bad: ['2', 'maybe'],
    },
    WMBT_KV_S3_READ_BYTES_PER_SEC: {
      good: [
        ['10 MiB', 10 * mib],
        ['1048576', mib],
        ['off', false],
        ['0', false],
      ],
      bad: ['1048575', '1 KiB', '-1', 'fast'],
    },
    WMBT_KV_S3_WRITE_BYTES_PER_SEC: { good: [['2M', 2 * mib]], bad: ['1', '10Mbit'] },
    WMBT_KV_LOCAL_DEV: { good: [['1', true]], bad: ['2', 'here'] },
  };

  for (const setting of effectiveSettings) {
    const { good, bad } = samples[setting.name] ?? { good: [], bad: [] };
    it(`${setting.name} is read, and a bad value is refused by name`, () => {
      // Nothing is wrong with any key.
      assert(good.length > 0 && (bad.length > 0 || setting.isSecret === true), 'has samples');
      // A server alone is refused, for nothing says which bucket.
      const beside: Environment =
        setting.field === 's3Endpoint' ? { WMBT_KV_BUCKET: 'bucket' } : {};
      for (const [text, value] of good) {
        const { config } = read({ ...beside, [setting.name]: text }, { mode: 'strict' });
        assert.deepEqual(config[setting.field], value, text);
      }
      for (const text of bad) {
        const error = refusalOf({ [setting.name]: text });
        assert(error.message.startsWith(setting.name), error.message);
        assert.match(error.message, /; accepted: /);
      }
    });

    it(`${setting.name} has the default that the table tells`, () => {
      const withDefault = read({ [setting.name]: setting.default }).config;
      assert.deepEqual(withDefault, resolveStoreConfig({}, host));
    });
  }

  it('0 for the disk budget is no disk tier', () => {
    assert.equal(read({ WMBT_KV_PUFFER_DISK_BYTES: '0' }).config.cacheDirectory, false);
  });

  it('refuses directories inside one another in the names of both variables', () => {
    const environment = {
      WMBT_KV_OBJECT_STORE: 'file:///kv/cache/objects',
      WMBT_KV_PUFFER_DIR: '/kv/cache',
    };
    assert.match(refusalOf(environment).message, /WMBT_KV_OBJECT_STORE.*WMBT_KV_PUFFER_DIR/);
  });

  it('reads lz4 as zstd and says so', () => {
    const { lines } = read({ WMBT_KV_BLOCK_COMPRESS: 'LZ4' });
    assert.deepEqual(lines, ['WombatKV: WMBT_KV_BLOCK_COMPRESS=lz4 is read as zstd']);
  });
});

describe('a request for another place', () => {
  it('of a server without a bucket is refused in the names of both', () => {
    const error = refusalOf({ WMBT_KV_S3_ENDPOINT: 'http://host:9000' });
    assert.match(error.message, /WMBT_KV_S3_ENDPOINT.*WMBT_KV_BUCKET/);
  });
});

describe('the variables of a bucket', () => {
  const environment = {
    WMBT_KV_BUCKET: 'kv',
    WMBT_KV_S3_ENDPOINT: 'http://host:9000',
    WMBT_KV_S3_SECRET_KEY: 'hunter2',
  };

  it('make it the object store', () => {
    const { config, lines } = read(environment, { mode: 'strict' });
    assert.equal(config.objectStore, 's3://kv?endpoint=http://host:9000');
    assert.deepEqual(lines, []);
  });

  it('are only named, without their values, beside another object store', () => {
    const idle =
      'WombatKV: set, but without effect in this version: ' +
      'WMBT_KV_BUCKET, WMBT_KV_S3_ENDPOINT, WMBT_KV_S3_SECRET_KEY';
    assert.deepEqual(read({ ...environment, WMBT_KV_OBJECT_STORE: 'memory:' }).lines, [idle]);
    assert.deepEqual(read(environment, { overrides: { objectStore: 'memory:' } }).lines, [idle]);
  });
});

describe('names', () => {
  it('every known name without effect is accepted and named in one line, without its value', () => {
    const idle = settings.filter((setting) => setting.effect === 'accepted');
    const environment = Object.fromEntries(idle.map((setting) => [setting.name, 'hunter2']));
    const { config, lines } = read(environment, { mode: 'strict' });
    assert.deepEqual(config, resolveStoreConfig({}, host));
    assert.equal(lines.length, 1);
    for (const setting of idle) assert(lines[0]?.includes(setting.name), setting.name);
    assert(!lines[0]?.includes('hunter2'));
    assert.match(lines[0] ?? '', /WMBT_KV_BLOCK_TOKENS \(the engine reads it\)/);
  });

  it('what the C library alone reads is taken without a word', () => {
    const environment = { WMBT_KV_NODE: 'node20', WMBT_KV_STORE: '/opt/store.cjs' };
    assert.deepEqual(read(environment, { mode: 'strict' }).lines, []);
  });

  it('an unknown name is a line with the nearest known one in the library', () => {
    const { lines } = read({ WMBT_KV_NAMESPCE: 'x', WMBT_KV_S3_SECRETKEY: 'hunter2' });
    assert.deepEqual(lines, [
      'WombatKV: unknown setting WMBT_KV_NAMESPCE (the nearest known name is WMBT_KV_NAMESPACE)',
      'WombatKV: unknown setting WMBT_KV_S3_SECRETKEY (the nearest known name is WMBT_KV_S3_SECRET_KEY)',
    ]);
  });

  it('an unknown name is an error in strict mode', () => {
    const error = refusalOf({ WMBT_KV_PUFER_DIR: '/hunter2' }, { mode: 'strict' });
    assert.match(error.message, /WMBT_KV_PUFER_DIR .*WMBT_KV_PUFFER_DIR/);
    assert(!error.message.includes('hunter2'));
  });

  it('names of others are no concern', () => {
    const environment = { WMBT_OTHER: '1', wmbt_kv_namespace: 'x', WOMBATKV_DEBUG: '1' };
    assert.deepEqual(read(environment, { mode: 'strict' }).lines, []);
  });

  it('many and monstrous unknown names stay few and short lines', () => {
    const names = Array.from({ length: 100 }, (_, i) => `WMBT_KV_X${i}`);
    names.push(`WMBT_KV_\n${'A'.repeat(100_000)}`);
    const environment = Object.fromEntries(names.map((name) => [name, '1']));
    const { lines } = read(environment);
    assert.equal(lines.length, 17);
    assert.equal(lines.at(-1), 'WombatKV: 85 more unknown settings');
    for (const line of lines) {
      assert(line.length < 300);
      assert.doesNotMatch(line, /\n/);
    }
    assert.match(refusalOf(environment, { mode: 'strict' }).message, /; and 85 more$/);
  });
});

interface Read {
  readonly config: ResolvedStoreConfig;
  readonly lines: readonly string[];
}

function read(environment: Environment, options: EnvironmentOptions = {}): Read {
  const lines: string[] = [];
  const report = (line: string): void => void lines.push(line);
  return { config: configFromEnvironment(environment, host, { report, ...options }), lines };
}

/** The error, which must be the one of our class for a bad setting. */
function refusalOf(environment: Environment, options: EnvironmentOptions = {}): StoreError {
  try {
    read(environment, options);
  } catch (error) {
    assert(isStoreError(error, 'INVALID'), String(error));
    return error;
  }
  return assert.fail(`not refused: ${JSON.stringify(environment)}`);
}
