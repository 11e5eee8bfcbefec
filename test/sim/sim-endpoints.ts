import type { Endpoints, Listener } from '../../src/platform/endpoints.ts';
import { systemError } from '../support/hooked-files.ts';
import type { ProcessDoor } from './process-door.ts';
import type { SimMachine } from './sim-machine.ts';

/** Milliseconds that a call takes. */
const callMs = 0.1;

/** The Unix sockets of a machine, as one of its processes sees them. */
export class SimEndpoints implements Endpoints {
  readonly #process: ProcessDoor;
  readonly #machine: SimMachine;
  readonly #own = new Set<string>();

  constructor(process: ProcessDoor, machine: SimMachine) {
    this.#process = process;
    this.#machine = machine;
  }

  /** Sockets that this process listens on. */
  get listening(): number {
    return this.#own.size;
  }

  /** The socket that it has listened on for the longest time: that in its own place. */
  get firstListening(): string | undefined {
    return [...this.#own][0];
  }

  listen(path: string): Promise<Listener> {
    const { disk, listening } = this.#machine;
    return this.#process.ask(callMs, () => {
      if (disk.find(path) !== undefined) throw systemError('EADDRINUSE');
      disk.apply({ kind: 'make-socket', path });
      listening.add(path);
      this.#own.add(path);
      this.#process.trace(`listen ${path}`);
      return { close: () => this.#close(path) };
    });
  }

  isListening(path: string): Promise<boolean> {
    const { disk, listening } = this.#machine;
    return this.#process.ask(callMs, () => disk.find(path) !== undefined && listening.has(path));
  }

  /** The process is gone: its sockets stay as names that nobody answers. */
  releaseAll(): void {
    for (const path of this.#own) this.#machine.listening.delete(path);
    this.#own.clear();
  }

  #close(path: string): Promise<void> {
    const { disk, listening } = this.#machine;
    return this.#process.ask(callMs, () => {
      listening.delete(path);
      this.#own.delete(path);
      if (disk.find(path) !== undefined) disk.apply({ kind: 'remove', path });
      this.#process.trace(`close ${path}`);
    });
  }
}
