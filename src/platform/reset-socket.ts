import type { Socket } from 'node:net';

/**
 * Breaks a connection of TCP at once; what was not sent is not sent any more. While the system is being told that
 * this side has ended, a reset would fail (EINVAL), and Node 20 to 24 keep the socket after that: it never closes,
 * and the process turns without end as it exits. Then the socket is closed without a reset.
 */
export function resetSocket(socket: Socket): void {
  const isEnding = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
  if (isEnding) socket.destroy();
  else socket.resetAndDestroy();
}
