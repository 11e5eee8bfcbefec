import { processMemory } from '../../src/platform/payload-memory.ts';
import type { PayloadMemory } from '../../src/platform/payload-memory.ts';

/** Memory of the process that refuses what the test says, and gives everything else. */
export class RefusingMemory implements PayloadMemory {
  /** Told of each length that is asked for. */
  refuses: (byteLength: number) => boolean = () => false;
  refused = 0;

  take(byteLength: number): Uint8Array<SharedArrayBuffer> | undefined {
    if (!this.refuses(byteLength)) return processMemory.take(byteLength);
    this.refused += 1;
    return undefined;
  }

  /** Refuses what is as long as that, behind the first ones. */
  refuseBehind(count: number, isMeant: (byteLength: number) => boolean): void {
    let given = 0;
    this.refuses = (byteLength) => {
      if (!isMeant(byteLength)) return false;
      given += 1;
      return given > count;
    };
  }

  /** Refuses nothing any more. */
  recover(): void {
    this.refuses = () => false;
  }
}
