import assert from 'node:assert/strict';
import type { Clock, ScheduledCall } from '../../src/platform/clock.ts';
import { processMemory } from '../../src/platform/payload-memory.ts';
import type { Platform } from '../../src/platform/platform.ts';
import type { Dice } from './dice.ts';
import type { ProcessDoor } from './process-door.ts';
import type { Scheduler, SimEvent } from './scheduler.ts';
import { SimEndpoints } from './sim-endpoints.ts';
import { SimFiles } from './sim-files.ts';
import { memoryDirectory } from './sim-machine.ts';
import type { SimMachine, SimWorldParts } from './sim-machine.ts';
import { SimSharedFiles } from './sim-shared-memory.ts';

/** Something that the process asked of the world and that has not happened yet. */
interface Flight {
  /** What a kill may leave of it: all, or a part. Absent: nothing happens without an answer. */
  readonly cutOff: ((dice: Dice) => void) | undefined;
}

/** What a process may be doing when it is killed. */
export type Activity = 'save' | 'upload' | 'close' | 'open';

/**
 * A process of a simulated machine: the platform that its store gets. Whatever it asks takes virtual
 * time. A kill ends it between two events: what it has asked for happens wholly, in part, or not at
 * all, and nothing is answered any more.
 */
export class SimProcess implements ProcessDoor {
  readonly name: string;
  readonly machine: SimMachine;
  readonly platform: Platform;
  readonly files: SimFiles;
  readonly endpoints: SimEndpoints;
  /** Where its store accepts in memory, if it does. */
  sharedDirectory: string | undefined;
  /** How many activities of a kind are under way, for whoever counts what a kill interrupts. */
  readonly activity = new Map<Activity, number>();
  readonly #parts: SimWorldParts;
  readonly #flights = new Set<Flight>();
  readonly #timers = new Set<SimEvent>();
  readonly #startMs: number;
  readonly #deathListeners = new Set<() => void>();
  readonly #sharedFiles: SimSharedFiles | undefined;
  #isAlive = true;

  /** A new process of the machine. `sharesMemory`: it has native code, and a file system in memory. */
  constructor(machine: SimMachine, parts: SimWorldParts, sharesMemory = false) {
    machine.processesStarted += 1;
    machine.processes.add(this);
    this.machine = machine;
    this.name = `${machine.name}/${machine.processesStarted}`;
    this.#parts = parts;
    this.#startMs = parts.scheduler.nowMs;
    this.files = new SimFiles(this, machine, parts);
    this.endpoints = new SimEndpoints(this, machine);
    this.#sharedFiles = sharesMemory ? new SimSharedFiles(machine, this, parts) : undefined;
    this.platform = {
      sharedMemory: this.#sharedFiles,
      clock: this.#clock(),
      memory: {
        take: (byteLength) =>
          machine.refusesMemory('process') ? undefined : processMemory.take(byteLength),
      },
      random: { fraction: () => parts.dice.fraction(), hex: (count) => parts.dice.hex(count) },
      files: this.files,
      endpoints: this.endpoints,
      // The bucket is reached through the simulated network; nothing else is outside.
      http: { open: () => assert.fail('a simulated process has no HTTP') },
      cloudCredentials: { fetch: () => assert.fail('a simulated process has no credentials') },
      host: {
        processId: 1000 + machine.processesStarted,
        bootId: machine.bootId,
        hostName: machine.name,
        homeDirectory: '/sim',
        temporaryDirectory: '/sim',
        memoryDirectory: sharesMemory ? memoryDirectory : undefined,
        processors: 2,
      },
      environment: {},
    };
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get scheduler(): Scheduler {
    return this.#parts.scheduler;
  }

  trace(what: string): void {
    this.#parts.trace.add(this.name, what);
  }

  /** Does it after so many milliseconds, and answers, as long as the process lives. */
  ask<Result>(ms: number, task: () => Result, cutOff?: (dice: Dice) => void): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (!this.#isAlive) return;
      const flight: Flight = { cutOff };
      this.#flights.add(flight);
      this.#parts.scheduler.after(ms, () => {
        if (!this.#isAlive) return;
        this.#flights.delete(flight);
        try {
          resolve(task());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  /** Ends the process as SIGKILL does. */
  kill(): void {
    if (!this.#isAlive) return;
    this.trace('killed');
    this.#isAlive = false;
    for (const { cutOff } of this.#flights) cutOff?.(this.#parts.dice);
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.files.releaseAll();
    this.endpoints.releaseAll();
    this.#sharedFiles?.releaseAll();
    for (const onDeath of this.#deathListeners) onDeath();
  }

  /** Notes that the activity is under way until the promise has settled. */
  during<Result>(activity: Activity, task: Promise<Result>): Promise<Result> {
    const add = (count: number): void => {
      this.activity.set(activity, (this.activity.get(activity) ?? 0) + count);
    };
    const end = (): void => add(-1);
    add(1);
    task.then(end, end);
    return task;
  }

  /** Calls it when the process is killed. The result forgets it. */
  whenKilled(onDeath: () => void): () => void {
    this.#deathListeners.add(onDeath);
    return () => this.#deathListeners.delete(onDeath);
  }

  /** What the process holds of the world, in words; empty when it holds nothing. */
  get holdings(): string {
    const held = [
      [this.files.openCount, 'open files'],
      [this.#sharedFiles?.openCount ?? 0, 'open files of shared memory'],
      [this.endpoints.listening, 'sockets'],
      [this.#timers.size, 'timers'],
      [this.#flights.size, 'requests'],
    ] as const;
    return held
      .filter(([count]) => count > 0)
      .map(([count, what]) => `${count} ${what}`)
      .join(', ');
  }

  #clock(): Clock {
    const { scheduler } = this.#parts;
    const schedule = (ms: number, callback: () => void): ScheduledCall => {
      if (!this.#isAlive) return { cancel: () => undefined };
      const timer = scheduler.after(Math.max(1, ms), () => {
        this.#timers.delete(timer);
        if (this.#isAlive) callback();
      });
      this.#timers.add(timer);
      return {
        cancel: () => {
          timer.cancel();
          this.#timers.delete(timer);
        },
      };
    };
    return {
      wallMs: () => this.machine.wallMs,
      nowMs: () => scheduler.nowMs - this.#startMs,
      schedule,
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          const onAbort = (): void => {
            timer.cancel();
            reject(signal?.reason as Error);
          };
          if (signal?.aborted) {
            reject(signal.reason as Error);
            return;
          }
          const timer = schedule(ms, () => {
            signal?.removeEventListener('abort', onAbort);
            resolve();
          });
          signal?.addEventListener('abort', onAbort, { once: true });
        }),
      yield: () => this.ask(0, () => undefined),
    };
  }
}
