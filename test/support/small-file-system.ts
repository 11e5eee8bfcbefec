import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode } from '../../src/base/errors.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';
import type { TemporaryDirectory } from './temporary-directory.ts';

/** A file system in memory of so many bytes, like `/dev/shm`, which a test can fill. Needs the rights to mount one. */
export class SmallFileSystem {
  readonly path: string;
  readonly #temporary: TemporaryDirectory;

  private constructor(temporary: TemporaryDirectory, path: string) {
    this.#temporary = temporary;
    this.path = path;
  }

  static async mount(byteLength: number): Promise<SmallFileSystem> {
    const temporary = await makeTemporaryDirectory('small');
    const path = join(temporary.path, 'mounted');
    mkdirSync(path);
    const fault = mount(path, byteLength);
    if (fault === undefined) return new SmallFileSystem(temporary, path);
    await temporary.remove();
    throw new Error(`a file system of ${byteLength} bytes cannot be mounted: ${fault}`);
  }

  /** Takes all memory that is left, until {@link empty}. Gives how many bytes that was. */
  fill(): number {
    const file = openSync(this.#filling, 'w');
    const page = new Uint8Array(4096).fill(1);
    let byteLength = 0;
    try {
      for (;;) byteLength += writeSync(file, page);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOSPC') throw error;
    } finally {
      closeSync(file);
    }
    return byteLength;
  }

  empty(): void {
    rmSync(this.#filling);
  }

  async close(): Promise<void> {
    spawnSync('umount', ['--lazy', this.path]);
    await this.#temporary.remove();
  }

  get #filling(): string {
    return join(this.path, 'filling');
  }
}

/** Why a test cannot mount a file system, or false when it can; for the option `skip`. */
export function withoutMounts(): string | false {
  const isMountable = process.platform === 'linux' && process.getuid?.() === 0;
  if (!isMountable)
    return 'only root mounts a file system that can be filled: full memory is NOT tested here';
  const probe = join('/tmp', `wombatkv-mount-${process.pid}`);
  mkdirSync(probe, { recursive: true });
  const fault = mount(probe, 65_536);
  if (fault === undefined) spawnSync('umount', [probe]);
  rmSync(probe, { recursive: true });
  return fault === undefined
    ? false
    : `no file system can be mounted: full memory is NOT tested here: ${fault}`;
}

/** What the system says against it, or undefined. */
function mount(path: string, byteLength: number): string | undefined {
  const options = `size=${byteLength},mode=0700`;
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'none', path]);
  return status === 0 ? undefined : `${stderr?.toString() ?? 'no mount'}`.trim();
}
