import assert from 'node:assert/strict';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { KvStore, TailQuery } from '../../src/blocks/kv-store.ts';
import { randomPayload } from '../support/payloads.ts';
import type { ModelTail } from './kv-store-model.ts';
import { liveHost } from './kv-store-scene.ts';
import type { Scene, SceneNamespace } from './kv-store-scene.ts';
import { answerOrFault, assertSameBytes, onFreshHost, openStore } from './kv-store-steps.ts';

/** Some blocks of a chain; what lies beyond its end is cut. */
export interface Part {
  readonly namespace: number;
  readonly chain: number;
  readonly start: number;
  readonly count: number;
}

/** A tip (0: the seed, else the block before) and one of the token sequences under it. */
export interface TailPlace {
  readonly namespace: number;
  readonly chain: number;
  readonly tip: number;
  readonly branch: number;
  readonly length: number;
}

type Versioned = { readonly variant: number; readonly byteLength: number };

/** One step of a sequence. */
export type Operation =
  | ({ readonly kind: 'save'; readonly isDurable: boolean } & Part & Versioned)
  | ({ readonly kind: 'load' | 'lookup' | 'contains' } & Part)
  | ({ readonly kind: 'delete-blocks' | 'delete-subtree' } & Part)
  | ({ readonly kind: 'save-tail'; readonly byteLength: number } & TailPlace)
  | ({ readonly kind: 'load-tail' | 'load-raw-tail' } & TailPlace)
  | ({ readonly kind: 'save-raw-tail' } & TailPlace & Versioned)
  | { readonly kind: 'delete-namespace'; readonly namespace: number }
  | { readonly kind: 'flush' | 'reopen' | 'crash' | 'wipe' | 'crash-and-wipe' | 'visit' }
  | { readonly kind: 'outage' | 'recovery' };

type OperationOf<Kind> = Extract<Operation, { readonly kind: Kind }>;

/** Deadline of calls that may not get an answer from the bucket. */
const outageDeadlineMs = 2000;

/** Does it to the store and to the model, and checks that both agree. */
export async function runOperation(scene: Scene, operation: Operation): Promise<void> {
  switch (operation.kind) {
    case 'save':
      return save(scene, operation);
    case 'load':
    case 'lookup':
    case 'contains':
      return read(scene, operation);
    case 'save-tail':
    case 'load-tail':
    case 'save-raw-tail':
    case 'load-raw-tail':
      return runTail(scene, operation);
    case 'delete-blocks':
    case 'delete-subtree':
    case 'delete-namespace':
      return remove(scene, operation);
    case 'flush':
    case 'reopen':
    case 'crash':
    case 'wipe':
    case 'crash-and-wipe':
    case 'visit':
      return runHost(scene, operation.kind);
    case 'outage':
      scene.isOutage = true;
      return scene.world.faults.setMode('unavailable');
    case 'recovery':
      return recover(scene);
    default:
      operation satisfies never;
  }
}

async function save(scene: Scene, operation: OperationOf<'save'>): Promise<void> {
  const { name, model } = scene.namespaces[operation.namespace];
  const chain = scene.chains[operation.chain];
  const keys = keysOf(scene, operation);
  const isDurable = operation.isDurable && !scene.isOutage;
  const isHoped = (key: BlockKey): boolean => scene.mayHope && model.hopedFor.has(key);
  const blocks = keys.map((key) => {
    const stored = model.blocks.get(key);
    const label = `${name}/${key}/${operation.variant}`;
    // Other bytes under a stored key only where this host must know that it is stored.
    const isNew = stored === undefined || (stored.isCertain && stored.isLocal);
    return { key, payload: isNew ? randomPayload(label, operation.byteLength) : stored.payload };
  });
  const parent = operation.start === 0 ? undefined : chain[operation.start - 1];
  const result = await scene.store.save(blocks, { namespace: name, durable: isDurable, parent });
  const isAbsent = (key: BlockKey): boolean => !model.blocks.has(key) && !isHoped(key);
  const isKnown = (key: BlockKey): boolean => {
    const stored = model.blocks.get(key);
    return stored !== undefined && stored.isCertain && stored.isLocal;
  };
  assert.equal(result.saved + result.known, keys.length);
  assert.ok(result.saved >= keys.filter(isAbsent).length, `${result.saved} saved`);
  assert.ok(result.known >= keys.filter(isKnown).length, `${result.known} known`);
  for (const { key, payload } of blocks) {
    const stored = model.blocks.get(key);
    // A host that wrongly hopes for the block takes it for stored, unless it has to be durable.
    const isCertain = !isHoped(key) || isDurable || stored?.isLocal === true;
    if (stored === undefined) {
      const isLocal = !isHoped(key);
      model.blocks.set(key, { payload, isCertain, isDurable, isLocal });
    } else {
      stored.isCertain ||= isCertain;
      stored.isDurable ||= isDurable;
    }
  }
}

