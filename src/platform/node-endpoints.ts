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
  async listen(path) {
    const name = await shortNameOf(path);
    try {
      return await listenAt(name, path);
    } catch (error) {
      await name.release();
      throw error;
    }
  },
  async isListening(path, timeoutMs) {
    try {
      const name = await shortNameOf(path);
      try {
        return await canConnect(name.text, timeoutMs);
      } finally {
        await name.release();
      }
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return false;
      throw error;
    }
  },
};

/** A name of a socket that is short enough for the system, valid until it is released. */
export interface ShortName {
  readonly text: string;
  release(): Promise<void>;
}

/**
 * A long path is reached through its open directory under /proc, which Linux resolves when it binds,
 * connects or unlinks. The directory stays open as long as the name is in use: its number would
 * soon stand for another directory.
 */
export async function shortNameOf(path: string): Promise<ShortName> {
  if (Buffer.byteLength(path) <= socketPathBytesMax) {
    return { text: path, release: () => Promise.resolve() };
  }
  const directory = await open(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  const text = `/proc/self/fd/${directory.fd}/${basename(path)}`;
  return { text, release: () => directory.close() };
}

function listenAt(name: ShortName, path: string): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen({ path: name.text }, () => {
      server.removeListener('error', reject);
      server.unref();
      resolve({
        async close() {
          await new Promise<void>((closed) => server.close(() => closed()));
          await unlink(path).catch((error: unknown) => {
            if (systemErrorCode(error) !== 'ENOENT') throw error;
          });
          await name.release();
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
