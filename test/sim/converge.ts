import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { Borrow } from '../../src/blocks/kv-store.ts';
import type { Namespace } from '../../src/blocks/namespace.ts';
import { cacheDirectory } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';
import type { Outcome, Slot } from './slot.ts';

type LoadBlocks = (
  slot: Slot,
  query: { readonly namespace: Namespace; readonly keys: readonly BlockKey[] },
) => Promise<Outcome<Borrow>>;

/** Longer than any wait between attempts, and than any answer is on its way. */
const settleMs = 130_000;

/** A load gives blocks up to the first that is missing: any of those that must be there will do. */
const blocksPerLoad = 32;

/**
 * All faults end. Then every machine uploads what any of its processes ever accepted, a machine that
 * has nothing of its own reads all of it from the bucket, and every store gives back what it holds.
 */
export async function converge(world: SimWorld, load: LoadBlocks): Promise<void> {
  world.calm();
  world.trace.add('plan', 'all faults end');
  for (const slot of world.slots) await world.open(slot);
  await world.scheduler.wait(settleMs);
  for (const slot of world.slots) await world.close(slot);
  world.throwIfFailed();
  // One process for each machine: it adopts what others of it left.
  const heirs = world.machines.flatMap((machine) => {
    return world.slots.find((slot) => slot.machine === machine) ?? [];
  });
  for (const heir of heirs) await uploadAll(world, heir);
  world.throwIfFailed();
  if (world.bucket !== undefined) await readAll(world, heirs, load);
  for (const heir of heirs) await world.close(heir);
  world.throwIfFailed();
}

async function uploadAll(world: SimWorld, heir: Slot): Promise<void> {
  await world.open(heir);
  await world.scheduler.wait(settleMs);
  const flushed = await world.call(heir, 'last flush', 66_000, (store) => store.flush());
  if (flushed.kind === 'failed' && !world.mayLosePending) {
    world.fail(`the last flush failed: ${String(flushed.error)}`);
  }
  const stats = await world.call(heir, 'last stats', 1000, (store) => store.stats());
  if (stats.kind === 'answer' && stats.value.pending > 0) {
    world.fail(`${stats.value.pending} payloads are pending for ever`);
  }
}

/** A wiped machine finds every certain block, by load and by lookup. */
async function readAll(world: SimWorld, heirs: readonly Slot[], load: LoadBlocks): Promise<void> {
  const reader = heirs[0];
  await world.close(reader);
  reader.machine.disk.removeTree(cacheDirectory);
  world.oracle.forgetMachine(reader.machine.name);
  await world.open(reader);
  const certain = world.oracle.certainBlocks();
  for (const [namespace, keys] of certain) {
    for (let start = 0; start < keys.length; start += blocksPerLoad) {
      const wanted = keys.slice(start, start + blocksPerLoad);
      const outcome = await load(reader, { namespace, keys: wanted });
      if (outcome.kind !== 'answer' || outcome.value.reason === undefined) continue;
      const { blocks, reason } = outcome.value;
      world.fail(`block ${wanted[blocks.length]} of ${namespace} is lost: ${reason}`);
      return;
    }
  }
  world.trace.add('plan', `${certain.size} namespaces are there`);
}
