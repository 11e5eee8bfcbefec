import { announcementOf, socketPathOf } from '../blocks/socket-path.ts';
import type { Platform } from '../platform/platform.ts';
import { bindingFailure } from './frame-transport.ts';
import type { SocketBinder } from './frame-transport.ts';
import { prepareRuntimeDirectory } from './runtime-directory.ts';

/** Randomness in the name of a socket: no two processes make the same. */
const nameBytes = 8;
/** A socket is made and listens in much less. */
const makingMs = 10_000;
/** Wait for a sign of life of whoever may have the socket. */
const probeMs = 250;
/** Sockets of dead processes that one process looks at: what is left is for the next one. */
const looksMax = 64;

const namePattern = /^private-[0-9a-f]{16}\.sock$/;

type Door = Pick<Platform, 'files' | 'endpoints' | 'random' | 'clock'>;

/**
 * Takes a socket under a fresh name in the runtime directory, for the one process that is told the
 * name, and removes what dead processes left there.
 */
export function privateBinder(door: Door, directory: string): SocketBinder {
  return async ({ sockets }, receiverOf) => {
    const { files, random } = door;
    await prepareRuntimeDirectory(files, directory);
    await removeDead(door, directory);
    const path = socketPathOf(directory, `private-${random.hex(nameBytes)}`);
    const listener = await sockets
      .listen({ kind: 'unix', path }, receiverOf)
      .catch((error: unknown) => {
        throw bindingFailure(`unix:${path}`, error);
      });
    const address = { transport: 'unix', url: `unix:${path}` } as const;
    const close = async (): Promise<void> => {
      await files.remove(path);
      await listener.close();
    };
    return { listener: { address: listener.address, close }, address };
  };
}

async function removeDead({ files, endpoints, clock }: Door, directory: string): Promise<void> {
  const names = (await files.list(directory)).map(({ name }) => name);
  for (const name of names.filter((one) => namePattern.test(one)).slice(0, looksMax)) {
    const path = `${directory}/${name}`;
    const status = await files.status(path);
    // Between its making and its listening nobody answers either.
    if (status === undefined || clock.wallMs() - status.changedMs < makingMs) continue;
    // No answer in time: it may be alive.
    if (await endpoints.isListening(path, probeMs).catch(() => true)) continue;
    await files.remove(announcementOf(path));
    await files.remove(path);
  }
}
