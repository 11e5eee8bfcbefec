import { messageOf, StoreError } from '../base/errors.ts';
import { defaultNamespaceName, parseNamespace } from '../blocks/namespace.ts';
import type { KvStore } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { socketPathOf } from '../blocks/socket-path.ts';
import { checksumsFor } from '../platform/checksums.ts';
import type { SharedFiller } from '../cache/shared-reader.ts';
import { withNative } from '../platform/native.ts';
import type { NativeMode } from '../platform/native.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { nodeSockets } from '../platform/node-sockets.ts';
import type { Platform } from '../platform/platform.ts';
import { pathOfSetting, usualRuntimeDirectory } from '../platform/runtime-directory.ts';
import type { SocketAddress, Sockets } from '../platform/sockets.ts';
import { tlsSockets } from '../platform/tls-sockets.ts';
import { WireCodec } from '../wire/wire-codec.ts';
import { WireLink } from '../wire/wire-link.ts';
import type { WireMode } from '../wire/wire-link.ts';
import { ClientStore } from './client-store.ts';
import { HttpClientStore } from './http-client-store.ts';
import type { ReadDeadlines } from './http-client-store.ts';
import { httpClientLimits } from './http-limits.ts';
import type { KeptBlocks } from './kept-blocks.ts';
import { NearCache } from './near-cache.ts';
import { RemotePeer } from './remote-peer.ts';
import { RemoteStore } from './remote-store.ts';
import type { RemoteStoreParts } from './remote-store.ts';
import { AnnouncedMemory } from './shared-access.ts';
import { SaveRings } from './save-rings.ts';
import { SharedStore } from './shared-store.ts';
import { isTokenText, tokenRule } from './token.ts';
import { UseNotes } from './use-notes.ts';

/** How a client is connected. Every field may be left out. */
export interface ConnectOptions {
  /** The namespace of calls that name none; `default` when absent. */
  readonly namespace?: string | undefined;
  /** What a daemon with tokens asks for. */
  readonly token?: string | undefined;
  /**
   * File of the certificates, PEM, of which one must stand behind that of the daemon, with `tls:` and
   * `https:`. Those that Node trusts when absent.
   */
  readonly tlsCaFile?: string | undefined;
  /** Milliseconds that calls may take, as in `StoreConfig`. */
  readonly lookupDeadlineMs?: number | undefined;
  readonly loadDeadlineMs?: number | undefined;
  /** Caps the usual deadline of every call but flush. */
  readonly callDeadlineMsMax?: number | undefined;
  /**
   * Memory for blocks that were read, so that reading them again moves no bytes; none when absent or
   * 0. What other clients delete stays in it until it makes room.
   */
  readonly nearCacheBytes?: number | undefined;
  /**
   * Whether payloads travel compressed over TCP and HTTP where the daemon knows that: `auto`, the default, where it is
   * faster (docs/decisions/0102, 0113), `on` everywhere, `off` nowhere.
   */
  readonly wireCompression?: WireMode | 'off' | undefined;
  /** Whether native code is used where there is some, as in `StoreConfig`. */
  readonly native?: NativeMode | undefined;
}

const agent = 'wombatkv-node';

/**
 * Connects to a daemon: `shm:name` for one of this user on this host, by its prefix or the path of its
 * socket, whose memory is read where it lies (a write to a payload ends the process); `unix:/path/of.sock`, `tcp://host:port`, `http://host:port`, or encrypted
 * `tls://host:port`, `https://host:port`. What it gives is used like a store in this process. It
 * connects again by itself; while the daemon is away calls fail soon with `UNAVAILABLE`. Closing it
 * leaves the daemon running.
 *
 * @throws RangeError for an address that is none; StoreError `UNAVAILABLE` when the daemon is not
 * reached, or has no certificate that is trusted here, `INVALID` when it wants another token, `INCOMPATIBLE` when it speaks no version in common.
 *
 * @example
 * ```ts
 * const store = await connect('unix:/run/wombatkv/default.sock');
 * await store.lookup(keys);
 * await store.close();
 * ```
 */
export async function connect(url: string, options: ConnectOptions = {}): Promise<KvStore> {
  const address = parseAddress(url);
  const namespace = parseNamespace(options.namespace || defaultNamespaceName);
  const { nearCacheBytes = 0 } = options;
  if (!Number.isSafeInteger(nearCacheBytes) || nearCacheBytes < 0) {
    throw new RangeError(`nearCacheBytes must be a number of bytes; got ${nearCacheBytes}`);
  }
  const near = nearCacheBytes > 0 ? new NearCache(nearCacheBytes) : undefined;
  return connectTo(address, namespace, options, (door) => new ClientStore(door, namespace, near));
}

