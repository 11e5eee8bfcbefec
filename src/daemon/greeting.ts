import { blake3Hex } from '../base/blake3.ts';
import { StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { FrameHeader } from '../protocol/frame.ts';
import { commonVersion, decodeHello, encodeWelcome } from '../protocol/session-messages.ts';
import type { ClientAccount } from './client-accounts.ts';
import type { DaemonService } from './daemon-service.ts';
import type { FrameSink } from './served-call.ts';

const encoder = new TextEncoder();

/**
 * Answers the first frame of a connection with `welcome`.
 *
 * @throws StoreError when the client is not let in; the connection ends with it.
 */
export function greet(
  header: FrameHeader,
  body: Uint8Array,
  door: {
    readonly service: DaemonService;
    readonly token: string | undefined;
    readonly sink: FrameSink;
  },
): { readonly id: string; readonly account: ClientAccount } {
  if (header.type !== 'hello' || header.id !== 0) {
    throw new StoreError('INVALID', `a connection begins with hello; got ${header.type}`);
  }
  const hello = decodeHello(body);
  const version = commonVersion(hello);
  if (door.token !== undefined && !isSameSecret(hello.token, door.token)) {
    throw new StoreError('INVALID', 'the token is not the one of this daemon');
  }
  const { accounts, agent } = door.service;
  const account = accounts.join(hello.clientId);
  const welcome = encodeWelcome({
    version,
    features: 0,
    bodyBytesMax: limits.messageBytesMax,
    dataBytesMax: limits.pieceBytesMax,
    eagerBytesMax: limits.eagerBytesMax,
    callsMax: limits.callsPerClientMax,
    connectionsMax: limits.connectionsPerClientMax,
    agent,
  });
  door.sink.send('welcome', 0, welcome);
  return { id: hello.clientId, account };
}

/** Compares digests, so that the time tells nothing of where two secrets differ. */
export function isSameSecret(one: string, other: string): boolean {
  const digests = [one, other].map((secret) => encoder.encode(blake3Hex(encoder.encode(secret))));
  let difference = 0;
  for (let at = 0; at < digests[0].length; at += 1) difference |= digests[0][at] ^ digests[1][at];
  return difference === 0;
}
