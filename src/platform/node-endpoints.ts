import { constants } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { basename, dirname } from 'node:path';
import { StoreError, systemErrorCode } from '../base/errors.ts';
import type { Endpoints, Listener } from './endpoints.ts';

/** Longest path of a socket that every supported system takes (108 with its end mark on Linux). */
const socketPathBytesMax = 100;

/** Unix sockets of the machine. */
export const nodeEndpoints: Endpoints = {
  listen: (path) => withShortPath(path, (shortPath) => listenAt(shortPath, path)),
  async isListening(path, timeoutMs) {
    try {
      return await withShortPath(path, (shortPath) => canConnect(shortPath, timeoutMs));
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return false;
      throw error;
    }
  },
};

/**
 * Calls `use` with a name of the socket that is short enough for the system. A long one is reached
 * through its open directory under /proc, which Linux resolves when it binds or connects.
 */
async function withShortPath<Result>(
  path: string,
  use: (shortPath: string) => Promise<Result>,
): Promise<Result> {
  if (Buffer.byteLength(path) <= socketPathBytesMax) return use(path);
  const directory = await open(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return await use(`/proc/self/fd/${directory.fd}/${basename(path)}`);
  } finally {
    await directory.close();
  }
}

function listenAt(shortPath: string, path: string): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen({ path: shortPath }, () => {
      server.removeListener('error', reject);
      server.unref();
      resolve({
        async close() {
          await new Promise<void>((closed) => server.close(() => closed()));
          await unlink(path).catch((error: unknown) => {
            if (systemErrorCode(error) !== 'ENOENT') throw error;
          });
        },
      });
    });
  });
}

function canConnect(shortPath: string, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: shortPath });
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new StoreError('ABORTED', `no answer from ${shortPath} within ${timeoutMs} ms`));
    }, timeoutMs);
    const settle = (isListening: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(isListening);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', (error) => {
      const code = systemErrorCode(error);
      if (code === 'ENOENT' || code === 'ECONNREFUSED') {
        settle(false);
        return;
      }
      // A full backlog (EAGAIN) still means that somebody listens.
      if (code === 'EAGAIN') {
        settle(true);
        return;
      }
      clearTimeout(timer);
      reject(error);
    });
  });
}
