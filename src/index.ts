/** WombatKV: open a store in this process. `wombatkv/llama` adapts node-llama-cpp to it. */
export { blake3Hex } from './base/blake3.ts';
export { crc32c, crc32cAppend } from './base/crc32c.ts';
export { StoreError, isStoreError } from './base/errors.ts';
export type { StoreErrorCode } from './base/errors.ts';
export type { LogFields, Logger } from './base/logger.ts';
export { ABI_MAJOR, ABI_MINOR } from './blocks/abi-version.ts';
export { parseBlockKey } from './blocks/block-key.ts';
export type { BlockKey } from './blocks/block-key.ts';
export { fingerprintOf, llamaSeedInput } from './blocks/fingerprint.ts';
export type { Fingerprint, FingerprintIngredients } from './blocks/fingerprint.ts';
export type * from './blocks/kv-store.ts';
export { parseNamespace } from './blocks/namespace.ts';
export type { Namespace } from './blocks/namespace.ts';
export { Prefix, seedOf, tailDigest } from './blocks/prefix.ts';
export type { ResolvedStoreConfig, StoreConfig } from './config/store-config.ts';
export { configFromEnvironment, openFromEnvironment, openStore } from './open-store.ts';
export type { OpenOptions } from './open-store.ts';
