import { StoreError, messageOf } from '../base/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { pathOfSetting, usualRuntimeDirectory } from '../platform/runtime-directory.ts';
import { quote } from './display.ts';
import { parseSetting } from './parse.ts';
import { acceptedText } from './setting.ts';
import type { Setting } from './setting.ts';

/** Where a daemon is, and how one is run. Unlike a `StoreConfig` it says nothing of the store. */
export interface DoorConfig {
  /** Use the daemon of that prefix on this host. */
  readonly remotePrefix: string | undefined;
  /** Use the daemon at that address. */
  readonly tcpAddress: string | undefined;
  /** Use the daemon at that address, over HTTP. */
  readonly httpAddress: string | undefined;
  /** Absolute; undefined: the usual one, see `runtimeDirectoryOf`. */
  readonly runtimeDirectory: string | undefined;
  /** Absolute. */
  readonly tokenFile: string | undefined;
  /** Memory of a client of a daemon for blocks that it read; 0: none. */
  readonly nearCacheBytes: number;
  /** Whether payloads travel compressed over a network. */
  readonly wireCompression: 'auto' | 'on' | 'off';
  /** Absolute: the certificates behind that of the daemon, which the client trusts. */
  readonly tlsCaFile: string | undefined;
  /** Absolute: what the daemon shows of itself. */
  readonly tlsCertFile: string | undefined;
  readonly tlsKeyFile: string | undefined;
  readonly tcpListeners: readonly string[];
  readonly httpListeners: readonly string[];
  readonly drainMs: number;
}

/** A setting of clients and daemons that is obeyed. */
export interface DoorSetting extends Setting {
  readonly effect: 'now';
  readonly door: keyof DoorConfig;
}

