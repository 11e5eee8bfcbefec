import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { Borrow, BlockToSave, SaveOptions, SaveResult } from '../../src/blocks/kv-store.ts';
import type { Namespace } from '../../src/blocks/namespace.ts';
import { allowErrors } from './allowed-errors.ts';
import type { Dice } from './dice.ts';
import type { SimWorld } from './sim-world.ts';
import type { Outcome, Slot } from './slot.ts';

/** Time for a save or a load beyond its deadline: a write to the log is not interrupted. */
export const callLimitMs = 16_000;

/** Blocks of one chain in one namespace. */
interface Part {
  readonly namespace: Namespace;
  readonly keys: readonly BlockKey[];
  readonly parent: BlockKey | undefined;
  readonly payloadBytesMax: number;
}

/** Chains that everybody uses: two with a common beginning, and one longer than a list. */
export function commonChain(world: SimWorld, dice: Dice): Omit<Part, 'namespace' | 'parent'> {
  const { payloads, profile } = world;
  const { payloadBytesMax } = profile;
  const roll = dice.below(30);
  if (roll === 0) return { keys: payloads.chain('long', 150), payloadBytesMax: 200 };
  if (roll < 16) return { keys: payloads.chain('a', 24), payloadBytesMax };
  return { keys: [...payloads.chain('a', 6), ...payloads.chain('b', 18)], payloadBytesMax };
}

function pickPart(world: SimWorld, dice: Dice): Part {
  const namespace = dice.pick(world.namespaces);
  const { keys, payloadBytesMax } = commonChain(world, dice);
  const isLong = keys.length > 100;
  const start = dice.chance(0.7) ? 0 : dice.below(keys.length);
  const count = isLong && dice.chance(0.5) ? keys.length : dice.between(1, 6);
  const parent = start === 0 ? undefined : keys[start - 1];
  return { namespace, keys: keys.slice(start, start + count), parent, payloadBytesMax };
}

/** Blocks to save, with bytes of the machine's own choice. */
export function blocksOf(world: SimWorld, part: Part, variant: string, dice: Dice): BlockToSave[] {
  return part.keys.map((key) => {
    const length = dice.pick([0, 1, dice.below(200), dice.below(part.payloadBytesMax)]);
    const payload = world.payloads.bytes(`${part.namespace}/${key}/${variant}/${length}`, length);
    if (world.oracle.offer(part.namespace, key, payload))
      world.counts.add('two writers of one key');
    return { key, payload: payload.slice(), tokens: 128 };
  });
}

export async function save(world: SimWorld, slot: Slot, dice: Dice): Promise<void> {
  const part = pickPart(world, dice);
  const { namespace, keys, parent } = part;
  const blocks = blocksOf(world, part, slot.machine.name, dice);
  const durable = dice.chance(0.25);
  await saveBlocks(world, slot, { blocks, keys, options: { namespace, parent, durable } }, dice);
}

interface Save {
  readonly blocks: readonly BlockToSave[];
  readonly keys: readonly BlockKey[];
  readonly options: SaveOptions & { readonly namespace: Namespace };
}

/** Saves, tells the oracle what was accepted, and gives the result when there is one. */
export async function saveBlocks(
  world: SimWorld,
  slot: Slot,
  { blocks, keys, options }: Save,
  dice: Dice,
): Promise<SaveResult | undefined> {
  const names = world.namesOf(slot);
  const { signal, isCut } = cutShort(world, dice);
  const { durable, namespace } = options;
  const what = `save ${keys.length} ${keys[0].slice(0, 8)} ${durable === true ? 'durable' : ''}`;
  const { process, store: asked } = slot;
  const outcome = await world.call(slot, what, callLimitMs, (store) => {
    const saving = store.save(blocks, { ...options, signal });
    return process === undefined ? saving : process.during('save', saving);
  });
  // The caller's memory is its own again.
  if (outcome.kind !== 'died') for (const { payload } of blocks) payload.fill(0xee);
  if (outcome.kind === 'answer') {
    const { saved, known } = outcome.value;
    if (saved + known !== blocks.length) world.fail(`${what}: ${saved} saved, ${known} known`);
    world.oracle.accept(namespace, keys, names);
    if (durable === true)
      world.oracle.checkDurable(namespace, keys, `a durable save of ${names[0]}`);
    return outcome.value;
  }
  const codes = ['BUSY', 'TOO_LARGE', 'CORRUPT'] as const;
  const isClosing = slot.store !== asked;
  allowErrors(world, what, outcome, { isCut, isClosing, mayMissBucket: durable === true, codes });
  return undefined;
}

