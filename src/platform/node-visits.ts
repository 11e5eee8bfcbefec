import { unlink } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { systemErrorCode } from '../base/errors.ts';
import { shortNameOf } from './node-endpoints.ts';
import type { Visits } from './visits.ts';

/** Visitors that wait at the same time; more are sent away at once. */
const visitorsMax = 64;

/** Visits by Unix sockets. */
export const nodeVisits: Visits = {
  async receive(path, onVisit) {
    const name = await shortNameOf(path);
    const waiting = new Set<Socket>();
    const server = createServer((socket) => {
      // A visitor that breaks off is one less to wait for.
      socket.on('error', () => undefined).once('close', () => waiting.delete(socket));
      if (waiting.size < visitorsMax && onVisit()) waiting.add(socket.unref().resume());
      else socket.destroy();
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ path: name.text }, () => {
        server.removeListener('error', reject);
        // What goes wrong with one visitor is no end of the others.
        server.on('error', () => undefined);
        server.unref();
        resolve();
      });
    }).catch(async (error: unknown) => {
      await name.release();
      throw error;
    });
    return {
      async close() {
        await unlink(path).catch((error: unknown) => {
          if (systemErrorCode(error) !== 'ENOENT') throw error;
        });
        server.close();
        for (const socket of waiting) socket.destroy();
        await name.release();
      },
    };
  },
  async visit(path, timeoutMs) {
    let name;
    try {
      name = await shortNameOf(path);
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return 'nobody';
      throw error;
    }
    try {
      return await visitAt(name.text, timeoutMs);
    } finally {
      await name.release();
    }
  },
};

function visitAt(path: string, timeoutMs: number): Promise<'over' | 'late' | 'nobody'> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const settle = (result: 'over' | 'late' | 'nobody'): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => settle('late'), timeoutMs);
    socket.resume();
    socket.once('end', () => settle('over'));
    socket.once('error', (error) => {
      const code = systemErrorCode(error);
      if (code === 'ENOENT' || code === 'ECONNREFUSED') settle('nobody');
      else if (code === 'ECONNRESET' || code === 'EPIPE') settle('over');
      else {
        clearTimeout(timer);
        socket.destroy();
        reject(error);
      }
    });
  });
}
