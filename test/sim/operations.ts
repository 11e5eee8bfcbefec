import { contains, flush, holdBorrow, load, lookup, save, saveFresh } from './block-operations.ts';
import { Dice } from './dice.ts';
import type { Operation } from './plan.ts';
import type { SimWorld } from './sim-world.ts';
import type { Slot } from './slot.ts';
import { loadRawTail, loadTail, saveRawTail, saveTail } from './tail-operations.ts';
import {
  clockJump,
  crash,
  damageLog,
  deleteBlocks,
  deleteNamespace,
  jump,
  newerLog,
  outage,
  powerLoss,
  removeObject,
  reopen,
  stall,
  strangeObject,
  visitByStranger,
  wipe,
} from './world-operations.ts';

/** Does it in the world, and checks every answer. */
export async function runOperation(
  world: SimWorld,
  operation: Operation,
  seed: number,
): Promise<void> {
  const dice = new Dice(`operation/${seed}/${operation.id}`);
  const slot = dice.pick(world.slots);
  world.trace.add('plan', `${operation.id} ${operation.kind} on ${slot.machine.name}`);
  await world.open(slot);
  // The machine would not let it open a store now.
  if (slot.store === undefined) return;
  switch (operation.kind) {
    case 'reopen':
      return reopen(world, slot);
    case 'crash':
      return crash(world, slot, dice, operation);
    case 'wipe':
      return wipe(world, slot, dice);
    case 'power-loss':
      return powerLoss(world, slot, dice);
    case 'jump':
      return jump(world, dice);
    case 'clock-jump':
      return clockJump(world, slot, dice);
    case 'outage':
      return outage(world, dice, (other) => actInOutage(world, other, dice));
    case 'stall':
      return stall(world, dice);
    case 'remove-object':
      return removeObject(world, slot, dice);
    case 'damage-log':
      return damageLog(world, slot, dice, `left-${operation.id}`);
    case 'newer-log':
      return newerLog(world, slot);
    case 'stranger':
      return visitByStranger(world, slot, dice);
    case 'strange-object':
      return strangeObject(world, dice);
    default:
      return runCall(world, slot, { ...operation, kind: operation.kind }, dice);
  }
}

type CallKind = Exclude<
  Operation['kind'],
  | 'reopen'
  | 'crash'
  | 'wipe'
  | 'power-loss'
  | 'jump'
  | 'clock-jump'
  | 'outage'
  | 'stall'
  | 'remove-object'
  | 'damage-log'
  | 'newer-log'
  | 'stranger'
  | 'strange-object'
>;

async function runCall(
  world: SimWorld,
  slot: Slot,
  { kind, id }: { readonly kind: CallKind; readonly id: number },
  dice: Dice,
): Promise<void> {
  switch (kind) {
    case 'save':
      return save(world, slot, dice);
    case 'fresh':
      return saveFresh(world, slot, dice, `fresh-${id}`);
    case 'load':
      return load(world, slot, dice);
    case 'lookup':
      return lookup(world, slot, dice);
    case 'contains':
      return contains(world, slot, dice);
    case 'save-tail':
      return saveTail(world, slot, dice);
    case 'load-tail':
      return loadTail(world, slot, dice);
    case 'save-raw-tail':
      return saveRawTail(world, slot, dice);
    case 'load-raw-tail':
      return loadRawTail(world, slot, dice);
    case 'hold-borrow':
      return holdBorrow(world, slot, dice);
    case 'flush':
      return flush(world, slot);
    case 'delete-blocks':
      return deleteBlocks(world, slot, dice, 'blocks');
    case 'delete-subtree':
      return deleteBlocks(world, slot, dice, 'subtree');
    case 'delete-namespace':
      return deleteNamespace(world, slot);
    default:
      return kind satisfies never;
  }
}

/** What engines go on doing while the bucket is out of reach. */
async function actInOutage(world: SimWorld, slot: Slot, dice: Dice): Promise<void> {
  await world.open(slot);
  const act = dice.pick([saveTail, load, lookup, loadTail, saveRawTail, flush]);
  await act(world, slot, dice);
}