/** A signal that fires soon, for a few calls. */
function cutShort(
  world: SimWorld,
  dice: Dice,
): { readonly signal: AbortSignal | undefined; readonly isCut: boolean } {
  if (!dice.chance(0.06)) return { signal: undefined, isCut: false };
  const controller = new AbortController();
  world.scheduler.after(dice.fraction() * 8, () => controller.abort());
  world.counts.add('call aborted');
  return { signal: controller.signal, isCut: true };
}

/**
 * Saves a chain that the world has not seen, often by two calls at once, while others look it up:
 * they see all of it or nothing, and it is stored once.
 */
export async function saveFresh(
  world: SimWorld,
  slot: Slot,
  dice: Dice,
  name: string,
): Promise<void> {
  const namespace = dice.pick(world.namespaces);
  const count = dice.chance(0.06) ? dice.between(64, 70) : dice.between(2, 7);
  const keys = world.payloads.chain(name, count);
  const payloadBytesMax = count > 60 ? 100 : world.profile.payloadBytesMax;
  const part = { namespace, keys, parent: undefined, payloadBytesMax };
  world.oracle.expectWhole(namespace, keys, slot.machine.name);
  const { process } = slot;
  const saveOnce = async (variant: string): Promise<SaveResult | undefined> => {
    const blocks = blocksOf(world, part, variant, dice);
    const options = { namespace, durable: dice.chance(0.3) };
    return saveBlocks(world, slot, { blocks, keys, options }, dice);
  };
  const look = async (): Promise<void> => {
    await world.scheduler.wait(dice.fraction() * 4);
    if (slot.process !== process) return;
    const outcome = await world.call(slot, 'lookup of a fresh save', callLimitMs, (store) =>
      store.lookup(keys, { namespace }),
    );
    if (outcome.kind !== 'answer' || world.profile.objectStoreBytesMax !== false) return;
    const { matched } = outcome.value;
    // Somebody may have damaged the log in the meantime.
    if (!world.oracle.isExpectedWhole(namespace, keys)) return;
    if (matched !== 0 && matched !== count) world.fail(`${matched} of ${count} fresh blocks show`);
  };
  const twins = dice.chance(0.5) ? ['one', 'two'] : ['one'];
  const looks = Array.from({ length: 3 }, look);
  const results = await Promise.all(twins.map(saveOnce));
  await Promise.all(looks);
  if (results.includes(undefined) || slot.process !== process) return;
  const saved = results.reduce((sum, result) => sum + (result?.saved ?? 0), 0);
  const mayMiss = world.profile.objectStoreBytesMax !== false || world.profile.disk.read > 0;
  if (saved !== count && !mayMiss) world.fail(`${saved} of ${count} fresh blocks count as new`);
  await loadAndCheck(world, slot, { namespace, keys });
}

interface Query {
  readonly namespace: Namespace;
  readonly keys: readonly BlockKey[];
}

function pickQuery(world: SimWorld, dice: Dice): Query {
  const { keys } = commonChain(world, dice);
  const start = dice.chance(0.8) ? 0 : dice.below(keys.length);
  const count = dice.pick([keys.length, dice.between(1, keys.length)]);
  return { namespace: dice.pick(world.namespaces), keys: keys.slice(start, start + count) };
}

export async function load(world: SimWorld, slot: Slot, dice: Dice): Promise<void> {
  await loadAndCheck(world, slot, pickQuery(world, dice), dice.chance(0.5));
}

