import { setTimeout as sleep } from 'node:timers/promises';
import type { CClient } from '../one-host/c-client.ts';
import type { Samples } from '../one-host/samples.ts';
import { sides } from './peer-places.ts';
import type { Side } from './peer-places.ts';

export const batchBlocks = 40;
export const batchBlockBytes = 1024 * 1024;
/** The raw tail of the engine that the Rust version was made for. */
export const tailBytes = 23_478_560;

export type Mode = 'embedded' | 'shm' | 'tcp' | 'http';

/** How often each thing is done in a mode. A daemon of the Rust version takes 0.2 s for each block of a put. */
export interface Plan {
  /** Rounds of all that is not said below, after one that does not count. */
  readonly rounds: number;
  /** Rounds, the first ones, in which new blocks and tails are put; and the same blocks again. */
  readonly puts: number;
  readonly putsAgain: number;
  /** Calls in a round of the Rust side: lookups, gets of the batch, puts and gets of 4 KiB. */
  readonly rust: Calls;
}

interface Calls {
  readonly lookups: number;
  readonly gets: number;
  readonly smallPuts: number;
  readonly smallGets: number;
}

const ownCalls: Calls = { lookups: 2000, gets: 50, smallPuts: 1000, smallGets: 20_000 };
/** Each ends with an answer of the object store. */
const durableCalls: Calls = { ...ownCalls, smallPuts: 50 };
/** Until what a side does after its answers is over: neither is measured while the other works. */
const restMs = 200;

/** Names of blocks that nobody has used. */
export class Seeds {
  #last = 0;

  next(): number {
    this.#last += 1;
    return this.#last;
  }
}

export type Clients = Readonly<Record<Side, CClient>>;

/**
 * A client of each side, in turns; samples are kept as `MODE SIDE WHAT`, in nanoseconds of a call. Gives the seeds of the
 * blocks that each side has put last.
 */
export async function measureMode(
  mode: Mode,
  clients: Clients,
  plan: Plan,
  { samples, seeds }: { readonly samples: Samples; readonly seeds: Seeds },
): Promise<Readonly<Record<Side, number>>> {
  const last: Record<Side, number> = { rust: 0, own: 0, durable: 0 };
  for (let round = 0; round <= plan.rounds; round += 1) {
    // Who begins is another one in each round.
    for (let turn = 0; turn < sides.length; turn += 1) {
      const side = sides[(round + turn) % sides.length];
      const client = clients[side];
      const keep = (what: string, value: number): void =>
        samples.keep(`${mode} ${side} ${what}`, value);
      if (round <= plan.puts) {
        last[side] = seeds.next();
        const isAgain = round <= plan.putsAgain;
        await measurePuts(client, { seed: last[side], isCounted: round > 0, isAgain }, keep);
      }
      const calls = { rust: plan.rust, own: ownCalls, durable: durableCalls }[side];
      const keepCounted = round > 0 ? keep : (): void => undefined;
      await measureRest(client, calls, seeds, keepCounted);
      if (round <= plan.puts) await measureTail(client, seeds, keepCounted);
    }
  }
  return last;
}

async function measurePuts(
  client: CClient,
  { seed, isCounted, isAgain }: { seed: number; isCounted: boolean; isAgain: boolean },
  keep: Samples['keep'],
): Promise<void> {
  await client.order(`name ${seed}`);
  const [put] = await client.order('put 1');
  await rest(client);
  if (isCounted) keep('put', put);
  if (!isCounted || !isAgain) return;
  keep('again', (await client.order('put 1'))[0]);
  await rest(client);
}

async function measureRest(
  client: CClient,
  calls: Calls,
  seeds: Seeds,
  keep: Samples['keep'],
): Promise<void> {
  await client.order('verify');
  await client.order('get 2');
  keep('copy', (await client.order('copy 5'))[0]);
  keep('lookup', (await client.order(`lookup ${calls.lookups}`))[0]);
  keep('get', (await client.order(`get ${calls.gets}`))[0]);
  keep('out', (await client.order('out 3'))[0]);
  keep('small put', (await client.order(`small-put ${calls.smallPuts} ${seeds.next()}`))[0]);
  await rest(client);
  keep('small get', (await client.order(`small-get ${calls.smallGets}`))[0]);
}

async function measureTail(client: CClient, seeds: Seeds, keep: Samples['keep']): Promise<void> {
  keep('tail', (await client.order(`tail ${tailBytes} ${seeds.next()}`))[0]);
  await rest(client);
}

/** Nothing of the side is under way after it. */
async function rest(client: CClient): Promise<void> {
  await client.order('settle');
  await sleep(restMs);
}
