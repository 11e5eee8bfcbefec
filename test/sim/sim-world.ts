import { systemErrorCode } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { newSharedDirectory, removeIfSettled } from '../../src/cache/shared-directories.ts';
import { loadZstd } from '../../src/format/zstd.ts';
import type { Zstd } from '../../src/format/zstd.ts';
import { DirectoryObjectStore } from '../../src/objectstore/directory-object-store.ts';
import type { ObjectStore } from '../../src/objectstore/object-store.ts';
import type { Platform } from '../../src/platform/platform.ts';
import { assembleStore } from '../../src/store/assemble-store.ts';
import { Dice } from './dice.ts';
import { DirectoryTruth, watchedDirectory } from './directory-truth.ts';
import { FaultCounts } from './fault-counts.ts';
import { calmNetwork } from './network-faults.ts';
import type { NetworkShares } from './network-faults.ts';
import { Oracle } from './oracle.ts';
import type { Asker } from './oracle.ts';
import type { Plan } from './plan.ts';
import type { Profile } from './profile.ts';
import { Scheduler } from './scheduler.ts';
import { SimBucket } from './sim-bucket.ts';
import type { BucketTruth } from './sim-bucket.ts';
import { noDiskFaults, noRefusals, SimMachine } from './sim-machine.ts';
import type { SimWorldParts } from './sim-machine.ts';
import { SimNetwork } from './sim-network.ts';
import { SimPayloads } from './sim-payloads.ts';
import { SimProcess } from './sim-process.ts';
import type { Activity } from './sim-process.ts';
import { newSlot } from './slot.ts';
import type { Outcome, Slot } from './slot.ts';
import { simTranscoder } from './sim-transcoder.ts';
import { Trace } from './trace.ts';
import { hasUnadoptedPlace } from './unadopted-places.ts';

export const cacheDirectory = '/sim/cache';
export const bucketDirectory = '/sim/bucket';
export const keyPrefix = 'kv/sim';

/** A failure of the store under test, found by the simulation. */
export class SimFailure extends Error {}

/** Everything of one simulation: time, machines, bucket, stores, and what must hold. */
export class SimWorld {
  readonly profile: Profile;
  readonly scheduler = new Scheduler();
  readonly trace: Trace;
  readonly counts = new FaultCounts();
  readonly payloads: SimPayloads;
  readonly machines: readonly SimMachine[];
  readonly slots: readonly Slot[];
  readonly bucket: SimBucket | undefined;
  readonly truth: BucketTruth;
  readonly oracle: Oracle;
  /** Which kind of outage comes first in this world. */
  readonly outageOffset: number;
  readonly namespaces = ['default', 'tenant/b'].map(parseNamespace);
  /** False from the moment when every fault ends. */
  isTroubled = true;
  /** A namespace that may be deleted as a whole. */
  readonly mortalNamespace = parseNamespace('mortal');
  /** Calls under way on the chain of each machine that may be deleted. */
  readonly #mortal = new Map<SimMachine, { running: number; begun: number }>();
  #outages = 0;
  #lastKillMs = Number.NEGATIVE_INFINITY;
  #lastTroubleMs = Number.NEGATIVE_INFINITY;
  #failure: SimFailure | undefined;
  #zstd: Zstd | undefined;
  readonly #parts: SimWorldParts;
  readonly #directory: DirectoryTruth | undefined;