/** Loads, checks bytes and reason, and that the next lookup has learnt what was missing. */
export async function loadAndCheck(
  world: SimWorld,
  slot: Slot,
  query: Query,
  asksAgain = true,
): Promise<Outcome<Borrow>> {
  const { namespace, keys } = query;
  const asker = world.asker(slot);
  const what = `load ${keys.length} ${keys[0].slice(0, 8)}`;
  const outcome = await world.call(slot, what, callLimitMs, (store) =>
    store.load(keys, { namespace }),
  );
  if (outcome.kind !== 'answer') {
    allowErrors(world, what, outcome, { isCut: false, mayMissBucket: false, codes: [] });
    return outcome;
  }
  const { blocks, reason } = outcome.value;
  blocks.forEach(({ key, payload }, index) => {
    if (key !== keys[index]) world.fail(`${what}: block ${index} is another one`);
    world.oracle.checkBlock(namespace, key, payload);
  });
  outcome.value.release();
  if ((reason === undefined) !== (blocks.length === keys.length)) {
    world.fail(`${what}: ${blocks.length} blocks and reason ${reason}`);
  }
  if (reason === undefined) return outcome;
  const missing = keys[blocks.length];
  world.oracle.checkMiss(namespace, missing, reason, asker);
  if (reason === 'unknown' && asksAgain)
    await lookAgain(world, slot, query, { missing: blocks.length, sinceMs: asker.startedMs });
  return outcome;
}

/** What a load found missing the next lookup does not promise. */
async function lookAgain(
  world: SimWorld,
  slot: Slot,
  { namespace, keys }: Query,
  { missing, sinceMs }: { readonly missing: number; readonly sinceMs: number },
): Promise<void> {
  const outcome = await world.call(slot, 'lookup after a miss', callLimitMs, (store) =>
    store.lookup(keys, { namespace }),
  );
  if (outcome.kind !== 'answer' || outcome.value.matched <= missing) return;
  if (world.oracle.mayBeStored(namespace, keys[missing], sinceMs)) return;
  world.fail(`lookup counts ${outcome.value.matched} blocks, load found none at ${missing}`);
}

/** Borrows, lets others push the blocks out, and looks whether the bytes stayed. */
export async function holdBorrow(world: SimWorld, slot: Slot, dice: Dice): Promise<void> {
  const { namespace, keys } = pickQuery(world, dice);
  const outcome = await world.call(slot, 'load to hold', callLimitMs, (store) =>
    store.load(keys, { namespace }),
  );
  if (outcome.kind !== 'answer') return;
  world.counts.add('borrow held over evictions');
  await world.scheduler.wait(dice.fraction() * 3000);
  for (const { key, payload } of outcome.value.blocks) {
    world.oracle.checkBlock(namespace, key, payload);
  }
  outcome.value.release();
}

export async function lookup(world: SimWorld, slot: Slot, dice: Dice): Promise<void> {
  const { namespace, keys } = pickQuery(world, dice);
  const asker = world.asker(slot);
  const what = `lookup ${keys.length} ${keys[0].slice(0, 8)}`;
  const outcome = await world.call(slot, what, 1000, (store) => store.lookup(keys, { namespace }));
  if (outcome.kind !== 'answer') {
    allowErrors(world, what, outcome, { isCut: false, mayMissBucket: false, codes: [] });
    return;
  }
  const { matched, reason } = outcome.value;
  if ((reason === undefined) !== (matched === keys.length)) {
    world.fail(`${what}: ${matched} matched and reason ${reason}`);
  }
  if (reason !== undefined) world.oracle.checkMiss(namespace, keys[matched], reason, asker);
}

export async function contains(world: SimWorld, slot: Slot, dice: Dice): Promise<void> {
  const { namespace, keys } = pickQuery(world, dice);
  const asker = world.asker(slot);
  const some = keys.slice(0, 8);
  const outcome = await world.call(slot, 'contains', callLimitMs, (store) =>
    store.contains(some, { namespace }),
  );
  if (outcome.kind !== 'answer') {
    allowErrors(world, 'contains', outcome, { isCut: false, mayMissBucket: false, codes: [] });
    return;
  }
  // What the bucket does not tell, or not before the store closed, counts as absent.
  const isTold =
    world.isNetworkCalm && slot.store !== undefined && slot.process?.name === asker.process;
  const reason = isTold ? 'unknown' : 'unavailable';
  some.forEach((key, index) => {
    if (!outcome.value[index]) world.oracle.checkMiss(namespace, key, reason, asker);
  });
}

export async function flush(world: SimWorld, slot: Slot): Promise<void> {
  const accepted = world.oracle.acceptedBy(slot.process?.name ?? '');
  const outcome = await world.call(slot, 'flush', 66_000, (store) => store.flush());
  if (outcome.kind !== 'answer') {
    const codes = ['CORRUPT'] as const;
    allowErrors(world, 'flush', outcome, { isCut: false, mayMissBucket: true, codes });
    return;
  }
  for (const [namespace, keys] of accepted) world.oracle.checkDurable(namespace, keys, 'a flush');
}
