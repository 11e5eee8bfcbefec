import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { messageOf } from '../base/errors.ts';
import { nativeKernels, useNativeKernels } from '../base/native-kernels.ts';
import type { NativeKernels } from '../base/native-kernels.ts';
import { NativeFileSteps } from './native-file-steps.ts';
import type { StepsCode } from './native-file-steps.ts';
import { nodeFileLocks } from './node-file-locks.ts';
import { nodeFiles } from './node-files.ts';
import { nodeSharedMemory } from './node-shared-memory.ts';
import type { SharedMemoryCode } from './node-shared-memory.ts';
import type { Files } from './files.ts';
import type { Platform } from './platform.ts';

/** `auto`: native code where there is some. `off`: none, whatever there is. */
export type NativeMode = 'auto' | 'off';

/**
 * What `wombatkv-native.node` exports (capi/node). Everything works without it: slower, and without
 * locks of files and without word to a service manager.
 */
export interface NativeCode extends NativeKernels, SharedMemoryCode, StepsCode {
  readonly interfaceVersion: number;
  /** Name of the way in which CRC32C is computed on this processor. */
  readonly crc32cKernel: string;
  /** True when the open file now has the lock, false when another open file holds it. */
  lock(descriptor: number, isShared: boolean): boolean;
  /** What has come over the TCP connection with that descriptor is acknowledged now. */
  acknowledge(descriptor: number): void;
  /** Sends a datagram to a Unix socket; a leading `@` stands for a name without a file. */
  notify(address: string, text: string): void;
  /** What any thread has freed goes back to the system; takes a millisecond for each 10 MB or so. */
  trimHeap(): void;
}

/** Native code, or why there is none. */
export type NativeChoice =
  { readonly code: NativeCode } | { readonly code: undefined; readonly reason: string };

/** The version of the functions above that this program knows; capi/node/module.c has the same. */
const interfaceVersion = 15;

/** The package's own folder: three above this file's, in a clone and where it is installed. */
export const packageRoot = fileURLToPath(new URL('../../..', import.meta.url));

/** Where the module of this platform lies in the package. */
export const nativeModulePath = `${packageRoot}build/native/${process.platform}-${process.arch}/wombatkv-native.node`;

let loaded: NativeChoice | undefined;

/**
 * The native code of this process. It is loaded once. The variable switches it off for all of the
 * process, whatever a store is told.
 */
export function nativeCode(mode: NativeMode): NativeChoice {
  if (mode === 'off' || process.env['WMBT_KV_NATIVE'] === 'off') {
    return { code: undefined, reason: 'WMBT_KV_NATIVE is off' };
  }
  return (loaded ??= load(nativeModulePath));
}

/**
 * The platform with what native code adds to it. The kernels of this thread become native too, or
 * portable again with `off`.
 */
export function withNative(platform: Platform, mode: NativeMode): Platform {
  const { code } = nativeCode(mode);
  useNativeKernels(code);
  if (code === undefined) return { ...platform, locks: undefined, sharedMemory: undefined };
  const hasSharedFiles = process.platform === 'linux';
  const sharedMemory = hasSharedFiles ? nodeSharedMemory(code) : undefined;
  return {
    ...platform,
    files: withSteps(platform.files, code),
    locks: nodeFileLocks(code),
    sharedMemory,
  };
}

/** Whatever stands around the files of the machine, to see or to hinder their calls, sees each step. */
function withSteps(files: Files, code: NativeCode): Files {
  if (files !== nodeFiles) return files;
  const steps = new NativeFileSteps(code, files);
  return { ...files, steps: (list, signal) => steps.run(list, signal) };
}

/**
 * The platform with native code where this thread uses it already: as the store or client was told that
 * was opened here.
 */
export function withNativeInUse(platform: Platform): Platform {
  return nativeKernels() === undefined ? platform : withNative(platform, 'auto');
}

/** The native code that this thread uses; undefined where there is none, or none is wanted. */
export function nativeCodeInUse(): NativeCode | undefined {
  return nativeKernels() === undefined ? undefined : nativeCode('auto').code;
}

function load(path: string): NativeChoice {
  if (!existsSync(path)) {
    return { code: undefined, reason: 'it is not built; wombatkv build-native builds it' };
  }
  try {
    const module: unknown = createRequire(import.meta.url)(path);
    if (isNativeCode(module)) return { code: module };
    return { code: undefined, reason: 'it is of another version; wombatkv build-native builds it' };
  } catch (error) {
    // Made for another system or libc: the portable implementations do the work.
    return { code: undefined, reason: `it cannot be loaded: ${messageOf(error)}` };
  }
}

function isNativeCode(module: unknown): module is NativeCode {
  if (typeof module !== 'object' || module === null) return false;
  return 'interfaceVersion' in module && module.interfaceVersion === interfaceVersion;
}
