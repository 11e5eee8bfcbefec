import type { Dice } from './dice.ts';
import type { FaultCounts } from './fault-counts.ts';
import type { Scheduler } from './scheduler.ts';
import { SimDisk } from './sim-disk.ts';
import type { Trace } from './trace.ts';

/** What everything in one simulated world shares. */
export interface SimWorldParts {
  readonly scheduler: Scheduler;
  readonly dice: Dice;
  readonly trace: Trace;
  readonly counts: FaultCounts;
}

/** How often a call of a disk goes wrong, as shares of the calls of that kind. */
export interface DiskFaultShares {
  readonly read: number;
  readonly write: number;
  readonly sync: number;
  readonly open: number;
  readonly slow: number;
}

export const noDiskFaults: DiskFaultShares = { read: 0, write: 0, sync: 0, open: 0, slow: 0 };

/** How often the system has no memory to give, as shares of the times that it is asked. */
export interface MemoryRefusalShares {
  /** Memory of the process, for payloads. */
  readonly process: number;
  /** A file of shared memory is made, or grows. */
  readonly shared: number;
}

export const noRefusals: MemoryRefusalShares = { process: 0, shared: 0 };

/** The moment at which every world begins, by the clock of the bucket. */
export const epochMs = 1_700_000_000_000;

/** The file system in memory: its files outlive processes, and nothing of it outlives the machine's power. */
export const memoryDirectory = '/sim-memory';

/** A machine: a disk, a clock that may be wrong, and processes. */
export class SimMachine {
  readonly name: string;
  readonly disk: SimDisk;
  diskFaults: DiskFaultShares = noDiskFaults;
  memoryRefusals: MemoryRefusalShares = noRefusals;
  /** How often a process is killed at a step of the writing of shared memory. */
  memoryKillShare = 0;
  /** How far its wall clock is ahead of the bucket's. */
  skewMs: number;
  /** Path of each socket that a living process listens on. */
  readonly listening = new Set<string>();
  /** Who has locked which file of shared memory. */
  readonly locks = new Map<string, object>();
  /** Processes that run on it. */
  readonly processes = new Set<{ kill(): void }>();
  processesStarted = 0;
  #boots = 1;
  readonly #parts: SimWorldParts;

  constructor(parts: SimWorldParts, name: string, skewMs: number) {
    this.#parts = parts;
    this.name = name;
    this.skewMs = skewMs;
    this.disk = new SimDisk(() => this.wallMs);
    for (const path of ['/sim', memoryDirectory]) this.disk.apply({ kind: 'make-directory', path });
    this.disk.root.sync();
  }

  get wallMs(): number {
    return epochMs + this.skewMs + this.#parts.scheduler.nowMs;
  }

  get bootId(): string {
    return `${this.name}-boot-${this.#boots}`;
  }

  /** True when the system has no such memory now, which was counted. */
  refusesMemory(kind: keyof MemoryRefusalShares): boolean {
    const share = this.memoryRefusals[kind];
    if (share === 0 || !this.#parts.dice.chance(share)) return false;
    const what = kind === 'process' ? 'out of memory' : 'shared memory full';
    this.#parts.counts.add(what);
    this.#parts.trace.add(this.name, what);
    return true;
  }

  /** Ends every process and boots again with what the disk had made durable. */
  losePower(): void {
    const { dice, counts, trace } = this.#parts;
    trace.add(this.name, 'power lost');
    for (const process of this.processes) process.kill();
    this.processes.clear();
    this.#forgetMemory();
    this.disk.losePower(dice, counts);
    this.#boots += 1;
  }

  #forgetMemory(): void {
    const memory = this.disk.directory(memoryDirectory);
    for (const name of [...memory.entries.keys()])
      this.disk.removeTree(`${memoryDirectory}/${name}`);
    memory.sync();
    this.locks.clear();
  }
}