async function read(
  scene: Scene,
  operation: OperationOf<'load' | 'lookup' | 'contains'>,
): Promise<void> {
  const own = scene.namespaces[operation.namespace];
  const keys = keysOf(scene, operation);
  if (operation.kind === 'load') return load(scene, own, keys);
  if (operation.kind === 'lookup') return lookup(scene, own, keys);
  return contains(scene, own, keys);
}

async function load(
  scene: Scene,
  { name, model }: SceneNamespace,
  keys: readonly BlockKey[],
): Promise<void> {
  const borrow = await scene.store.load(keys, optionsOf(scene, name));
  const count = borrow.blocks.length;
  const least = model.leastMatched(keys, scene.isOutage);
  const most = model.mostLoaded(keys);
  assert.ok(count >= least && count <= most, `loaded ${count} of ${least} to ${most}`);
  borrow.blocks.forEach((block, index) => {
    assert.equal(block.key, keys[index]);
    const expected = model.blocks.get(block.key)?.payload;
    assert.ok(expected !== undefined);
    assertSameBytes(block.payload, expected, `block ${index}`);
  });
  borrow.release();
  assert.equal(borrow.reason === undefined, count === keys.length, `reason ${borrow.reason}`);
  if (!scene.isOutage && count < keys.length) assert.equal(borrow.reason, 'unknown');
  if (scene.isOutage) return;
  // What a load found out, the next lookup tells.
  const { matched } = await scene.store.lookup(keys, { namespace: name });
  assert.equal(matched, count, 'the lookup after the load');
}

async function lookup(
  scene: Scene,
  { name, model }: SceneNamespace,
  keys: readonly BlockKey[],
): Promise<void> {
  const { matched, reason } = await scene.store.lookup(keys, optionsOf(scene, name));
  const least = model.leastMatched(keys, scene.isOutage);
  const most = model.mostMatched(keys, scene.mayHope);
  assert.ok(matched >= least && matched <= most, `matched ${matched} of ${least} to ${most}`);
  assert.equal(reason === undefined, matched === keys.length, `reason ${reason}`);
}

async function contains(
  scene: Scene,
  { name, model }: SceneNamespace,
  keys: readonly BlockKey[],
): Promise<void> {
  const ask = () => scene.store.contains(keys, optionsOf(scene, name));
  const isThere = scene.isOutage ? await answerOrFault(ask) : await ask();
  if (isThere === undefined) return;
  assert.equal(isThere.length, keys.length);
  keys.forEach((key, index) => {
    const least = model.leastMatched([key], scene.isOutage) === 1;
    const most = model.mostMatched([key], scene.mayHope) === 1;
    assert.ok(!least || isThere[index], `block ${index} is there`);
    assert.ok(most || !isThere[index], `block ${index} is not there`);
  });
}

async function runTail(
  scene: Scene,
  operation: OperationOf<'save-tail' | 'load-tail' | 'save-raw-tail' | 'load-raw-tail'>,
): Promise<void> {
  const own = scene.namespaces[operation.namespace];
  const { tip, branch, length } = operation;
  const query: TailQuery = {
    tip: tip === 0 ? scene.seed : scene.chains[operation.chain][tip - 1],
    tokens: [branch, 20, 30, 40].slice(0, length),
  };
  switch (operation.kind) {
    case 'save-tail':
      return saveTail(scene, own, query, operation.byteLength);
    case 'load-tail':
      return loadTail(scene, own, query);
    case 'save-raw-tail':
      return saveRawTail(scene, own, query.tip, operation);
    case 'load-raw-tail':
      return loadRawTail(scene, own, query.tip);
    default:
      operation satisfies never;
  }
}

async function saveTail(
  scene: Scene,
  { name, model }: SceneNamespace,
  query: TailQuery,
  byteLength: number,
): Promise<void> {
  const tokens = Array.from(query.tokens);
  const tails = model.tails.get(query.tip) ?? [];
  model.tails.set(query.tip, tails);
  const stored = tails.find((tail) => tail.tokens.join() === tokens.join());
  const payload =
    stored?.payload ?? randomPayload(`${name}/${query.tip}/${tokens.join()}`, byteLength);
  await scene.store.saveTail({ ...query, payload }, { namespace: name });
  if (stored === undefined) {
    tails.push({ tokens, payload, isCertain: true, isDurable: false, isLocal: true });
  } else stored.isCertain = true;
}

async function loadTail(
  scene: Scene,
  { name, model }: SceneNamespace,
  query: TailQuery,
): Promise<void> {
  const ask = () => scene.store.loadTail(query, optionsOf(scene, name));
  const found = scene.isOutage ? await answerOrFault(ask) : await ask();
  const tokens = Array.from(query.tokens);
  const isPrefix = (tail: ModelTail): boolean =>
    tail.tokens.every((token, index) => token === tokens[index]);
  const tails = (model.tails.get(query.tip) ?? []).filter(isPrefix);
  const sure = tails.filter((tail) => tail.isCertain && (tail.isLocal || !scene.isOutage));
  const least = Math.max(0, ...sure.map((tail) => tail.tokens.length));
  const covered = found?.tokens ?? 0;
  assert.ok(covered >= least, `a tail of ${covered} tokens, not ${least}`);
  if (found === undefined) return;
  const expected = tails.find((tail) => tail.tokens.length === covered);
  assert.ok(expected !== undefined, `nobody saved a tail of ${covered} tokens`);
  assertSameBytes(found.payload, expected.payload, 'tail');
  found.release();
}