export const doorSettings: readonly DoorSetting[] = [
  {
    name: 'WMBT_KV_REMOTE_PREFIX',
    door: 'remotePrefix',
    kind: 'text',
    default: '',
    accepts: '1 to 64 letters, digits, dots, underscores or hyphens',
    help: 'Use the daemon of that name on this host, by its socket. Wins over the addresses.',
    readBy: ['library'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_TCP_ADDR',
    door: 'tcpAddress',
    kind: 'address',
    default: '',
    accepts: 'host:port, or tls://host:port',
    help: 'Use the daemon at that address, over TCP. Wins over `WMBT_KV_HTTP_ADDR`.',
    readBy: ['library'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_HTTP_ADDR',
    door: 'httpAddress',
    kind: 'address',
    default: '',
    accepts: 'host:port, or https://host:port',
    help: 'Use the daemon at that address, over HTTP.',
    readBy: ['library'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_RUNTIME_DIR',
    door: 'runtimeDirectory',
    kind: 'path',
    default: '$XDG_RUNTIME_DIR/wombatkv',
    help:
      'Directory of the sockets by which a daemon is found: 0700, of this user. Without ' +
      '`XDG_RUNTIME_DIR`: `/run/wombatkv` if this user has it or may make it, else ' +
      '`wombatkv-<uid>` in the temporary directory.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_TOKEN_FILE',
    door: 'tokenFile',
    kind: 'path',
    default: '',
    help:
      'For a client: the file with the token that it gives. For a daemon: the file with all tokens, ' +
      'a line each, and what they may do ([OPERATING](OPERATING.md)).',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_NEAR_CACHE_BYTES',
    door: 'nearCacheBytes',
    kind: 'bytes',
    default: '0',
    help:
      'Memory of a client of a daemon for blocks that it read, so that reading them again moves no ' +
      'bytes. 0: none.',
    readBy: ['library'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_WIRE_COMPRESSION',
    door: 'wireCompression',
    kind: 'choice',
    choices: { auto: 'auto', on: 'on', off: 'off' },
    default: 'auto',
    accepts: 'auto, on, off',
    help:
      'Compress payloads between a client and a daemon over TCP and HTTP, with TLS or without, where both know it. `auto`: ' +
      'while the link is so slow that it is faster. `on`: always. Over a Unix socket and in shared memory never.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_TLS_CA_FILE',
    door: 'tlsCaFile',
    kind: 'path',
    default: '',
    help:
      'Certificates (PEM) of which one must stand behind that of the daemon; those of Node when ' +
      'unset. With it an address without a scheme is taken for one of TLS.',
    readBy: ['library'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_TLS_CERT_FILE',
    door: 'tlsCertFile',
    kind: 'path',
    default: '',
    help:
      'Certificate of the daemon (PEM), and behind it those between it and a root. With it all TCP ' +
      'and HTTP listeners speak TLS.',
    readBy: ['daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_TLS_KEY_FILE',
    door: 'tlsKeyFile',
    kind: 'path',
    default: '',
    help: 'Key of that certificate (PEM).',
    readBy: ['daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_TCP',
    door: 'tcpListeners',
    kind: 'list',
    default: '',
    help: 'More TCP listeners of the daemon, as with `--tcp`.',
    readBy: ['daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_HTTP',
    door: 'httpListeners',
    kind: 'list',
    default: '',
    help: 'More HTTP listeners of the daemon, as with `--http`.',
    readBy: ['daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_DAEMON_SHUTDOWN_DRAIN_TIMEOUT_SECS',
    door: 'drainMs',
    kind: 'seconds',
    default: '10',
    help: 'Time that a stopping daemon gives its calls, and then its uploads.',
    readBy: ['daemon'],
    effect: 'now',
  },
];

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Where a daemon is, by the variables of the environment.
 *
 * @throws StoreError `INVALID` naming the variable that is wrong.
 */
export function doorsFromEnvironment(environment: Environment, homeDirectory: string): DoorConfig {
  const path = (name: string): string | undefined => {
    const text = textOf(environment, name);
    if (text === undefined) return undefined;
    const expanded = pathOfSetting(text, homeDirectory);
    if (expanded !== undefined) return expanded;
    throw refused(name, text);
  };
  const address = (name: string, scheme: string): string | undefined => {
    const text = textOf(environment, name);
    if (text === undefined) return undefined;
    checked(name, text.startsWith(scheme) ? text.slice(scheme.length) : text);
    return text;
  };
  const listeners = (name: string): readonly string[] =>
    (textOf(environment, name) ?? '')
      .split(',')
      .map((one) => one.trim())
      .filter((one) => one !== '')
      .map((one) => checked(name, one));
  return {
    remotePrefix: textOf(environment, 'WMBT_KV_REMOTE_PREFIX'),
    tcpAddress: address('WMBT_KV_TCP_ADDR', 'tls://'),
    httpAddress: address('WMBT_KV_HTTP_ADDR', 'https://'),
    runtimeDirectory: path('WMBT_KV_RUNTIME_DIR'),
    tokenFile: path('WMBT_KV_TOKEN_FILE'),
    nearCacheBytes: bytesOf(environment, 'WMBT_KV_NEAR_CACHE_BYTES'),
    wireCompression: wireCompressionOf(environment),
    tlsCaFile: path('WMBT_KV_TLS_CA_FILE'),
    tlsCertFile: path('WMBT_KV_TLS_CERT_FILE'),
    tlsKeyFile: path('WMBT_KV_TLS_KEY_FILE'),
    tcpListeners: listeners('WMBT_KV_TCP'),
    httpListeners: listeners('WMBT_KV_HTTP'),
    drainMs: secondsOf(environment) * 1000,
  };
}

/** Host and port of `host:port`; port 0 where a listener is meant. */
export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** Reads `host:port`, `[::1]:port`. Throws a RangeError for anything else. */
export function parseHostAndPort(text: string): HostAndPort {
  const [, host, digits] = /^(\[[0-9a-f:.]+\]|[^\s/:[\]@]+):(\d{1,5})$/i.exec(text) ?? [];
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    throw new RangeError(`${quote(text)} is no address; accepted: host:port`);
  }
  return { host: host.replace(/^\[|\]$/g, ''), port };
}

/**
 * The directory of the sockets: the one that is set, else the usual one. Daemons and clients of one
 * user find the same.
 */
export async function runtimeDirectoryOf(doors: DoorConfig, platform: Platform): Promise<string> {
  if (doors.runtimeDirectory !== undefined) return doors.runtimeDirectory;
  return usualRuntimeDirectory(platform);
}

function checked(name: string, text: string): string {
  try {
    parseHostAndPort(text);
    return text;
  } catch (cause) {
    throw new StoreError('INVALID', `${name}: ${messageOf(cause)}`, { cause });
  }
}

function secondsOf(environment: Environment): number {
  const name = 'WMBT_KV_DAEMON_SHUTDOWN_DRAIN_TIMEOUT_SECS';
  const setting = settingOf(name);
  const text = textOf(environment, name) ?? setting.default;
  const seconds = parseSetting(setting, text);
  if (typeof seconds === 'number' && seconds <= 86_400) return seconds;
  throw refused(name, text);
}

function bytesOf(environment: Environment, name: string): number {
  const setting = settingOf(name);
  const text = textOf(environment, name) ?? setting.default;
  const bytes = parseSetting(setting, text);
  if (typeof bytes === 'number') return bytes;
  throw refused(name, text);
}

function wireCompressionOf(environment: Environment): DoorConfig['wireCompression'] {
  const name = 'WMBT_KV_WIRE_COMPRESSION';
  const setting = settingOf(name);
  const text = textOf(environment, name) ?? setting.default;
  const word = parseSetting(setting, text);
  if (word === 'auto' || word === 'on' || word === 'off') return word;
  throw refused(name, text);
}

function refused(name: string, text: string): StoreError {
  const accepted = acceptedText(settingOf(name));
  return new StoreError('INVALID', `${name} is ${quote(text)}; accepted: ${accepted}`);
}

function settingOf(name: string): DoorSetting {
  const found = doorSettings.find((setting) => setting.name === name);
  if (found === undefined) throw new RangeError(`no setting ${name}`);
  return found;
}

function textOf(environment: Environment, name: string): string | undefined {
  const text = Object.hasOwn(environment, name) ? environment[name] : undefined;
  return text === '' ? undefined : text;
}
