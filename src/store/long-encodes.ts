import { BufferPool } from '../base/buffer-pool.ts';
import { isMemoryRefusal } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { Zstd } from '../format/zstd.ts';
import type { TransferredResult } from '../platform/worker-pool.ts';
import { encodeNow } from './encode-now.ts';
import type { EncodedPayload, EncodeTask } from './encode-now.ts';

/** A task with memory for what is stored, which moves to the worker with it. */
export interface LongEncodeTask extends EncodeTask {
  readonly target: Uint8Array<ArrayBuffer> | undefined;
}

/** What a worker makes of it; the memory comes back, with what is stored at its beginning or not. */
export interface LongEncoded extends Omit<EncodedPayload, 'release'> {
  readonly target: Uint8Array<ArrayBuffer> | undefined;
}

/**
 * Has long payloads encoded into memory that is used again (docs/decisions/0117). Fresh memory costs its first touch, and
 * the garbage collector counts it: it ran every few blocks.
 */
export class LongEncodes {
  readonly #inWorker: (task: LongEncodeTask) => Promise<LongEncoded>;
  #targets = emptyPool();

  /** `inWorker` brings the task to {@link encodeLong} in a worker. */
  constructor(inWorker: (task: LongEncodeTask) => Promise<LongEncoded>) {
    this.#inWorker = inWorker;
  }

  /** Rejects as `Transcoder.encode`. Memory that a worker had when it died is lost. */
  async encode(task: EncodeTask): Promise<EncodedPayload> {
    const { length } = task.payload;
    const targets = this.#targets;
    const isPlaced = task.compress && length <= limits.encodedInPlaceBytesMax;
    const given = isPlaced ? takenFrom(targets, length) : undefined;
    const { target, ...encoded } = await this.#inWorker({ ...task, target: given });
    if (target === undefined) return encoded;
    if (encoded.stored?.buffer !== target.buffer) {
      targets.give(target);
      return encoded;
    }
    let isOurs = false;
    const release = (): void => {
      if (!isOurs) targets.give(target);
      isOurs = true;
    };
    return { ...encoded, release };
  }

  /** Keeps nothing for later, and nothing of what comes back later. */
  rest(): void {
    this.#targets = emptyPool();
  }
}

/** Undefined where the system has no memory for it: then it is as with any other payload. */
function takenFrom(
  targets: BufferPool<Uint8Array<ArrayBuffer>>,
  length: number,
): Uint8Array<ArrayBuffer> | undefined {
  try {
    return targets.take(length);
  } catch (error) {
    if (isMemoryRefusal(error)) return undefined;
    throw error;
  }
}

function emptyPool(): BufferPool<Uint8Array<ArrayBuffer>> {
  return new BufferPool(limits.encodedKeptBytes, (length) => new Uint8Array(length));
}

/** The half that runs in a worker. */
export function encodeLong(task: LongEncodeTask, zstd: () => Zstd): TransferredResult<LongEncoded> {
  const { target } = task;
  const encoded = encodeNow(task, zstd, target);
  const moved = new Set<ArrayBuffer>();
  if (target !== undefined) moved.add(target.buffer);
  const memory = encoded.stored?.buffer;
  if (memory instanceof ArrayBuffer) moved.add(memory);
  return { result: { ...encoded, target }, transfer: [...moved] };
}