/** As {@link connect}, with `near` as the near-cache, which belongs to the store from now on. */
export async function connectKeeping(
  url: string,
  options: Omit<ConnectOptions, 'nearCacheBytes'>,
  near: KeptBlocks,
): Promise<KvStore> {
  const namespace = parseNamespace(options.namespace || defaultNamespaceName);
  const guard = (door: KvStore): KvStore => new ClientStore(door, namespace, near);
  return connectTo(parseAddress(url), namespace, options, guard);
}

/** Stands before what speaks to the daemon over a socket. */
type Guard = (door: KvStore) => KvStore;

async function connectTo(
  address: DaemonAddress,
  namespace: Namespace,
  options: ConnectOptions,
  guard: Guard,
): Promise<KvStore> {
  const { token = '' } = options;
  if (!isTokenText(token)) throw new RangeError(`token must be ${tokenRule}`);
  const authority = await readAuthority(options.tlsCaFile);
  if (address.kind === 'http') {
    return guard(await connectHttp(address, namespace, options, authority));
  }
  if (address.kind === 'shm') return connectShared(address, namespace, options, guard);
  const isSecure = address.kind === 'tcp' && address.isSecure;
  const sockets = isSecure ? tlsSockets({ authority }) : nodeSockets;
  const { peer, store } = remoteOf(address, sockets, namespace, options);
  return opened(guard(store), async () => {
    await peer.connection('small', new AbortController().signal);
  });
}

/** The daemon's memory where there is some, and its socket for everything else. */
async function connectShared(
  { name }: SharedAddress,
  namespace: Namespace,
  options: ConnectOptions,
  guard: Guard,
): Promise<KvStore> {
  const platform = withNative(nodePlatform(), options.native ?? 'auto');
  const path = name.startsWith('/') ? name : socketPathOf(await runtimeDirectory(platform), name);
  const address = { kind: 'unix' as const, path };
  const fillerOf = (): SharedFiller | undefined => access.current()?.filler();
  const filling = { ...options, fillerOf };
  const { peer, store } = remoteOf(address, nodeSockets, namespace, filling);
  const access = new AnnouncedMemory(platform, peer, path);
  const uses = new UseNotes(store, platform.clock, namespace);
  const isAccepting = (): boolean => peer.isAccepting;
  const rings = ringsOf({ peer, store, access, platform, namespace });
  const parts = { remote: guard(store), access, namespace, uses, rings, isAccepting };
  const shared = new SharedStore(parts);
  return opened(shared, async () => {
    await peer.connection('small', new AbortController().signal);
    await access.look();
    shared.rehearse();
  });
}

/** What leaves saves in the memory of a daemon; undefined without native code. */
function ringsOf(client: {
  readonly peer: RemotePeer;
  readonly store: RemoteStore;
  readonly access: AnnouncedMemory;
  readonly platform: Platform;
  readonly namespace: Namespace;
}): SaveRings | undefined {
  const { peer, store, access, platform, namespace } = client;
  const { clock, sharedMemory: memory } = platform;
  if (memory === undefined) return undefined;
  const door = {
    get mayRing() {
      return peer.mayRing;
    },
    openRing: () => store.openRing(),
    tellRing: () => peer.tellRing(),
  };
  return new SaveRings({ door, clock, memory, usual: namespace, current: () => access.current() });
}

/** A daemon by its frames; nothing is connected yet. */
function remoteOf(
  address: SocketAddress,
  sockets: Sockets,
  namespace: Namespace,
  options: ConnectOptions & Pick<RemoteStoreParts, 'fillerOf'>,
): { readonly peer: RemotePeer; readonly store: RemoteStore } {
  const { native = 'auto', token = '' } = options;
  const { clock, random, memory, host } = withNative(nodePlatform(), native);
  const wire = address.kind === 'unix' ? undefined : wireOf(options);
  const isCompressing = wire !== undefined;
  const machine = { sockets, clock, random, memory };
  const peer = new RemotePeer({ ...machine, address, token, agent, isCompressing });
  const cap = capOf(options);
  const deadlines = {
    ...readDeadlines(options),
    saveMs: cap(limits.saveDeadlineMs),
    deleteMs: cap(limits.deleteDeadlineMs),
  };
  const checksums = checksumsFor(host, native);
  const { fillerOf } = options;
  const parts = { peer, clock, memory, namespace, deadlines, checksums, fillerOf, wire };
  return { peer, store: new RemoteStore(parts) };
}

/** On one host compressing takes longer than copying does, so this is for networks alone. */
function wireOf({
  wireCompression = 'auto',
  native = 'auto',
}: ConnectOptions): WireLink | undefined {
  if (wireCompression === 'off') return undefined;
  return new WireLink(new WireCodec(native), wireCompression);
}

