import { viewOf } from '../../src/base/bytes.ts';
import { crc32c } from '../../src/base/crc32c.ts';
import {
  encodeSegmentHeader,
  saltIn,
  segmentHeaderBytes,
  storeDigestIn,
} from '../../src/cache/segment-header.ts';
import { parseObjectKey } from '../../src/objectstore/object-key.ts';
import {
  legacyBlockObjectKey,
  parseLegacyKey,
  parseObjectKey as parseFormatKey,
  blockObjectKey,
} from '../../src/format/object-keys.ts';
import { allowErrors } from './allowed-errors.ts';
import { blocksOf, callLimitMs, loadAndCheck, saveBlocks, saveFresh } from './block-operations.ts';
import { DirectoryNode, FileNode } from './disk-nodes.ts';
import type { Dice } from './dice.ts';
import { memoryDirectory } from './sim-machine.ts';
import { cacheDirectory, keyPrefix } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';
import { newSlot } from './slot.ts';
import type { Operation } from './plan.ts';
import type { Slot } from './slot.ts';

/** Kills the process of the slot in the middle of whatever runs, and mostly opens it again. */
export async function crash(
  world: SimWorld,
  slot: Slot,
  dice: Dice,
  { id }: Operation,
): Promise<void> {
  if (dice.chance(0.4)) {
    // In the middle of the write of a save, which is soon over.
    const saving = saveFresh(world, slot, dice, `torn-${id}`);
    await world.scheduler.wait(dice.fraction() * 0.6);
    world.kill(slot);
    await saving;
  } else if (dice.chance(0.2)) {
    const closing = world.close(slot);
    await Promise.race([closing, world.scheduler.wait(dice.fraction() * 30)]);
  } else await world.scheduler.wait(dice.fraction() * dice.pick([1, 10, 40]));
  world.kill(slot);
  while (dice.chance(0.2)) {
    const opening = world.open(slot);
    await world.scheduler.wait(dice.fraction() * 12);
    world.kill(slot);
    await opening;
  }
  if (dice.chance(0.8)) await world.open(slot);
}

export async function reopen(world: SimWorld, slot: Slot): Promise<void> {
  await world.close(slot);
  await world.open(slot);
}

/** Ends every process of the machine and removes its cache directory. */
export async function wipe(world: SimWorld, slot: Slot, dice: Dice): Promise<void> {
  for (const other of world.slots) {
    if (other.machine !== slot.machine) continue;
    if (dice.chance(0.5)) await world.close(other);
    world.kill(other);
    await other.change;
    world.kill(other);
  }
  // Others may have opened a store while this one closed.
  for (const other of world.slots) if (other.machine === slot.machine) world.kill(other);
  for (const process of slot.machine.processes) process.kill();
  slot.machine.disk.removeTree(cacheDirectory);
  world.counts.add('cache wiped');
  world.trace.add(slot.machine.name, 'cache wiped');
  world.oracle.forgetMachine(slot.machine.name);
  await world.open(slot);
}

export async function powerLoss(world: SimWorld, slot: Slot, dice: Dice): Promise<void> {
  await world.scheduler.wait(dice.fraction() * 20);
  world.losePower(slot.machine);
  await world.open(slot);
}

export async function jump(world: SimWorld, dice: Dice): Promise<void> {
  await world.scheduler.wait(dice.fraction() * dice.pick([2000, 20_000, 700_000]));
}

export function clockJump(world: SimWorld, slot: Slot, dice: Dice): void {
  slot.machine.skewMs += Math.round((dice.fraction() - 0.5) * 7_200_000);
  world.counts.add('clock jump');
}

const hourMs = 3_600_000;

/** Outages of one world: their hours are full of attempts, so they are few. */
const outagesMax = 4;
const outageModes = ['gone', 'throttled', 'refusing puts'] as const;

/** The bucket is out of reach for an hour, in which everybody goes on as far as it goes. */
export async function outage(
  world: SimWorld,
  dice: Dice,
  act: (slot: Slot) => Promise<void>,
): Promise<void> {
  const { bucket, counts } = world;
  if (bucket === undefined || bucket.mode !== 'normal' || world.outages === outagesMax) {
    return;
  }
  // What is pending is tried again and again for the whole hour: little of it is enough.
  for (const slot of world.slots) {
    await world.call(slot, 'flush before an outage', 66_000, (store) => store.flush());
  }
  const mode = outageModes[(world.outages + world.outageOffset) % outageModes.length];
  bucket.mode = mode;
  world.noteOutage();
  world.noteTrouble();
  world.trace.add('bucket', mode);
  for (let step = 0; step < 3; step += 1) await act(dice.pick(world.slots));
  await world.scheduler.wait(mode === 'refusing puts' ? 60_000 : hourMs);
  await act(dice.pick(world.slots));
  if (bucket.mode === mode) bucket.mode = 'normal';
  if (mode === 'gone') counts.add('bucket gone for an hour');
  if (mode === 'throttled') counts.add('bucket throttled for an hour');
}

