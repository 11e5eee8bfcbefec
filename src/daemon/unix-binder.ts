import { basename, dirname } from 'node:path';
import { StoreError, systemErrorCode } from '../base/errors.ts';
import { socketPathOf } from '../blocks/socket-path.ts';
import type { Endpoints } from '../platform/endpoints.ts';
import type { Files } from '../platform/files.ts';
import type { Random } from '../platform/random.ts';
import type { ReceiverMaker, SocketListener, Sockets } from '../platform/sockets.ts';
import { bindingFailure } from './frame-transport.ts';
import type { SocketBinder } from './frame-transport.ts';
import { prepareRuntimeDirectory } from './runtime-directory.ts';

/** Wait for a sign of life of whoever may have the socket. A stopped process answers too. */
const probeMs = 1000;

/** Attempts to take a socket that others try to take at the same time. */
const attemptsMax = 64;

interface UnixDoor {
  readonly files: Files;
  readonly endpoints: Endpoints;
  readonly random: Random;
}

/** Takes the socket of a prefix in the runtime directory. */
export function prefixBinder(door: UnixDoor, directory: string, prefix: string): SocketBinder {
  return async ({ sockets }, receiverOf) => {
    const path = socketPathOf(directory, prefix);
    await prepareRuntimeDirectory(door.files, directory);
    const listener = await takeSocket({ ...door, sockets }, path, receiverOf);
    return { listener, address: { transport: 'unix', url: `unix:${path}`, prefix } };
  };
}

/** Takes a socket at any path, whose directory is there. */
export function pathBinder(door: UnixDoor, path: string): SocketBinder {
  return async ({ sockets }, receiverOf) => {
    const listener = await takeSocket({ ...door, sockets }, path, receiverOf);
    return { listener, address: { transport: 'unix', url: `unix:${path}` } };
  };
}

/**
 * Listens at the path, which a dead process may have left behind. Removing what it left and binding
 * are two steps, between which another daemon could come; so the right to the path is taken first:
 * the file `<path>.<number>`, itself a listening socket, made by `link`, which one alone does. The
 * highest number has the path while it answers. Numbers only rise, and the last one stays behind.
 */
async function takeSocket(
  door: UnixDoor & { readonly sockets: Sockets },
  path: string,
  receiverOf: ReceiverMaker,
): Promise<SocketListener> {
  const { files, random, sockets } = door;
  const ours = `${path}.new-${random.hex(4)}`;
  const listener = await sockets
    .listen({ kind: 'unix', path: ours }, receiverOf)
    .catch((error: unknown) => {
      throw bindingFailure(`unix:${path}`, error);
    });
  try {
    await claim(door, path, ours);
    await files.remove(path);
    await files.link(ours, path);
  } catch (error) {
    await listener.close();
    throw error;
  } finally {
    await files.remove(ours);
  }
  let isOpen = true;
  return {
    address: { kind: 'unix', path },
    async close() {
      // While this one listens nobody else takes the path, so what is removed is its own.
      if (isOpen) await files.remove(path);
      isOpen = false;
      await listener.close();
    },
  };
}

/** Makes the next number ours. */
async function claim(door: UnixDoor, path: string, ours: string): Promise<void> {
  const { files, endpoints } = door;
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const numbers = await numbersOf(files, path);
    const last = numbers.at(-1) ?? 0;
    const isTaken =
      last > 0
        ? await endpoints.isListening(`${path}.${last}`, probeMs)
        : await endpoints.isListening(path, probeMs);
    if (isTaken) throw new StoreError('BUSY', `unix:${path} is taken by another daemon`);
    try {
      await files.link(ours, `${path}.${last + 1}`);
    } catch (error) {
      if (systemErrorCode(error) === 'EEXIST') continue;
      throw error;
    }
    for (const number of numbers) await files.remove(`${path}.${number}`);
    return;
  }
  throw new StoreError('BUSY', `unix:${path} could not be taken in ${attemptsMax} attempts`);
}

/** The numbers of all who ever had the path and are not removed yet, rising. */
async function numbersOf(files: Files, path: string): Promise<readonly number[]> {
  const prefix = `${basename(path)}.`;
  const names = (await files.list(dirname(path))).map(({ name }) => name);
  return names
    .filter((name) => name.startsWith(prefix) && /^\d{1,15}$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b);
}
