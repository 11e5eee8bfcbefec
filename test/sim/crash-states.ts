import { loadAndCheck } from './block-operations.ts';
import type { HistoryBucket, HistoryEvent } from './crash-history.ts';
import { historyTailTokens, historyTips, historyWorld, tailTokens } from './crash-history.ts';
import { Dice } from './dice.ts';
import type { SimWorld } from './sim-world.ts';
import type { Slot } from './slot.ts';
import type { RawTailAttempt } from './tail-oracle.ts';

/** What a crash left: the first events of a history, and what became of the next. */
export interface CrashState {
  readonly seed: number;
  readonly bucket: HistoryBucket;
  readonly events: readonly HistoryEvent[];
  /** Events that happened before the crash. */
  readonly count: number;
  /** Bytes of the write after them that happened too; absent: none. */
  readonly tornBytes?: number;
  /** The machine lost its power: unsynced writes and names are lost in part. */
  readonly isPowerLost?: boolean;
}

/** More than a history draws. */
const drawsOfHistory = 10_000;

/** The states that a crash in the middle of the history may leave. */
export function crashStatesOf(
  { seed, bucket }: Pick<CrashState, 'seed' | 'bucket'>,
  events: readonly HistoryEvent[],
): CrashState[] {
  const history = { seed, bucket, events };
  const dice = new Dice(`states/${seed}`);
  const states: CrashState[] = [];
  for (let count = 0; count <= events.length; count += 1) {
    const event = events[count];
    const isSeen = event === undefined || event.kind === 'disk' || event.kind === 'put';
    // What the caller hears changes nothing on the disk.
    if (!isSeen) continue;
    states.push({ ...history, count });
    if (event?.kind === 'disk' && event.change.kind === 'write') {
      const { length } = event.change.write.bytes;
      for (let times = 0; times < 2 && length > 1; times += 1) {
        states.push({ ...history, count, tornBytes: 1 + dice.below(length - 1) });
      }
    }
    if (count % 2 === 0) states.push({ ...history, count, isPowerLost: true });
  }
  return states;
}

/** Makes the state, opens a store on it, and checks everything; what failed, or undefined. */
export async function checkCrashState(state: CrashState): Promise<string | undefined> {
  const world = historyWorld(state.seed, state.bucket);
  try {
    await world.scheduler.run(reopen(world, state));
    world.throwIfFailed();
    return undefined;
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return `${text}\n${world.trace.lines.slice(-40).join('\n')}`;
  }
}

async function reopen(world: SimWorld, state: CrashState): Promise<void> {
  await makeState(world, state);
  // Another process draws other names than the dead one did, whose files lie there.
  for (let draw = 0; draw < drawsOfHistory; draw += 1) world.dice.fraction();
  await world.scheduler.wait(1);
  const [slot] = world.slots;
  await world.open(slot);
  await checkAll(world, slot);
  await checkRawTails(world, slot);
  await checkTails(world, slot);
  const accepted = world.oracle.acceptedBy(slot.machine.name);
  const flushed = await world.call(slot, 'flush', 66_000, (store) => store.flush());
  if (flushed.kind === 'failed') world.fail(`flush failed: ${String(flushed.error)}`);
  for (const [name, keys] of accepted) world.oracle.checkDurable(name, keys, 'a flush');
  await checkAll(world, slot);
  await world.close(slot);
}

async function makeState(world: SimWorld, state: CrashState): Promise<void> {
  const [machine] = world.machines;
  const attempts = new Map<Uint8Array, RawTailAttempt>();
  for (const event of state.events.slice(0, state.count)) await replay(world, event, attempts);
  // The calls of the dead process have ended, though nobody heard how.
  for (const attempt of attempts.values()) attempt.over();
  const torn = state.events[state.count];
  if (state.tornBytes !== undefined && torn?.kind === 'disk' && torn.change.kind === 'write') {
    const bytes = torn.change.write.bytes.subarray(0, state.tornBytes);
    machine.disk.apply({ ...torn.change, write: { ...torn.change.write, bytes } });
  }
  if (state.isPowerLost === true) world.losePower(machine);
}

async function checkRawTails(world: SimWorld, slot: Slot): Promise<void> {
  const [namespace] = world.namespaces;
  for (const tip of [0, 1].map((index) => world.payloads.key(`raw/${index}`))) {
    const check = world.oracle.rawTails.watch({ namespace, tip });
    const outcome = await world.call(slot, 'load raw tail', 20_000, (store) =>
      store.loadRawTail(tip),
    );
    if (outcome.kind !== 'answer') continue;
    check(outcome.value?.payload, slot.machine.name);
    outcome.value?.release();
  }
}

/** The longest bound tail that was accepted is there, and no other bytes. */
async function checkTails(world: SimWorld, slot: Slot): Promise<void> {
  const [namespace] = world.namespaces;
  const tokens = tailTokens(historyTailTokens);
  for (const tip of historyTips.map((index) => world.payloads.key(`tail/${index}`))) {
    const { oracle } = world;
    const least = oracle.tails.longest({ namespace, tip }, tokens, [slot.machine.name]);
    const outcome = await world.call(slot, 'load tail', 20_000, (store) =>
      store.loadTail({ tip, tokens }),
    );
    if (outcome.kind === 'failed') world.fail(`load tail failed: ${String(outcome.error)}`);
    if (outcome.kind !== 'answer') continue;
    const found = outcome.value?.tokens ?? 0;
    if (found < least) world.fail(`a tail of ${found} tokens is there, ${least} were accepted`);
    const { value } = outcome;
    if (value === undefined) continue;
    oracle.tails.check({ namespace, tip }, tokens.slice(0, found), value.payload);
    value.release();
  }
}

/** Loads every block that was ever offered: whole saves or what is known of them. */
async function checkAll(world: SimWorld, slot: Slot): Promise<void> {
  for (const [namespace, keys] of world.oracle.offeredBlocks()) {
    for (const key of keys) await loadAndCheck(world, slot, { namespace, keys: [key] }, false);
  }
}

async function replay(
  world: SimWorld,
  event: HistoryEvent,
  attempts: Map<Uint8Array, RawTailAttempt>,
): Promise<void> {
  const [machine] = world.machines;
  const [namespace] = world.namespaces;
  const { oracle } = world;
  switch (event.kind) {
    case 'disk':
      return machine.disk.apply(event.change);
    case 'put':
      await world.bucket?.put(event.key, [event.bytes]);
      return;
    case 'offer':
      oracle.offer(namespace, event.key, event.payload);
      return;
    case 'accept':
      return oracle.accept(namespace, event.keys, [machine.name]);
    case 'raw-begin': {
      const attempt = oracle.rawTails.begin(
        { namespace, tip: event.key },
        event.payload,
        machine.name,
      );
      attempts.set(event.payload, attempt);
      return;
    }
    case 'raw-accept': {
      const attempt = attempts.get(event.payload);
      attempt?.accepted();
      return attempt?.over();
    }
    case 'tail-offer':
      return oracle.tails.offer({ namespace, tip: event.key }, event.tokens, event.payload);
    case 'tail-accept':
      return oracle.tails.accept({ namespace, tip: event.key }, event.tokens, [machine.name]);
    default:
      return event satisfies never;
  }
}