/** The store when `reach` has reached it; it is closed when that fails. */
async function opened<Store extends KvStore>(
  store: Store,
  reach: () => Promise<void>,
): Promise<Store> {
  try {
    await reach();
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

/** Where daemons of this user are found: the directory that is set, else the usual one. */
async function runtimeDirectory(platform: Platform): Promise<string> {
  const given = platform.environment['WMBT_KV_RUNTIME_DIR'];
  if (given === undefined || given === '') return usualRuntimeDirectory(platform);
  const path = pathOfSetting(given, platform.host.homeDirectory);
  if (path !== undefined) return path;
  throw new StoreError(
    'INVALID',
    `WMBT_KV_RUNTIME_DIR is ${JSON.stringify(given)}, no absolute path`,
  );
}

/** Asks for nothing, which shows whether the server is there and takes the token. */
async function connectHttp(
  { host, port, isSecure }: PortAddress,
  namespace: Namespace,
  options: ConnectOptions,
  authority: Uint8Array | undefined,
): Promise<HttpClientStore> {
  const { token } = options;
  const sockets = isSecure ? tlsSockets({ authority }) : nodeSockets;
  const { native = 'auto' } = options;
  const platform = { ...withNative(nodePlatform(), native), sockets };
  const callMs = capOf(options)(httpClientLimits.callMs);
  const store = new HttpClientStore({
    ...{ platform, host, port, namespace, limits: { callMs } },
    ...{ token: token === '' ? undefined : token, deadlines: readDeadlines(options) },
    checksums: checksumsFor(platform.host, native),
    wire: wireOf(options),
  });
  return opened(store, () => store.greet({ deadlineMs: httpClientLimits.connectMs }));
}

function capOf({ callDeadlineMsMax }: ConnectOptions): (ms: number) => number {
  return (ms) => Math.min(ms, callDeadlineMsMax ?? 30_000);
}

function readDeadlines(options: ConnectOptions): ReadDeadlines {
  const cap = capOf(options);
  return {
    lookupMs: cap(options.lookupDeadlineMs ?? 250),
    loadMs: cap(options.loadDeadlineMs ?? 10_000),
    tailMs: cap(limits.tailDeadlineMs),
  };
}

interface PortAddress {
  readonly kind: 'tcp' | 'http';
  /** True for TLS. */
  readonly isSecure: boolean;
  readonly host: string;
  readonly port: number;
}

interface SharedAddress {
  readonly kind: 'shm';
  /** The prefix of the daemon, or the path of its socket. */
  readonly name: string;
}

type DaemonAddress =
  | SharedAddress
  | Extract<SocketAddress, { readonly kind: 'unix' }>
  | (PortAddress & { readonly kind: 'tcp' })
  | (PortAddress & { readonly kind: 'http' });

/**
 * The address in a URL.
 *
 * @throws RangeError naming what is accepted.
 */
export function parseAddress(url: string): DaemonAddress {
  if (typeof url !== 'string') throw new TypeError(`address must be a string; got ${typeof url}`);
  const [, name] = /^shm:(\/.+|[\w.-]{1,64})$/.exec(url) ?? [];
  if (name !== undefined) return { kind: 'shm', name };
  if (url.startsWith('unix:/')) return { kind: 'unix', path: url.slice('unix:'.length) };
  const [, kind, host, port] =
    /^(tcp|tls|https?):\/\/(\[[0-9a-f:.]+\]|[^\s/:[\]@]+):(\d{1,5})\/?$/i.exec(url) ?? [];
  const number = Number(port);
  if (host === undefined || !(number >= 1 && number <= 65_535)) {
    const shown = JSON.stringify(url.slice(0, 200));
    const accepted = 'shm:name, unix:/path, or tcp:, tls:, http: or https: and //host:port';
    throw new RangeError(`address must be ${accepted}; got ${shown}`);
  }
  const scheme = kind.toLowerCase();
  const isSecure = scheme === 'tls' || scheme === 'https';
  const where = { isSecure, host: host.replace(/^\[|\]$/g, ''), port: number };
  return scheme.startsWith('http') ? { kind: 'http', ...where } : { kind: 'tcp', ...where };
}

async function readAuthority(path: string | undefined): Promise<Uint8Array | undefined> {
  if (path === undefined) return undefined;
  let bytes: Uint8Array;
  try {
    bytes = await nodePlatform().files.readSmall(path, limits.pemFileBytesMax);
  } catch (cause) {
    const message = `file of certificates ${path} cannot be read: ${messageOf(cause)}`;
    throw new StoreError('INVALID', message, { cause });
  }
  if (hasCertificate(bytes)) return bytes;
  throw new StoreError('INVALID', `file of certificates ${path} holds none in PEM`);
}

function hasCertificate(bytes: Uint8Array): boolean {
  return new TextDecoder().decode(bytes).includes('-----BEGIN CERTIFICATE-----');
}
