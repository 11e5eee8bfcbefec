import { allowErrors } from './allowed-errors.ts';
import { callLimitMs } from './block-operations.ts';
import type { Dice } from './dice.ts';
import type { SimWorld } from './sim-world.ts';
import type { Slot } from './slot.ts';
import type { TipName } from './tail-oracle.ts';

/** Tokens of the longest tail; each shorter one is its beginning. Fewer than a tip may keep. */
const tailTokensMax = 6;

function pickTip(world: SimWorld, slot: Slot, kind: string, dice: Dice): TipName {
  const owner = dice.pick([slot.machine.name, slot.machine.name, 'common']);
  const tip = world.payloads.key(`${kind}/${owner}/${dice.below(2)}`);
  return { namespace: dice.pick(world.namespaces), tip };
}

function tokensOf(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index);
}

export async function saveTail(world: SimWorld, slot: Slot, dice: Dice): Promise<void> {
  const name = pickTip(world, slot, 'tail', dice);
  const { namespace, tip } = name;
  const tokens = tokensOf(dice.between(1, tailTokensMax));
  const names = world.namesOf(slot);
  const text = `${namespace}/${tip}/${tokens.length}/${slot.machine.name}`;
  const payload = world.payloads.bytes(text, dice.below(world.profile.payloadBytesMax));
  world.oracle.tails.offer(name, tokens, payload);
  const outcome = await world.call(slot, `save tail of ${tokens.length}`, callLimitMs, (store) =>
    store.saveTail({ tip, tokens, payload }, { namespace }),
  );
  if (outcome.kind === 'answer') world.oracle.tails.accept(name, tokens, names);
  const codes = ['BUSY', 'TOO_LARGE'] as const;
  allowErrors(world, 'save tail', outcome, { isCut: false, mayMissBucket: false, codes });
}

export async function loadTail(world: SimWorld, slot: Slot, dice: Dice): Promise<void> {
  const name = pickTip(world, slot, 'tail', dice);
  const { namespace, tip } = name;
  const tokens = tokensOf(dice.between(1, tailTokensMax));
  const { store: asked } = slot;
  const least = longestAccepted(world, slot, name, tokens);
  const outcome = await world.call(slot, `load tail of ${tokens.length}`, callLimitMs, (store) =>
    store.loadTail({ tip, tokens }, { namespace }),
  );
  allowErrors(world, 'load tail', outcome, { isCut: false, mayMissBucket: false, codes: [] });
  if (outcome.kind !== 'answer') return;
  const borrow = outcome.value;
  const found = borrow?.tokens ?? 0;
  const isStillSure = world.isNetworkCalm && slot.store === asked && !world.oracle.tails.isWeak;
  if (isStillSure && found < least) {
    world.fail(`a tail of ${found} tokens was found under ${tip}, ${least} were accepted`);
  }
  if (borrow === undefined) return;
  world.oracle.tails.check(name, tokens.slice(0, found), borrow.payload);
  borrow.release();
}

/** Tokens of the longest tail that this slot must find; 0 when it may find none. */
function longestAccepted(
  world: SimWorld,
  slot: Slot,
  name: TipName,
  tokens: readonly number[],
): number {
  const { process, machine } = world.asker(slot);
  const names = machine === undefined ? [process] : [process, machine];
  const isSure = world.isNetworkCalm && !world.areHostsBad && !world.isCollected;
  return isSure ? world.oracle.tails.longest(name, tokens, names) : 0;
}

export async function saveRawTail(world: SimWorld, slot: Slot, dice: Dice): Promise<void> {
  const name = pickTip(world, slot, 'raw', dice);
  const { namespace, tip } = name;
  const payload = world.payloads.bytes(`${tip}/${dice.hex(4)}`, 4 + dice.below(2000));
  const attempt = world.oracle.rawTails.begin(name, payload, slot.machine.name);
  const outcome = await world.call(slot, `save raw tail ${tip.slice(0, 8)}`, callLimitMs, (store) =>
    store.saveRawTail(tip, payload, { namespace }),
  );
  if (outcome.kind === 'answer') attempt.accepted();
  attempt.over();
  const codes = ['BUSY', 'TOO_LARGE'] as const;
  allowErrors(world, 'save raw tail', outcome, { isCut: false, mayMissBucket: false, codes });
}

export async function loadRawTail(world: SimWorld, slot: Slot, dice: Dice): Promise<void> {
  const name = pickTip(world, slot, 'raw', dice);
  const { namespace, tip } = name;
  const { machine } = world.asker(slot);
  const look = world.oracle.rawTails.watch(name);
  const { store: asked } = slot;
  const outcome = await world.call(slot, `load raw tail ${tip.slice(0, 8)}`, callLimitMs, (store) =>
    store.loadRawTail(tip, { namespace }),
  );
  allowErrors(world, 'load raw tail', outcome, { isCut: false, mayMissBucket: false, codes: [] });
  if (outcome.kind !== 'answer') return;
  const isClosing = slot.store !== asked;
  const mayMiss = !world.isNetworkCalm || world.areHostsBad || world.isCollected || isClosing;
  const borrow = outcome.value;
  if (borrow !== undefined || !mayMiss) look(borrow?.payload, machine);
  borrow?.release();
}
