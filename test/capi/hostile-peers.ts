import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { concatBytes } from '../../src/base/bytes.ts';
import { crc32c } from '../../src/base/crc32c.ts';
import { encodeDataHeader, encodeFrame, frameHeaderBytes } from '../../src/protocol/frame.ts';
import { frameTypeOf } from '../../src/protocol/frame-types.ts';
import type { FrameType } from '../../src/protocol/frame-types.ts';
import {
  encodeLoaded,
  encodeLookedUp,
  encodeNumber,
  encodePayloadNotice,
} from '../../src/protocol/read-messages.ts';
import { encodeWelcome } from '../../src/protocol/session-messages.ts';
import { encodeSaved, encodeWanted } from '../../src/protocol/write-messages.ts';
import { listenLocally } from './peer-server.ts';
import type { PeerServer } from './peer-server.ts';

/** What a peer does with a call; what it returns is sent. */
export type Misbehaviour = (call: {
  readonly socket: Socket;
  readonly type: FrameType;
  readonly id: number;
}) => Uint8Array | undefined;

export interface HostilePeer {
  readonly name: string;
  /** Instead of `welcome`; undefined: `welcome`. */
  readonly greeting?: Uint8Array | 'nothing' | 'close' | undefined;
  readonly answer: Misbehaviour;
  /** What is said of it, in the refusal to open or in the answer to a call. */
  readonly said: RegExp;
}

export function frameOf(type: FrameType, id: number, body?: Uint8Array): Uint8Array {
  return concatBytes(encodeFrame(type, id, body));
}

/** A frame whose header claims so many bytes, and is otherwise right. */
function claim(type: FrameType, id: number, length: number): Uint8Array {
  const bytes = frameOf(type, id).slice(0, frameHeaderBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(12, length, true);
  view.setUint32(20, crc32c(bytes.subarray(0, 20)), true);
  return bytes;
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at] ^= 1;
  return copy;
}

export const welcome = frameOf(
  'welcome',
  0,
  encodeWelcome({
    ...{ version: 1, features: 0, bodyBytesMax: 8_388_608, dataBytesMax: 1_048_576 },
    ...{ eagerBytesMax: 131_072, callsMax: 256, connectionsMax: 16, agent: 'hostile' },
  }),
);

const notice = { tokens: 0, hasDecodedTokens: false, tier: 'memory' as const };

/** The right answer, as far as there is one: a peer spoils it. */
function answerOf(type: FrameType, id: number): Uint8Array {
  if (type === 'lookup') {
    return frameOf('looked-up', id, encodeLookedUp({ matched: 1, reason: undefined }));
  }
  if (type === 'load') return payload(id, { index: 0, length: 5, crc: 0, ...notice });
  return frameOf('wanted', id, encodeWanted({ isWanted: [true, true, true], grantBytes: 1 }));
}

function payload(id: number, value: Parameters<typeof encodePayloadNotice>[0]): Uint8Array {
  const piece = new Uint8Array(value.length > 1000 ? 10 : value.length);
  return concatBytes([
    frameOf('payload', id, encodePayloadNotice(value)),
    encodeDataHeader(id, piece.length),
    piece,
  ]);
}

