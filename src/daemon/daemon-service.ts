import type { Logger } from '../base/logger.ts';
import type { ServedStore } from '../blocks/served-store.ts';
import type { Checksums } from '../platform/checksums.ts';
import type { Clock } from '../platform/clock.ts';
import type { PayloadMemory } from '../platform/payload-memory.ts';
import type { Sockets } from '../platform/sockets.ts';
import type { WireDoor } from '../wire/wire-link.ts';
import type { ClientAccounts } from './client-accounts.ts';
import type { DaemonCounters } from './daemon-counters.ts';

/** What every transport serves. */
export interface DaemonService {
  readonly store: ServedStore;
  readonly clock: Clock;
  readonly sockets: Sockets;
  /** Where memory for what comes in is taken; counted (`countedMemory`). */
  readonly memory: PayloadMemory;
  readonly logger: Logger;
  /** Where payloads that come in are checked; on this thread when absent. */
  readonly checksums?: Checksums | undefined;
  /** Compression of payloads that come and go over a network; none when absent. The daemon closes it. */
  readonly wire?: WireDoor | undefined;
  /** Limits of clients, over all transports. */
  readonly accounts: ClientAccounts;
  readonly counters: DaemonCounters;
  /** Name and version of this program. */
  readonly agent: string;
  /** Whether a save that says nothing of it waits until it is durable; undefined: that is decided elsewhere. */
  readonly putDurable?: boolean | undefined;
}
