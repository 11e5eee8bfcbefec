import { StoreError } from '../base/errors.ts';
import { Call } from '../store/call.ts';
import type { DaemonService } from './daemon-service.ts';
import type { BoundAddress, OpenTransport, Transport } from './transport.ts';

/**
 * A store behind doors. It ends when it is told to, never because a client left or never came. It
 * owns the store.
 */
export class Daemon {
  readonly #service: DaemonService;
  readonly #open: readonly OpenTransport[];
  readonly #drainMs: number;
  #stopping: Promise<void> | undefined;

  private constructor(service: DaemonService, open: readonly OpenTransport[], drainMs: number) {
    this.#service = service;
    this.#open = open;
    this.#drainMs = drainMs;
  }

  /**
   * Opens every door, or none: what a transport rejects with is thrown after the others are closed.
   * The store is the caller's then. Calls that run when it is stopped get `drainMs` to end.
   */
  static async start(
    service: DaemonService,
    transports: readonly Transport[],
    drainMs: number,
  ): Promise<Daemon> {
    const open: OpenTransport[] = [];
    try {
      for (const transport of transports) open.push(await transport.open(service));
    } catch (error) {
      await Promise.all(open.map((transport) => transport.close()));
      throw error;
    }
    return new Daemon(service, open, drainMs);
  }

  get addresses(): readonly BoundAddress[] {
    return this.#open.flatMap(({ addresses }) => addresses);
  }

  /**
   * Takes no new work, lets calls end, closes the doors and the store, which gives uploads some time
   * and leaves the rest pending. A signal ends the wait for calls early. A second call waits for the
   * first.
   */
  stop(signal?: AbortSignal): Promise<void> {
    this.#stopping ??= this.#stop(signal);
    return this.#stopping;
  }

  /** Closes the doors at once and leaves the store to its fate. */
  async abandon(): Promise<void> {
    await Promise.all(this.#open.map((transport) => transport.close()));
    await this.#service.wire?.close();
  }

  async #stop(signal: AbortSignal | undefined): Promise<void> {
    const { clock, logger, store, wire } = this.#service;
    const drained = Promise.all(this.#open.map((transport) => transport.drain()));
    try {
      await Call.run(clock, { signal }, this.#drainMs, (call) => call.race(drained));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      logger.info('calls still run and are broken off', { afterMs: this.#drainMs });
    }
    await Promise.all(this.#open.map((transport) => transport.close()));
    await wire?.close();
    await store.close();
  }
}
