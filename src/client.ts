/** WombatKV over a socket: `connect` to a daemon on this host or another. */
export { StoreError, isStoreError } from './base/errors.ts';
export type { StoreErrorCode } from './base/errors.ts';
export { parseBlockKey } from './blocks/block-key.ts';
export type { BlockKey } from './blocks/block-key.ts';
export type * from './blocks/kv-store.ts';
export { parseNamespace } from './blocks/namespace.ts';
export type { Namespace } from './blocks/namespace.ts';
export { Prefix, seedOf } from './blocks/prefix.ts';
export { connect } from './client/connect.ts';
export type { ConnectOptions } from './client/connect.ts';