  constructor(plan: Plan, keepsTrace: boolean) {
    const { profile, seed } = plan;
    this.profile = profile;
    this.outageOffset = Math.floor(seed / 10) % 3;
    const dice = new Dice(`world/${seed}`);
    this.trace = new Trace(this.scheduler, keepsTrace);
    const { scheduler, trace, counts } = this;
    this.#parts = { scheduler, trace, counts, dice };
    this.payloads = new SimPayloads(`world/${seed}`, profile.compression === 'zstd');
    this.machines = Array.from({ length: profile.machines }, (_, index) => {
      const skewMs = Math.round((dice.fraction() - 0.5) * 2 * profile.skewMsMax);
      if (skewMs !== 0) counts.add('clock skew between hosts');
      return new SimMachine(this.#parts, `host-${index}`, skewMs);
    });
    this.slots = this.machines.flatMap((machine) =>
      Array.from({ length: profile.processesPerMachine }, () => newSlot(machine)),
    );
    this.bucket = profile.bucket === 'cloud' ? new SimBucket(this.#parts) : undefined;
    this.#directory =
      this.bucket === undefined
        ? new DirectoryTruth(this.machines[0].disk, bucketDirectory, scheduler)
        : undefined;
    this.truth = this.bucket ?? (this.#directory as DirectoryTruth);
    this.oracle = new Oracle({
      keyPrefix,
      bucket: this.truth,
      nowMs: () => scheduler.nowMs,
      staleMs: profile.network.trouble > 0 ? 60_000 : 2000,
      disksFail: profile.disk.read + profile.disk.open > 0,
      logsAreAltered: profile.extra['damage-log'] !== undefined,
      isCollected: profile.objectStoreBytesMax !== false,
      fail: (message) => this.fail(message),
    });
    if (this.bucket !== undefined) {
      this.bucket.onStored = (key, bytes, before) => {
        this.oracle.checkStored(key, bytes, before);
        this.#checkBucketBound();
      };
    }
    this.#setDisks();
  }

  get dice(): Dice {
    return this.#parts.dice;
  }

  get nowMs(): number {
    return this.scheduler.nowMs;
  }

  /** The first failure stays; the simulation ends at its next step. */
  fail(message: string): void {
    this.trace.add('oracle', message);
    this.#failure ??= new SimFailure(message);
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Who asks by this slot. Processes that share a machine find each other's blocks only later. */
  asker(slot: Slot): Asker {
    const isAlone =
      this.profile.processesPerMachine === 1 && !hasUnadoptedPlace(slot, cacheDirectory);
    return {
      process: slot.process?.name ?? 'nobody',
      machine: isAlone ? slot.machine.name : undefined,
      startedMs: this.nowMs,
    };
  }

  /** The names by which what the slot accepts is remembered. */
  namesOf(slot: Slot): readonly string[] {
    return slot.process === undefined ? [] : [slot.process.name, slot.machine.name];
  }

  /** One call of the slot's store, which must end by its limit. */
  async call<Value>(
    slot: Slot,
    what: string,
    limitMs: number,
    task: (store: KvStore) => Promise<Value>,
  ): Promise<Outcome<Value>> {
    const { store, process } = slot;
    if (store === undefined || process === undefined) return { kind: 'died' };
    process.trace(what);
    const outcome = await this.#watch(process, what, limitMs, () => task(store));
    if (outcome.kind === 'failed') process.trace(`${what}: ${String(outcome.error)}`);
    else process.trace(`${what}: ${outcome.kind}`);
    return outcome;
  }

  /** Makes sure that the slot has a store, if the machine lets it open one. */
  async open(slot: Slot, prefix = keyPrefix): Promise<void> {
    while (slot.change !== undefined) await slot.change;
    if (slot.store !== undefined) return;
    await this.#during(slot, this.#open(slot, prefix));
  }

  async close(slot: Slot): Promise<void> {
    while (slot.change !== undefined) await slot.change;
    const { store, process } = slot;
    if (store === undefined || process === undefined) return;
    await this.#during(slot, this.#close(slot, store, process));
  }

  /** The slot opens or closes; others wait for that. */
  async #during(slot: Slot, change: Promise<void>): Promise<void> {
    const ended = change.finally(() => {
      slot.change = undefined;
    });
    slot.change = ended;
    await ended;
  }

  kill(slot: Slot): void {
    const { process } = slot;
    slot.process = undefined;
    slot.store = undefined;
    if (process === undefined || !process.isAlive) return;
    this.#countKill(process);
    process.kill();
    slot.machine.processes.delete(process);
  }

  /** The machine loses power with all its processes; only durable names and bytes stay. */
  losePower(machine: SimMachine): void {
    this.#directory?.beforePowerLoss();
    machine.losePower();
    for (const slot of this.slots) if (slot.machine === machine) this.kill(slot);
    this.counts.add('machine lost its power');
    const lost = this.#directory?.lostObjects() ?? [];
    for (const key of lost) this.fail(`object ${key} was confirmed and is lost with the power`);
    this.oracle.forgetMachine(machine.name);
  }

  /** Ends every fault: from now on everything must come right. */
  calm(): void {
    this.isTroubled = false;
    if (this.bucket !== undefined) this.bucket.mode = 'normal';
    this.#setDisks();
  }

  /** True when every request gets its answer soon. */
  get isNetworkCalm(): boolean {
    if (!this.isTroubled) return true;
    const isLong = this.nowMs - this.#lastTroubleMs < 4_000_000;
    return this.profile.network.trouble === 0 && !isLong;
  }

  /** True when disks fail, or memory is short. */
  get areHostsBad(): boolean {
    const { disk, memoryRefusals } = this.profile;
    const { read, write, open } = disk;
    return this.isTroubled && read + write + open + memoryRefusals.process > 0;
  }

  /** True when the bucket is a directory on a disk that fails. */
  get isBucketOnBadDisk(): boolean {
    return this.bucket === undefined && this.isTroubled;
  }

  get isCollected(): boolean {
    return this.profile.objectStoreBytesMax !== false;
  }

  /** True when bytes on disks are changed: then a pending payload may be gone for good. */
  get mayLosePending(): boolean {
    return this.profile.extra['damage-log'] !== undefined;
  }

  /** True when nothing but crashes goes wrong. */
  get isQuietProfile(): boolean {
    const { network, processesPerMachine } = this.profile;
    const isSound = network.trouble + network.altered + network.staleLists === 0;
    return isSound && processesPerMachine === 1 && !this.areHostsBad;
  }

  /** Outages of the bucket so far. */
  get outages(): number {
    return this.#outages;
  }

  noteOutage(): void {
    this.#outages += 1;
  }

  /** From now on, and for a while after it has ended, the bucket may not answer. */
  noteTrouble(): void {
    this.#lastTroubleMs = this.nowMs;
  }

  /** A use of the machine's mortal chain begins. The result tells whether it was the only one. */
  enterMortal(machine: SimMachine): {
    readonly isAlone: () => boolean;
    readonly leave: () => void;
  } {
    const use = this.#mortal.get(machine) ?? { running: 0, begun: 0 };
    this.#mortal.set(machine, use);
    use.running += 1;
    use.begun += 1;
    const { begun, running } = use;
    return {
      // What a killed process had sent may still arrive for a while.
      isAlone: () =>
        running === 1 && use.begun === begun && this.nowMs - this.#lastKillMs > lateArrivalMs,
      leave: () => {
        use.running -= 1;
      },
    };
  }

  #countKill({ activity }: SimProcess): void {
    this.counts.add('process killed');
    this.#lastKillMs = this.nowMs;
    const isBusy = (what: Activity): boolean => (activity.get(what) ?? 0) > 0;
    if (isBusy('save')) this.counts.add('process killed in mid-save');
    if (isBusy('upload')) this.counts.add('process killed in mid-upload');
    if (isBusy('close')) this.counts.add('process killed in mid-close');
    if (isBusy('open')) this.counts.add('process killed as it opened');
  }

  /** However many processes write: the bucket never holds more than its budget and a segment. */
  #checkBucketBound(): void {
    const { objectStoreBytesMax: budget } = this.profile;
    if (budget === false || this.bucket === undefined) return;
    const bytes = this.bucket.bytesUnder(`${keyPrefix}/`);
    if (bytes > budget + budget / 8) this.fail(`the bucket holds ${bytes} bytes of ${budget}`);
  }

  #setDisks(): void {
    for (const machine of this.machines) {
      machine.memoryKillShare = this.isTroubled ? 0.004 : 0;
      machine.memoryRefusals = this.isTroubled ? this.profile.memoryRefusals : noRefusals;
      machine.diskFaults = this.isTroubled ? this.profile.disk : noDiskFaults;
      machine.disk.capacityBytes = this.isTroubled
        ? this.profile.capacityBytes
        : Number.POSITIVE_INFINITY;
    }
  }

