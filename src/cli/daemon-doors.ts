import { parseHostAndPort, runtimeDirectoryOf } from '../config/door-settings.ts';
import type { DoorConfig } from '../config/door-settings.ts';
import { FrameTransport } from '../daemon/frame-transport.ts';
import type { HttpTransportOptions } from '../daemon/http-transport.ts';
import type { Security } from '../daemon/security.ts';
import { isLoopback, resolveListeners, tcpBinder } from '../daemon/tcp-binder.ts';
import type { Transport } from '../daemon/transport.ts';
import { pathBinder, prefixBinder } from '../daemon/unix-binder.ts';
import { nodeSockets } from '../platform/node-sockets.ts';
import type { Platform } from '../platform/platform.ts';
import type { DaemonEvents } from './daemon-events.ts';
import type { DaemonFlags } from './daemon-flags.ts';

export interface DoorParts {
  readonly flags: DaemonFlags;
  readonly doors: DoorConfig;
  readonly platform: Platform;
  readonly security: Security;
  readonly moreMetrics: HttpTransportOptions['moreMetrics'];
  readonly events: DaemonEvents;
}

/** Every door that flags and settings name. */
export async function transportsOf(parts: DoorParts): Promise<readonly Transport[]> {
  const { flags, doors, platform, security, moreMetrics } = parts;
  const { access, identity } = security;
  const tcp = [...flags.tcp, ...doors.tcpListeners.map(parseHostAndPort)];
  const http = [...flags.http, ...doors.httpListeners.map(parseHostAndPort)];
  const hasNone = flags.prefix.length + flags.unix.length + tcp.length + http.length === 0;
  const prefixes = hasNone ? ['default'] : flags.prefix;
  const directory = await runtimeDirectoryOf(doors, platform);
  const isOpenToAll = flags.insecure === true || !access.isOpen;
  const tcpAddresses = await resolveListeners(nodeSockets, tcp, isOpenToAll);
  const httpAddresses = await resolveListeners(nodeSockets, http, isOpenToAll);
  const isBeyond = [...tcpAddresses, ...httpAddresses].some(({ host }) => !isLoopback(host));
  if (isBeyond) tellWhatOthersSee(parts);
  const httpOptions = { addresses: httpAddresses, access, identity, moreMetrics };
  const httpDoors = httpAddresses.length === 0 ? [] : [await httpDoor(httpOptions)];
  return [
    ...prefixes.map(
      (prefix) => new FrameTransport(prefixBinder(platform, directory, prefix), access, true),
    ),
    ...flags.unix.map((path) => new FrameTransport(pathBinder(platform, path), access, true)),
    ...tcpAddresses.map((address) => new FrameTransport(tcpBinder(address, identity), access)),
    ...httpDoors,
  ];
}

/** What HTTP is made of is loaded for those who have a door for it. */
async function httpDoor(options: HttpTransportOptions): Promise<Transport> {
  const { HttpTransport } = await import('../daemon/http-transport.ts');
  return new HttpTransport(options);
}

function tellWhatOthersSee({ security, events }: DoorParts): void {
  if (security.access.isOpen) {
    events.tell('insecure', { why: 'other hosts reach this daemon, and no token is asked for' });
  }
  if (security.identity === undefined) {
    const why = 'other hosts reach this daemon without TLS: tokens and payloads pass in the clear';
    events.tell('insecure', { why });
  }
}
