import { Socket } from 'node:net';
import { deferred } from '../base/deferred.ts';
import { messageOf, StoreError } from '../base/errors.ts';

/** Pause between two looks whether the process that started this one is still its parent. */
const parentLookMs = 1000;

/**
 * The process that started this one for itself alone, at the other end of an inherited socket. It is
 * gone when the socket ends or when it is not the parent any more: a process that was forked from it
 * may keep its end of the socket open.
 */
export class OwningProcess {
  /** Settles when it has gone, or wants nothing more of this process. Never rejects. */
  readonly gone: Promise<void>;
  readonly #socket: Socket;
  readonly #parentId = process.ppid;
  readonly #look: NodeJS.Timeout;
  #isGone = false;

  private constructor(socket: Socket) {
    const gone = deferred<void>();
    this.gone = gone.promise;
    const end = (): void => {
      this.#isGone = true;
      clearInterval(this.#look);
      gone.resolve();
    };
    this.#socket = socket;
    this.#look = setInterval(() => this.hasGone && end(), parentLookMs).unref();
    // An error of the socket is its end as well, which is told by `close`.
    socket.on('error', () => undefined).once('end', end);
    socket.once('close', end).resume();
  }

  /**
   * The owner at the other end of the socket that it passed on under that descriptor.
   *
   * @throws StoreError `INVALID` when there is no such socket.
   */
  static inherited(descriptor: number): OwningProcess {
    try {
      const socket = new Socket({ fd: descriptor, readable: true, writable: true });
      return new OwningProcess(socket);
    } catch (cause) {
      const message = `descriptor ${descriptor} is no socket of an owner: ${messageOf(cause)}`;
      throw new StoreError('INVALID', message, { cause });
    }
  }

  /** What is known at this moment, also when the event of its end has not come yet. */
  get hasGone(): boolean {
    return this.#isGone || process.ppid !== this.#parentId;
  }

  /** Sends it a line. That it has gone meanwhile is told by {@link gone}. */
  tell(line: string): void {
    if (!this.#socket.destroyed) this.#socket.write(`${line}\n`);
  }

  /** Closes this end when all lines are sent: it learns that nothing more is to be had from here. */
  leave(): void {
    clearInterval(this.#look);
    this.#socket.end(() => this.#socket.destroy());
  }
}