/** The bucket takes nothing for a moment, in which others go on saving: what is pending grows. */
export async function stall(world: SimWorld, dice: Dice): Promise<void> {
  const { bucket } = world;
  if (bucket === undefined || bucket.mode !== 'normal') return;
  bucket.mode = 'throttled';
  world.noteTrouble();
  await world.scheduler.wait(1000 + dice.fraction() * 8000);
  if (bucket.mode === 'throttled') bucket.mode = 'normal';
}

/** Saves and deletes on a chain that only this machine uses and of which nothing is certain. */
export async function deleteBlocks(
  world: SimWorld,
  slot: Slot,
  dice: Dice,
  kind: 'blocks' | 'subtree',
): Promise<void> {
  const namespace = dice.pick(world.namespaces);
  const keys = world.payloads.chain(`mortal/${slot.machine.name}`, 10);
  world.oracle.weaken(namespace, keys);
  const { payloadBytesMax } = world.profile;
  const part = { namespace, keys, parent: undefined, payloadBytesMax };
  const blocks = blocksOf(world, part, dice.pick(['x', 'y']), dice);
  const use = world.enterMortal(slot.machine);
  await saveBlocks(world, slot, { blocks, keys, options: { namespace } }, dice);
  await world.scheduler.wait(dice.fraction() * 40);
  const from = dice.below(keys.length);
  const selection =
    kind === 'blocks' ? { kind, keys: keys.slice(from) } : { kind, root: keys[from] };
  const { process } = slot;
  const outcome = await world.call(slot, `delete ${kind}`, 66_000, (store) =>
    store.delete(selection, { namespace }),
  );
  allowErrors(world, 'delete', outcome, { isCut: false, mayMissBucket: true, codes: [] });
  const isQuiet = world.isQuietProfile && world.isNetworkCalm;
  if (outcome.kind === 'answer' && isQuiet && slot.process === process) {
    const look = await world.call(slot, 'lookup after delete', callLimitMs, (store) =>
      store.lookup(keys.slice(from), { namespace }),
    );
    const isStill = look.kind === 'answer' && look.value.matched > 0;
    if (isStill && use.isAlone()) world.fail(`a deleted block is found again`);
  }
  use.leave();
}

/** Deletes a namespace that holds only what is saved for that. */
export async function deleteNamespace(world: SimWorld, slot: Slot): Promise<void> {
  const namespace = world.mortalNamespace;
  const outcome = await world.call(slot, 'delete namespace', 66_000, (store) =>
    store.delete({ kind: 'namespace' }, { namespace }),
  );
  allowErrors(world, 'delete', outcome, { isCut: false, mayMissBucket: true, codes: [] });
}

/** Somebody removes an object, behind the back of a store that has just seen it. */
export async function removeObject(world: SimWorld, slot: Slot, dice: Dice): Promise<void> {
  const { bucket, oracle, counts } = world;
  const keys = [...(bucket?.keys() ?? [])].filter((key) => key.includes('/block/'));
  if (bucket === undefined || keys.length === 0) return;
  const objectKey = dice.pick(keys);
  const id = parseFormatKey(keyPrefix, objectKey) ?? parseLegacyKey(keyPrefix, objectKey);
  if (id?.kind !== 'block') return;
  const { namespace, key } = id;
  oracle.weaken(namespace, [key]);
  await world.call(slot, 'lookup before a removal', callLimitMs, (store) =>
    store.lookup([key], { namespace }),
  );
  counts.add('object removed under a live entry');
  await bucket.delete(parseObjectKey(objectKey));
  await loadAndCheck(world, slot, { namespace, keys: [key] });
}

/** Changes bytes of the machine's log, under a living process or a dead one. */
export async function damageLog(
  world: SimWorld,
  slot: Slot,
  dice: Dice,
  name: string,
): Promise<void> {
  if (dice.chance(0.5)) {
    // What was just accepted is in memory alone, where stores share it.
    if (world.profile.sharesMemory) await saveFresh(world, slot, dice, name);
    world.kill(slot);
  }
  const files = segmentsOf(slot);
  if (slot.process === undefined && world.profile.sharesMemory) damageMemory(world, slot, dice);
  world.oracle.forgetMachine(slot.machine.name);
  if (files.length > 0) {
    const { serial, bytes } = dice.pick(files);
    for (let times = dice.between(1, 6); times > 0 && bytes.length > 0; times -= 1) {
      const position = dice.below(bytes.length);
      const changed = new Uint8Array([bytes[position] ^ (1 << dice.below(8))]);
      const write = { kind: 'write' as const, position, bytes: changed };
      slot.machine.disk.apply({ kind: 'write', serial, write });
      world.counts.add('payload damaged on disk');
    }
    world.trace.add(slot.machine.name, 'log damaged');
  }
  await world.open(slot);
}

/** Changes bytes of what dead processes of the machine left in shared memory. */
function damageMemory(world: SimWorld, slot: Slot, dice: Dice): void {
  for (const file of filesBelow(slot.machine.disk.directory(memoryDirectory))) {
    // The living write theirs: what is resident is not read again, as memory is not that nobody shares.
    if (slot.machine.processes.size > 0) return;
    for (let start = 0; start < file.byteLength; start += 4096) {
      const page = file.bytes.subarray(start, start + 4096);
      if (page[0] === 0 || !dice.chance(0.5)) continue;
      // Most of a page is never written: nobody would look at a byte of that.
      const written = [...page.keys()].filter((at) => page[at] !== 0);
      page[dice.pick(written)] ^= 1 << dice.below(8);
      world.counts.add('shared memory of a dead process damaged');
    }
  }
}