  async #open(slot: Slot, prefix: string): Promise<void> {
    const { profile } = this;
    const process = new SimProcess(slot.machine, this.#parts, profile.sharesMemory);
    slot.process = process;
    const settings = {
      ...{ namespace: this.namespaces[0], keyPrefix: prefix, cacheDirectory, putDurable: false },
      ...{ memoryBytes: profile.memoryBytes, diskBytes: profile.diskBytes },
      objectStoreBytesMax: profile.objectStoreBytesMax,
      ...{ compression: profile.compression, compressionLevel: 1, readV1: profile.readV1 },
      ...{ lookupDeadlineMs: 250, loadDeadlineMs: 10_000, callDeadlineMsMax: 30_000 },
    };
    const { platform } = process;
    const opening = async (): Promise<KvStore> => {
      const sharedDirectory = profile.sharesMemory ? await newSharedDirectory(platform) : undefined;
      process.sharedDirectory = sharedDirectory;
      const store = await assembleStore({
        platform,
        logger: silentLogger,
        objects: this.#objectsFor(process),
        transcoder: simTranscoder(process, () => (this.#zstd ??= loadZstd())),
        settings: { ...settings, sharedDirectory },
      });
      return sharedDirectory === undefined
        ? store
        : removingMemory(store, platform, sharedDirectory);
    };
    const outcome = await this.#watch(process, 'open', 60_000, () =>
      process.during('open', opening()),
    );
    process.trace(`open: ${outcome.kind}`);
    if (outcome.kind === 'answer') {
      slot.store = outcome.value;
      return;
    }
    if (outcome.kind === 'failed') {
      process.trace(`open: ${String(outcome.error)}`);
      this.#checkNothingHeld(process, 'an opening that failed');
      if (!this.isTroubled) this.fail(`a store does not open: ${String(outcome.error)}`);
    }
    process.kill();
    if (slot.process === process) slot.process = undefined;
    slot.machine.processes.delete(process);
  }

  async #close(slot: Slot, store: KvStore, process: SimProcess): Promise<void> {
    slot.store = undefined;
    const outcome = await this.#watch(process, 'close', 40_000, () =>
      process.during('close', store.close()),
    );
    process.trace(`close: ${outcome.kind}`);
    if (outcome.kind === 'failed') this.fail(`close failed: ${String(outcome.error)}`);
    if (outcome.kind === 'answer') {
      // What a close leaves behind for a moment, such as a reply that nobody waits for, may end.
      await this.scheduler.wait(5000);
      if (process.isAlive) this.#checkNothingHeld(process, 'a store that was closed');
      process.kill();
    }
    slot.machine.processes.delete(process);
    if (slot.process === process) slot.process = undefined;
  }

  #checkNothingHeld(process: SimProcess, who: string): void {
    if (process.holdings !== '') this.fail(`${who} still holds ${process.holdings}`);
  }

  #objectsFor(process: SimProcess): ObjectStore {
    const { bucket } = this;
    if (bucket === undefined) {
      const store = new DirectoryObjectStore(process.platform, bucketDirectory);
      return watchedDirectory(store, this.#directory as DirectoryTruth);
    }
    return new SimNetwork({
      ...{ world: this.#parts, bucket, process },
      shares: (): NetworkShares => (this.isTroubled ? this.profile.network : calmNetwork),
      onAltered: (key, isForGood) => this.oracle.noteAltered(key, isForGood),
      onLatePut: (key) => {
        if (key.includes('/rawtail/')) this.oracle.rawTails.weaken();
      },
    });
  }

  /** The task's outcome; a failure of the simulation when it takes longer than the limit. */
  #watch<Value>(
    process: SimProcess,
    what: string,
    limitMs: number,
    task: () => Promise<Value>,
  ): Promise<Outcome<Value>> {
    // Killed by something that does not know the slot, such as a wipe of the machine.
    if (!process.isAlive) return Promise.resolve({ kind: 'died' });
    return new Promise((resolve) => {
      const end = (outcome: Outcome<Value>): void => {
        forget();
        timer.cancel();
        resolve(outcome);
      };
      const forget = process.whenKilled(() => end({ kind: 'died' }));
      const timer = this.scheduler.after(limitMs, () => {
        this.fail(`${what} by ${process.name} did not end within ${limitMs} ms`);
        end({ kind: 'died' });
      });
      task().then(
        (value) => end({ kind: 'answer', value }),
        (error: unknown) => end({ kind: 'failed', error }),
      );
    });
  }
}

/** The store, which removes its shared memory when it has closed, as a daemon does. */
function removingMemory(store: KvStore, platform: Platform, directory: string): KvStore {
  const close = store.close.bind(store);
  return Object.assign(store, {
    close: async () => {
      await close();
      try {
        await removeIfSettled(platform, directory);
      } catch (error) {
        // A daemon tells of what its disk refuses, and has ended all the same; a later one removes the memory.
        if (systemErrorCode(error) === undefined) throw error;
      }
    },
  });
}

/** Whatever a killed process had sent has arrived after so long. */
const lateArrivalMs = 5000;