async function saveRawTail(
  scene: Scene,
  { name, model }: SceneNamespace,
  tip: BlockKey,
  { variant, byteLength }: Versioned,
): Promise<void> {
  const payload = randomPayload(`${name}/${tip}/raw/${variant}`, byteLength);
  await scene.store.saveRawTail(tip, payload, { namespace: name });
  const afterWipe = model.rawTails.get(tip)?.afterWipe ?? [undefined];
  model.rawTails.set(tip, {
    possible: [payload],
    afterWipe: [...afterWipe, payload],
    isLocal: true,
  });
}

async function loadRawTail(
  scene: Scene,
  { name, model }: SceneNamespace,
  tip: BlockKey,
): Promise<void> {
  const ask = () => scene.store.loadRawTail(tip, optionsOf(scene, name));
  const found = scene.isOutage ? await answerOrFault(ask) : await ask();
  const stored = model.rawTails.get(tip);
  const possible = stored?.possible ?? [undefined];
  if (found === undefined) {
    const isFault = scene.isOutage && stored?.isLocal !== true;
    assert.ok(isFault || possible.includes(undefined), 'the raw tail is there');
    return;
  }
  const match = possible.find(
    (value) => value !== undefined && Buffer.compare(value, found.payload) === 0,
  );
  assert.ok(match !== undefined, `a raw tail of ${found.payload.length} bytes that nobody saved`);
  found.release();
  if (stored !== undefined) stored.possible = [match];
}

async function remove(
  scene: Scene,
  operation: OperationOf<'delete-blocks' | 'delete-subtree' | 'delete-namespace'>,
): Promise<void> {
  await recover(scene);
  const { name, model } = scene.namespaces[operation.namespace];
  const options = { namespace: name };
  if (operation.kind === 'delete-namespace') {
    await scene.store.delete({ kind: 'namespace' }, options);
    return model.deleteAll();
  }
  const keys = keysOf(scene, operation);
  if (operation.kind === 'delete-blocks') {
    await scene.store.delete({ kind: 'blocks', keys }, options);
    return model.deleteBlocks(keys);
  }
  await scene.store.delete({ kind: 'subtree', root: keys[0] }, options);
  return model.deleteSubtree(scene.chains, keys[0]);
}

async function runHost(
  scene: Scene,
  kind: 'flush' | 'reopen' | 'crash' | 'wipe' | 'crash-and-wipe' | 'visit',
): Promise<void> {
  if (kind === 'crash') {
    await scene.world.crash(scene.store);
  } else {
    await recover(scene);
    if (kind !== 'crash-and-wipe') await flush(scene);
  }
  if (kind === 'flush') return;
  if (kind === 'visit') return visit(scene);
  if (kind === 'crash-and-wipe') await scene.world.crash(scene.store);
  if (kind === 'reopen' || kind === 'wipe') await scene.store.close();
  if (kind === 'wipe' || kind === 'crash-and-wipe') {
    await scene.world.wipe(liveHost);
    scene.mayHope = true;
    for (const { model } of scene.namespaces) model.wipe();
  }
  scene.store = await openStore(scene.world, liveHost);
}

async function flush(scene: Scene): Promise<void> {
  await scene.store.flush();
  const { pending, pendingBytes } = await scene.store.stats();
  assert.deepEqual([pending, pendingBytes], [0, 0]);
  for (const { model } of scene.namespaces) model.markDurable();
}

/** Another host, which has never been there, reads everything. */
async function visit(scene: Scene): Promise<void> {
  scene.visits += 1;
  await onFreshHost(scene.world, `visitor-${scene.visits}`, async (store: KvStore) => {
    const visitor: Scene = { ...scene, store, mayHope: true };
    for (const own of scene.namespaces) {
      for (const chain of scene.chains) {
        await contains(visitor, own, chain);
        await lookup(visitor, own, chain);
        await load(visitor, own, chain);
      }
      for (const [tip, tails] of own.model.tails) {
        for (const { tokens } of tails) await loadTail(visitor, own, { tip, tokens });
      }
      for (const tip of own.model.rawTails.keys()) await loadRawTail(visitor, own, tip);
    }
  });
}

async function recover(scene: Scene): Promise<void> {
  scene.isOutage = false;
  await scene.world.faults.setMode('none');
}

function keysOf(scene: Scene, part: Part): readonly BlockKey[] {
  return scene.chains[part.chain].slice(part.start, part.start + part.count);
}

function optionsOf(scene: Scene, namespace: SceneNamespace['name']) {
  return scene.isOutage ? { namespace, deadlineMs: outageDeadlineMs } : { namespace };
}
