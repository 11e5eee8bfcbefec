import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StoreError, isStoreError } from '../base/errors.ts';
import type { FileStatus } from '../platform/files.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { doorsFromEnvironment, parseHostAndPort, runtimeDirectoryOf } from './door-settings.ts';

describe('the doors of the environment', () => {
  it('have defaults that name no daemon', () => {
    const doors = doorsFromEnvironment({}, '/srv/me');
    assert.deepEqual(doors, {
      remotePrefix: undefined,
      tcpAddress: undefined,
      httpAddress: undefined,
      runtimeDirectory: undefined,
      tokenFile: undefined,
      nearCacheBytes: 0,
      wireCompression: 'auto',
      tlsCaFile: undefined,
      tlsCertFile: undefined,
      tlsKeyFile: undefined,
      tcpListeners: [],
      httpListeners: [],
      drainMs: 10_000,
    });
  });

  it('are read from their variables', () => {
    const doors = doorsFromEnvironment(
      {
        WMBT_KV_REMOTE_PREFIX: 'gpu-0',
        WMBT_KV_TCP_ADDR: '[::1]:7700',
        WMBT_KV_HTTP_ADDR: 'https://node-7:8080',
        WMBT_KV_TLS_CA_FILE: '~/ca.pem',
        WMBT_KV_TLS_CERT_FILE: '/etc/cert.pem',
        WMBT_KV_TLS_KEY_FILE: '/etc/key.pem',
        WMBT_KV_RUNTIME_DIR: '~/run/',
        WMBT_KV_TOKEN_FILE: '/etc/token',
        WMBT_KV_NEAR_CACHE_BYTES: '2G',
        WMBT_KV_WIRE_COMPRESSION: 'ON',
        WMBT_KV_TCP: '127.0.0.1:0, localhost:7701',
        WMBT_KV_HTTP: '[::1]:8080',
        WMBT_KV_DAEMON_SHUTDOWN_DRAIN_TIMEOUT_SECS: '3',
      },
      '/srv/me',
    );
    assert.deepEqual(doors, {
      remotePrefix: 'gpu-0',
      tcpAddress: '[::1]:7700',
      httpAddress: 'https://node-7:8080',
      runtimeDirectory: '/srv/me/run',
      tokenFile: '/etc/token',
      nearCacheBytes: 2 * 1024 ** 3,
      wireCompression: 'on',
      tlsCaFile: '/srv/me/ca.pem',
      tlsCertFile: '/etc/cert.pem',
      tlsKeyFile: '/etc/key.pem',
      tcpListeners: ['127.0.0.1:0', 'localhost:7701'],
      httpListeners: ['[::1]:8080'],
      drainMs: 3000,
    });
  });

  it('are refused by name when a value is wrong', () => {
    const wrong = {
      WMBT_KV_TCP_ADDR: 'host',
      WMBT_KV_HTTP_ADDR: 'tls://host:1',
      WMBT_KV_TLS_CA_FILE: 'relative',
      WMBT_KV_TLS_CERT_FILE: 'relative',
      WMBT_KV_TLS_KEY_FILE: 'relative',
      WMBT_KV_RUNTIME_DIR: 'relative',
      WMBT_KV_TOKEN_FILE: 'relative',
      WMBT_KV_NEAR_CACHE_BYTES: 'some',
      WMBT_KV_WIRE_COMPRESSION: 'zstd',
      WMBT_KV_TCP: 'a:1,b',
      WMBT_KV_HTTP: 'a:1,b',
      WMBT_KV_DAEMON_SHUTDOWN_DRAIN_TIMEOUT_SECS: 'soon',
    };
    for (const [name, text] of Object.entries(wrong)) {
      assert.throws(
        () => doorsFromEnvironment({ [name]: text }, '/srv/me'),
        (error: unknown) =>
          error instanceof StoreError && error.code === 'INVALID' && error.message.includes(name),
        name,
      );
    }
  });
});

describe('parseHostAndPort()', () => {
  it('reads names, addresses, and those in brackets', () => {
    assert.deepEqual(parseHostAndPort('node-7.local:80'), { host: 'node-7.local', port: 80 });
    assert.deepEqual(parseHostAndPort('[::1]:0'), { host: '::1', port: 0 });
  });

  it('refuses everything else', () => {
    for (const text of ['', 'host', ':1', 'host:', 'host:65536', 'a b:1', '::1:1', 'u@h:1']) {
      assert.throws(() => parseHostAndPort(text), RangeError, text);
    }
  });
});

const ownDirectory: FileStatus = {
  ...{ kind: 'directory', byteLength: 0, modifiedMs: 0, changedMs: 0, identity: '1:1' },
  ...{ permissions: 0o700, isOwn: true },
};

describe('the runtime directory', () => {
  const doors = doorsFromEnvironment({}, '/srv/me');

  it('is the one that is set, else the one of the session', async () => {
    const platform = { ...nodePlatform(), environment: { XDG_RUNTIME_DIR: '/run/user/7' } };
    assert.equal(await runtimeDirectoryOf(doors, platform), '/run/user/7/wombatkv');
    const set = { ...doors, runtimeDirectory: '/srv/run' };
    assert.equal(await runtimeDirectoryOf(set, platform), '/srv/run');
  });

  it('is below /run for the system and in the temporary directory for others', async () => {
    const { host, ...rest } = nodePlatform();
    const files = { ...rest.files, status: () => Promise.resolve(undefined) };
    const as = (userId: number): Promise<string> =>
      runtimeDirectoryOf(doors, {
        ...{ ...rest, files, environment: {} },
        host: { ...host, userId, temporaryDirectory: '/tmp' },
      });
    assert.equal(await as(0), '/run/wombatkv');
    assert.equal(await as(1000), '/tmp/wombatkv-1000');
  });

  it('is no directory of another user, whom clients would show their tokens', async () => {
    const { host, ...rest } = nodePlatform();
    const found = (userId: number, status: Partial<FileStatus>): Promise<string> => {
      const there = { ...ownDirectory, ...status };
      const statusOf = (path: string): Promise<FileStatus | undefined> =>
        Promise.resolve(path.startsWith('/tmp/') ? there : undefined);
      return runtimeDirectoryOf(doors, {
        ...{ ...rest, files: { ...rest.files, status: statusOf }, environment: {} },
        host: { ...host, userId, temporaryDirectory: '/tmp' },
      });
    };
    assert.equal(await found(1000, {}), '/tmp/wombatkv-1000');
    const others = [{ isOwn: false }, { permissions: 0o770 }, { kind: 'file' as const }];
    for (const status of others) {
      await assert.rejects(found(1000, status), (error) => {
        assert.ok(isStoreError(error, 'INVALID'));
        assert.match(
          error.message,
          /^\/tmp\/wombatkv-1000 is not a directory of this user's alone/,
        );
        return true;
      });
    }
  });
});
