import { systemErrorCode } from '../base/errors.ts';
import {
  clientBytes,
  clientsMax,
  headerWords,
  stampBytes,
  stampsMax,
} from '../platform/shared-memory.ts';
import type { SharedFile, SharedMemory } from '../platform/shared-memory.ts';
import { sharedPaths } from './shared-layout.ts';
import { SharedNames } from './shared-names.ts';

/** An index as it is mapped. */
export interface IndexView {
  readonly index: Uint8Array<ArrayBuffer>;
  readonly header: Int32Array;
  readonly names: SharedNames;
}

export function viewOf(index: Uint8Array<ArrayBuffer>): IndexView {
  const header = new Int32Array(index.buffer, index.byteOffset, headerWords.generation + 1);
  return { index, header, names: new SharedNames(index) };
}

/** What a client of a store has open. */
export interface ReaderParts {
  readonly index: Uint8Array<ArrayBuffer>;
  readonly clientsFile: SharedFile;
  readonly clients: Uint8Array;
  readonly client: number;
  readonly stamps: Uint8Array | undefined;
}

/** The index of a store that lives. */
export function openIndex(
  files: SharedMemory,
  directory: string,
): Uint8Array<ArrayBuffer> | undefined {
  const file = files.open(sharedPaths.index(directory), 'read');
  try {
    if (!file.isLocked(0, 1)) return undefined;
    const index = file.map();
    if (files.index.isValid(index)) return index;
    files.unmap(index);
    return undefined;
  } finally {
    file.close();
  }
}

/** What a client pins at most. */
export function pinnedBytesMaxOf({ buffer, byteOffset }: Uint8Array<ArrayBuffer>): number {
  const most = new BigUint64Array(buffer, byteOffset)[headerWords.pinnedBytesMax / 2];
  return most === 0n ? Number.POSITIVE_INFINITY : Number(most);
}

/** The stamps of loans; undefined where there are none, or not all. */
export function openStamps(files: SharedMemory, directory: string): Uint8Array | undefined {
  return openWhole(files, sharedPaths.loans(directory), 'read', stampsMax * stampBytes);
}

/** A file of at least so many bytes; undefined where there is none that can be had. */
export function openWhole(
  files: SharedMemory,
  path: string,
  access: 'read' | 'read-write',
  bytesMin: number,
): Uint8Array | undefined {
  try {
    const file = files.open(path, access);
    try {
      return file.byteLength >= bytesMin ? file.map() : undefined;
    } finally {
      file.close();
    }
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return undefined;
  }
}

/** Takes a place among the clients. What was opened is closed when there is none, or it cannot be mapped. */
export function joinClients(
  files: SharedMemory,
  file: SharedFile,
): Pick<ReaderParts, 'clients' | 'client'> | undefined {
  const client = takeClient(file);
  try {
    if (client !== undefined) {
      const clients = file.map();
      files.index.beginClient(clients, client);
      return { clients, client };
    }
  } catch (error) {
    file.close();
    throw error;
  }
  file.close();
  return undefined;
}

function takeClient(file: SharedFile): number | undefined {
  if (file.byteLength < clientsMax * clientBytes) return undefined;
  for (let client = 0; client < clientsMax; client += 1) {
    if (file.lock(client * clientBytes, clientBytes)) return client;
  }
  return undefined;
}
