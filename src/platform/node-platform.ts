import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, homedir, hostname, tmpdir } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock, ScheduledCall } from './clock.ts';
import { nodeCloudCredentials } from './node-cloud-credentials.ts';
import { nodeEndpoints } from './node-endpoints.ts';
import { nodeFiles } from './node-files.ts';
import { nodeHttp } from './node-http.ts';
import { processMemory } from './payload-memory.ts';
import type { Host, Platform } from './platform.ts';
import type { Random } from './random.ts';

/** The platform of a Node process: real time, files and sockets. */
export function nodePlatform(): Platform {
  return {
    clock: nodeClock,
    random: nodeRandom,
    memory: processMemory,
    files: nodeFiles,
    endpoints: nodeEndpoints,
    http: nodeHttp,
    cloudCredentials: nodeCloudCredentials,
    host: readHost(),
    environment: { ...process.env },
  };
}

const nodeClock: Clock = {
  wallMs: () => Date.now(),
  nowMs: () => performance.now(),
  sleep: (ms, signal, kind) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(asError(signal.reason));
        return;
      }
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(asError(signal?.reason));
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      if (kind === 'idle') timer.unref();
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
  schedule: (ms, callback, kind): ScheduledCall => {
    const timer = setTimeout(callback, ms);
    if (kind !== 'awaited') timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  yield: () => nextTurn(),
};

const nodeRandom: Random = {
  fraction: () => Math.random(),
  hex: (count) => randomBytes(count).toString('hex'),
};

function readHost(): Host {
  const bootIdFile = '/proc/sys/kernel/random/boot_id';
  return {
    processId: process.pid,
    bootId: existsSync(bootIdFile) ? readFileSync(bootIdFile, 'utf8').trim() : '',
    hostName: hostname(),
    userId: process.getuid?.(),
    homeDirectory: homedir(),
    temporaryDirectory: tmpdir(),
    memoryDirectory: existsSync('/dev/shm') ? '/dev/shm' : undefined,
    processors: availableParallelism(),
  };
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
