import { StoreError, storeErrorCodes } from '../base/errors.ts';
import type { StoreErrorCode } from '../base/errors.ts';
import { hexFromBytes } from '../base/hex.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';

/** The version of the messages that this one speaks: the newest and the oldest. */
export const protocolVersions = { newest: 1, oldest: 1 } as const;

/**
 * Bits of features. `lending`: payloads of a save may be put into memory that the daemon lends (`lent`).
 * `accepting`: a save that says nothing of it is answered when it is accepted, not when it is durable.
 * `ringing`: saves may be left in a ring (`open-ring`). `compressing`: payloads may come compressed where a call
 * says so. `borrowing`: of payloads that lie in shared memory no more may come than that they do (`resident`).
 * `borrowing-tails`: the same of tails (`resident-tail`).
 */
export const features = {
  lending: 1,
  accepting: 2,
  ringing: 4,
  compressing: 8,
  borrowing: 16,
  borrowingTails: 32,
} as const;

/** The first message of a client on every connection. */
export interface Hello {
  readonly versionOldest: number;
  readonly versionNewest: number;
  /** Bits of {@link features} that the client knows. */
  readonly features: number;
  /** 16 random bytes in hex: connections with the same ones are one client's. */
  readonly clientId: string;
  /** Empty: none. */
  readonly token: string;
  /** Name and version of the program, for people. */
  readonly agent: string;
}

/** The daemon's answer. */
export interface Welcome {
  /** The newest version that both speak. */
  readonly version: number;
  /** The features that both know. */
  readonly features: number;
  /** The longest body of a message, and of a piece of a payload. */
  readonly bodyBytesMax: number;
  readonly dataBytesMax: number;
  /** Payload bytes of a save that may follow it unasked. */
  readonly eagerBytesMax: number;
  /** Calls that a client may have under way, and connections. */
  readonly callsMax: number;
  readonly connectionsMax: number;
  readonly agent: string;
}

/** A call, or the connection, has failed. */
export interface Failure {
  readonly code: StoreErrorCode;
  readonly message: string;
}

const clientIdBytes = 16;

export function encodeHello(hello: Hello): Uint8Array {
  const writer = new ByteWriter().u16(hello.versionOldest).u16(hello.versionNewest);
  writer.u32(hello.features);
  for (let at = 0; at < clientIdBytes; at += 1) {
    writer.u8(Number.parseInt(hello.clientId.slice(2 * at, 2 * at + 2), 16));
  }
  return writer.text(hello.token).text(hello.agent).finish();
}

export function decodeHello(body: Uint8Array): Hello {
  const reader = new ByteReader(body, 'hello');
  const versionOldest = reader.u16();
  const versionNewest = reader.u16();
  const features = reader.u32();
  const clientId = hexFromBytes(reader.bytes(clientIdBytes));
  const token = reader.text();
  const agent = reader.text();
  // A newer client may say more.
  return { versionOldest, versionNewest, features, clientId, token, agent };
}

export function encodeWelcome(welcome: Welcome): Uint8Array {
  const { bodyBytesMax, dataBytesMax, eagerBytesMax, callsMax, connectionsMax } = welcome;
  const writer = new ByteWriter().u16(welcome.version).u32(welcome.features);
  for (const most of [bodyBytesMax, dataBytesMax, eagerBytesMax, callsMax, connectionsMax]) {
    writer.u32(most);
  }
  return writer.text(welcome.agent).finish();
}

export function decodeWelcome(body: Uint8Array): Welcome {
  const reader = new ByteReader(body, 'welcome');
  // The fields stand in this order.
  return {
    version: reader.u16(),
    features: reader.u32(),
    bodyBytesMax: reader.u32(),
    dataBytesMax: reader.u32(),
    eagerBytesMax: reader.u32(),
    callsMax: reader.u32(),
    connectionsMax: reader.u32(),
    agent: reader.text(),
  };
}

/** A ring in the daemon's shared memory that is this client's. */
export interface RingOffer {
  /** The number in the name of its file; 0: there is none. */
  readonly number: number;
  /** Of the file. */
  readonly byteLength: number;
}

export function encodeRing({ number, byteLength }: RingOffer): Uint8Array {
  return new ByteWriter().u32(number).u32(byteLength).finish();
}

export function decodeRing(body: Uint8Array): RingOffer {
  const reader = new ByteReader(body, 'ring');
  const offer = { number: reader.u32(), byteLength: reader.u32() };
  reader.end();
  return offer;
}

/** Characters of an error's message that travel. */
const messageLengthMax = 2000;

export function encodeFailure({ code, message }: Failure): Uint8Array {
  const writer = new ByteWriter().u8(storeErrorCodes.indexOf(code));
  return writer.text(message.slice(0, messageLengthMax)).finish();
}

export function decodeFailure(body: Uint8Array): StoreError {
  const reader = new ByteReader(body, 'error');
  const code = reader.word(storeErrorCodes);
  const message = reader.text();
  reader.end();
  return new StoreError(code, message);
}

/**
 * The version that both sides speak.
 *
 * @throws StoreError `INCOMPATIBLE` when there is none.
 */
export function commonVersion(hello: Pick<Hello, 'versionOldest' | 'versionNewest'>): number {
  const newest = Math.min(hello.versionNewest, protocolVersions.newest);
  const oldest = Math.max(hello.versionOldest, protocolVersions.oldest);
  if (newest >= oldest) return newest;
  throw new StoreError(
    'INCOMPATIBLE',
    `the client speaks versions ${hello.versionOldest} to ${hello.versionNewest} of the protocol ` +
      `and the daemon ${protocolVersions.oldest} to ${protocolVersions.newest}`,
  );
}