function filesBelow(directory: DirectoryNode): readonly FileNode[] {
  return [...directory.entries].flatMap(([name, node]) => {
    if (node instanceof DirectoryNode) return filesBelow(node);
    return node instanceof FileNode && name.startsWith('segment-') ? [node] : [];
  });
}

/** Leaves a segment of a newer version in the place of a process that is dead. */
export async function newerLog(world: SimWorld, slot: Slot): Promise<void> {
  world.kill(slot);
  await slot.change;
  const { disk } = slot.machine;
  const place = `${cacheDirectory}/v1/0`;
  const path = `${place}/segment-0000000${100 + slot.machine.processesStarted}.log`;
  const [first] = segmentsOf(slot);
  const isThere = first !== undefined && first.byteLength >= segmentHeaderBytes;
  if (!isThere || disk.find(path) !== undefined) return world.open(slot);
  const bytes = first.bytes.slice();
  bytes.set(headerOfNewerVersion(bytes, 100 + slot.machine.processesStarted));
  const file = disk.create(path);
  const write = { kind: 'write' as const, position: 0, bytes };
  disk.apply({ kind: 'write', serial: file.serial, write });
  world.counts.add('log from a newer version');
  await world.open(slot);
  const left = disk.find(path);
  // Another operation may have damaged bytes of it.
  const isSame = left instanceof FileNode && left.byteLength === bytes.length;
  if (!isSame) world.fail('a segment of a newer version was touched');
  if (disk.find(path) !== undefined) disk.apply({ kind: 'remove', path });
}

/** Like the given one of the same store, but of the next version and with that number. */
function headerOfNewerVersion(of: Uint8Array, number: number): Uint8Array {
  const own = { number, salt: saltIn(of), storeDigest: storeDigestIn(of) };
  const header = encodeSegmentHeader(own);
  header[4] += 1;
  const crcAt = segmentHeaderBytes - 4;
  viewOf(header).setUint32(crcAt, crc32c(header.subarray(0, crcAt)), true);
  return header;
}

/**
 * A process with another key prefix uses the same cache directory for a while, mostly when one of
 * ours has just died. It gets nothing of ours, and uploads nothing.
 */
export async function visitByStranger(world: SimWorld, slot: Slot, dice: Dice): Promise<void> {
  if (dice.chance(0.7)) world.kill(slot);
  await slot.change;
  const visitor = newSlot(slot.machine);
  await world.open(visitor, `${keyPrefix}-stranger`);
  const stats = await world.call(visitor, 'stats', 1000, (store) => store.stats());
  const isEmpty = stats.kind !== 'answer' || stats.value.pending + stats.value.disk.entries === 0;
  if (!isEmpty) world.fail('a store with another key prefix holds what is not its own');
  await world.scheduler.wait(dice.fraction() * 3000);
  await world.close(visitor);
  await world.open(slot);
}

/**
 * Puts an object of another format where a store may look for its own: one of the Rust version,
 * which is read, or one of a newer version, which is not.
 */
export async function strangeObject(world: SimWorld, dice: Dice): Promise<void> {
  const { bucket, counts, oracle, payloads } = world;
  if (bucket === undefined) return;
  const namespace = dice.pick(world.namespaces);
  const key = payloads.key(`a/${dice.between(18, 23)}`);
  if (dice.chance(0.5)) {
    const legacy = parseObjectKey(legacyBlockObjectKey(keyPrefix, namespace, key));
    const payload = payloads.bytes(`legacy/${namespace}/${key}`, 300);
    // Another program wrote it: as good as any, and nothing else may be given in its place.
    oracle.offer(namespace, key, payload);
    const envelope = Uint8Array.of(0x57, 0x42, 0x5a, 0x31, 0, 3, 300 & 255, 300 >> 8, 0, 0);
    await bucket.put(legacy, dice.chance(0.5) ? [payload] : [envelope, payload]);
    counts.add('object of the v1 format');
    return;
  }
  const objectKey = parseObjectKey(blockObjectKey(keyPrefix, namespace, key));
  oracle.weaken(namespace, [key]);
  oracle.noteAltered(objectKey, true);
  const newer = payloads.bytes('newer', 400);
  newer.set([0x57, 0x4b, 0x56, 0x46, 3, 0]);
  await bucket.put(objectKey, [newer]);
  counts.add('object of a newer format');
}

function segmentsOf(slot: Slot): readonly FileNode[] {
  const { disk } = slot.machine;
  const node = disk.find(`${cacheDirectory}/v1/0`);
  if (node?.kind !== 'directory') return [];
  return [...node.entries].flatMap(([name, file]) =>
    name.endsWith('.log') && file instanceof FileNode ? [file] : [],
  );
}