/** Peers that break every rule of docs/PROTOCOL.md that a client depends on. */
export const hostilePeers: readonly HostilePeer[] = [
  {
    name: 'speaks HTTP',
    greeting: new TextEncoder().encode('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n'),
    answer: () => undefined,
    said: /its bytes begin no frame/,
  },
  {
    name: 'closes at once',
    greeting: 'close',
    answer: () => undefined,
    said: /closed the connection|ended/,
  },
  { name: 'never lets in', greeting: 'nothing', answer: () => undefined, said: /no answer/ },
  {
    name: 'is of another framing',
    greeting: (() => {
      const bytes = Uint8Array.from(welcome);
      bytes[4] = 9;
      return bytes;
    })(),
    answer: () => undefined,
    said: /framing version 9/,
  },
  {
    name: 'answers nothing',
    answer: () => undefined,
    said: /no answer from the daemon by the deadline/,
  },
  {
    name: 'closes in the middle of a frame',
    answer: ({ socket, type, id }) => {
      socket.end(answerOf(type, id).subarray(0, frameHeaderBytes + 2));
      return undefined;
    },
    said: /closed the connection/,
  },
  {
    name: 'drips a byte at a time',
    answer: ({ socket, type, id }) => {
      void drip(socket, answerOf(type, id));
      return undefined;
    },
    said: /no answer from the daemon by the deadline/,
  },
  {
    name: 'sends a header that does not hold',
    answer: ({ type, id }) => flipped(answerOf(type, id), 13),
    said: /checksum of a frame header does not hold/,
  },
  {
    name: 'sends a body that does not hold',
    answer: ({ type, id }) => flipped(answerOf(type, id), frameHeaderBytes + 1),
    said: /checksum of a message of type \d+ does not hold/,
  },
  {
    name: 'claims a message of 3 GiB',
    answer: ({ id }) => claim('looked-up', id, 3 * 1024 ** 3),
    said: /claims 3221225472 bytes; at most 65512 are accepted/,
  },
  {
    name: 'claims a piece of 3 GiB',
    answer: ({ id }) =>
      concatBytes([
        frameOf('payload', id, encodePayloadNotice({ index: 0, length: 5, crc: 0, ...notice })),
        claim('data', id, 3 * 1024 ** 3),
      ]),
    said: /claims 3221225472 bytes|not answered by/,
  },
  {
    name: 'announces a payload of 4 GiB',
    answer: ({ id }) =>
      frameOf(
        'payload',
        id,
        encodePayloadNotice({ index: 0, length: 2 ** 32 - 1, crc: 0, ...notice }),
      ),
    said: /message payload of 18 bytes is not what it should be|not answered by/,
  },
  {
    name: 'sends a payload whose checksum does not hold',
    answer: ({ id }) => payload(id, { index: 0, length: 5, crc: 12345, ...notice }),
    said: /damaged on its way|not answered by/,
  },
  {
    name: 'sends a payload that is not due',
    answer: ({ id }) => payload(id, { index: 7, length: 5, crc: 0, ...notice }),
    said: /payload 7 of a load is not expected|not answered by/,
  },
  {
    name: 'sends a piece that is too long',
    answer: ({ id }) =>
      concatBytes([
        frameOf('payload', id, encodePayloadNotice({ index: 0, length: 5, crc: 0, ...notice })),
        encodeDataHeader(id, 6),
        new Uint8Array(6),
      ]),
    said: /a piece of 6 bytes came; 5 are due|not answered by/,
  },
  {
    name: 'sends pieces of nothing',
    answer: ({ id }) =>
      concatBytes([
        frameOf('payload', id, encodePayloadNotice({ index: 0, length: 5, crc: 0, ...notice })),
        encodeDataHeader(id, 0),
      ]),
    said: /a piece of 0 bytes came|not answered by/,
  },
  {
    name: 'ends a load with another count',
    answer: ({ id }) => frameOf('loaded', id, encodeLoaded({ count: 2, reason: undefined })),
    said: /2 payloads were announced, and 0 came|not answered by/,
  },
  {
    name: 'matches more than was asked',
    answer: ({ id }) => frameOf('looked-up', id, encodeLookedUp({ matched: 9, reason: undefined })),
    said: /matched 9 of 3 keys|not answered by/,
  },
  {
    name: 'answers another call',
    answer: ({ type, id }) => answerOf(type, id + 1),
    said: /for call \d+, which there is not/,
  },
  {
    name: 'ends the connection with a reason',
    answer: () => frameOf('error', 0, concatBytes([Uint8Array.of(5, 4, 0), Buffer.from('rule')])),
    said: /invalid: rule/,
  },
  {
    name: 'wants what was not offered',
    answer: ({ id }) =>
      frameOf('wanted', id, encodeWanted({ isWanted: Array(60).fill(true), grantBytes: 9 })),
    said: /60 payloads are wanted or not; 3 were offered|not answered by/,
  },
  {
    name: 'wants, and grants nothing',
    answer: ({ type, id }) =>
      type === 'save'
        ? frameOf('wanted', id, encodeWanted({ isWanted: [true, true, true], grantBytes: 0 }))
        : undefined,
    said: /no answer from the daemon by the deadline/,
  },
  {
    name: 'grants without end',
    answer: ({ socket, type, id }) => {
      if (type === 'save') {
        void flood(socket, frameOf('grant', id, encodeNumber(0)));
        return frameOf('wanted', id, encodeWanted({ isWanted: [true, true, true], grantBytes: 0 }));
      }
      return undefined;
    },
    said: /no answer from the daemon by the deadline/,
  },
  {
    name: 'has saved before anything was sent',
    answer: ({ type, id }) =>
      type === 'save'
        ? concatBytes([
            frameOf('wanted', id, encodeWanted({ isWanted: [true, true, true], grantBytes: 0 })),
            frameOf('saved', id, encodeSaved({ saved: 3, known: 0, savedBytes: 9 })),
          ])
        : frameOf('saved', id, encodeSaved({ saved: 3, known: 0, savedBytes: 9 })),
    said: /answered before its payloads were sent|not answered by/,
  },
  {
    name: 'asks for everything again and again',
    answer: ({ id }) => frameOf('resend', id),
    said: /lost again and again/,
  },
];

/** Answers lookups, late, and never a save: it counts how many wait. */
export function busyPeer(onSave: () => void): HostilePeer {
  return {
    name: 'answers lookups alone',
    answer: ({ socket, type, id }) => {
      if (type === 'save') onSave();
      if (type === 'lookup') void sleep(200).then(() => socket.write(answerOf(type, id)));
      return undefined;
    },
    said: /ok a lookup does not wait/,
  };
}

async function drip(socket: Socket, bytes: Uint8Array): Promise<void> {
  for (const byte of bytes) {
    if (socket.destroyed) return;
    socket.write(Uint8Array.of(byte));
    await sleep(100);
  }
}

async function flood(socket: Socket, bytes: Uint8Array): Promise<void> {
  const many = concatBytes(Array.from({ length: 200 }, () => bytes));
  while (!socket.destroyed) {
    socket.write(many);
    await sleep(1);
  }
}

/** Listens as the peer; gives the address and how to end it. */
export function listenAs(peer: HostilePeer): Promise<PeerServer> {
  return listenLocally((socket) => serve(socket, peer));
}

/** Takes frames apart; what has no answer is passed over. */
function serve(socket: Socket, peer: HostilePeer): void {
  let rest = Buffer.alloc(0);
  if (peer.greeting === 'close') socket.destroy();
  socket.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= frameHeaderBytes) {
      const end = frameHeaderBytes + rest.readUInt32LE(12);
      if (rest.length < end) return;
      const [type, id] = [frameTypeOf(rest[5]), rest.readUInt32LE(8)];
      rest = rest.subarray(end);
      if (type !== undefined) reply(socket, peer, type, id);
    }
  });
}

function reply(socket: Socket, peer: HostilePeer, type: FrameType, id: number): void {
  if (type === 'hello') {
    if (peer.greeting !== 'nothing' && peer.greeting !== 'close') {
      socket.write(peer.greeting ?? welcome);
    }
    return;
  }
  if (type !== 'lookup' && type !== 'load' && type !== 'save') return;
  const answer = peer.answer({ socket, type, id });
  if (answer !== undefined) socket.write(answer);
}
