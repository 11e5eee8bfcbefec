import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import { buildAbiTest, reportTests, runProgram, withoutTestCompiler } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';

/**
 * Goal: an engine whose store cannot upload is told `busy` when its backlog is full, in every mode, and not before.
 * Method: capi/test/library against real stores with a bucket that takes requests and never answers. The limit
 * follows from the bytes of the disk tier.
 */
const modes = ['shm', 'unix', 'tcp', 'http', 'embedded'] as const;
const timeout = 120_000;

describe('a backlog that is full', { skip: withoutTestCompiler() }, () => {
  const sockets = new Set<Socket>();
  const bucket = createServer((socket) => sockets.add(socket.on('error', () => undefined)));
  before(async () => {
    await once(bucket.listen(0, '127.0.0.1'), 'listening');
  });
  after(() => {
    bucket.close();
    for (const socket of sockets) socket.destroy();
  });

  for (const mode of modes) {
    const skip = mode === 'shm' && withoutNative();
    it(`is said over ${mode}`, { skip, timeout }, async (context) => {
      const { port } = bucket.address() as AddressInfo;
      const variables = {
        ...{ WMBT_KV_OBJECT_STORE: 's3://kv', WMBT_KV_S3_ENDPOINT: `http://127.0.0.1:${port}` },
        ...{ WMBT_KV_S3_ACCESS_KEY: 'key', WMBT_KV_S3_SECRET_KEY: 'secret' },
        WMBT_KV_PUFFER_DISK_BYTES: '96MiB',
        // It has nothing to wait for.
        WMBT_KV_DAEMON_SHUTDOWN_DRAIN_TIMEOUT_SECS: '0',
      };
      const home = await startDaemonHome({ sharesMemory: mode === 'shm', variables });
      try {
        const environment = home[mode === 'shm' ? 'unix' : mode];
        const end = await runProgram(await buildAbiTest(), ['backlog'], { environment });
        await reportTests(context, end);
      } finally {
        await home.close();
      }
      assert.ok(sockets.size > 0, 'the bucket was asked');
    });
  }
});
