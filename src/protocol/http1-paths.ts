import { parseBlockKey } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';

/** Operations of a namespace, each `POST /wmbt/v1/ns/{ns}/{operation}`; lookup by GET too. */
export const operations = [
  'lookup',
  'contains',
  'load',
  'save',
  'load-tail',
  'save-tail',
  'load-raw-tail',
  'save-raw-tail',
  'prefetch',
  'delete',
] as const;

export type Operation = (typeof operations)[number];

/** What a request names. */
export type HttpResource =
  | { readonly kind: 'ping' | 'health' | 'ready' | 'metrics' | 'stats' | 'flush' | 'rpc' }
  | { readonly kind: 'block'; readonly namespace: Namespace; readonly key: BlockKey }
  | { readonly kind: 'operation'; readonly namespace: Namespace; readonly operation: Operation };

export const paths = {
  ping: '/wmbt/v1/ping',
  stats: '/wmbt/v1/stats',
  flush: '/wmbt/v1/flush',
  /** Of the Rust WombatKV; refused with a reason. */
  rpc: '/wmbt/v1/rpc',
  health: '/healthz',
  ready: '/readyz',
  metrics: '/metrics',
} as const;

const namespaceRoot = '/wmbt/v1/ns/';

export function operationPath(namespace: Namespace, operation: Operation): string {
  return `${namespaceRoot}${encodePathNamespace(namespace)}/${operation}`;
}

/** As in object keys: every byte outside of `A-Za-z0-9-._`, and the names `.` and `..`. */
export function encodePathNamespace(namespace: Namespace): string {
  if (/^\.\.?$/.test(namespace)) return namespace.replaceAll('.', '%2E');
  return encodeURIComponent(namespace).replace(
    /[!'()*~]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/**
 * What the path names; undefined when it is nothing that exists. Paths are compared as they came:
 * nothing is resolved, joined or decoded but the two parts that are names.
 *
 * @throws RangeError when the namespace or the key in it is none.
 */
export function parsePath(path: string): HttpResource | undefined {
  for (const kind of ['ping', 'stats', 'flush', 'rpc', 'health', 'ready', 'metrics'] as const) {
    if (path === paths[kind]) return { kind };
  }
  if (!path.startsWith(namespaceRoot)) return undefined;
  const parts = path.slice(namespaceRoot.length).split('/');
  const [encoded, name, key] = parts;
  if (parts.length === 3 && name === 'blocks') {
    return { kind: 'block', namespace: decodePathNamespace(encoded), key: parseBlockKey(key) };
  }
  const operation = operations.find((one) => one === name);
  if (parts.length !== 2 || operation === undefined) return undefined;
  return { kind: 'operation', namespace: decodePathNamespace(encoded), operation };
}

function decodePathNamespace(encoded: string): Namespace {
  let name: string;
  try {
    name = decodeURIComponent(encoded);
  } catch (cause) {
    const text = JSON.stringify(encoded.slice(0, 80));
    throw new RangeError(`namespace is not percent-encoded UTF-8: ${text}`, { cause });
  }
  return parseNamespace(name);
}
