import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** Somebody that programs under test connect to. */
export interface PeerServer {
  /** `host:port` */
  readonly address: string;
  close(): Promise<void>;
}

/** Listens on the loopback; every connection is served so. Those that stand end with it. */
export async function listenLocally(serve: (socket: Socket) => void): Promise<PeerServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy());
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
