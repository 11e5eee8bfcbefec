import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { librarySources, linkShared } from '../../tools/capi-build.ts';
import { compile } from '../../tools/capi-compile.ts';
import { zigCompiler } from '../../tools/zig.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { runKernelsTest } from './kernels-build.ts';
import { listedSymbols } from './listed-symbols.ts';
import { exportedByMachO } from './mach-o.ts';

/**
 * Goal: what is written for other systems and processors than this one is right as far as this one can tell: the
 * kernels for ARM64 compute what independent implementations compute, and the library is compiled for macOS without a
 * warning, linked, and exports what the list of symbols says.
 * Method: the kernels' own test by Debian's cross compiler under an emulator of the processor; the library by Zig's C
 * compiler, which has the headers of macOS. Nothing of it runs on macOS.
 */
const timeout = 600_000;

/** The lane of the C library installs what is asked for, so there it must be (tools/capi.ts). */
function without(...programs: readonly string[]): string | false {
  if (process.env['WOMBATKV_TEST_C_FLAVOUR'] === undefined) {
    return 'left to another lane: npm run capi';
  }
  const absent = programs.find((program) => spawnSync(program, ['--version']).status !== 0);
  return absent !== undefined && `there is no ${absent}`;
}

const armCompiler = 'aarch64-linux-gnu-gcc';
const armEmulator = 'qemu-aarch64';

describe('kernels on ARM64', { skip: without(armCompiler, armEmulator) }, () => {
  for (const processor of ['max', 'cortex-a53']) {
    it(`agree with independent implementations on ${processor}`, { timeout }, async () => {
      const printed = await runKernelsTest(armCompiler, randomInt(2 ** 31), {
        arch: 'arm64',
        // Sanitizers do not run in the emulator.
        flags: ['-static'],
        through: [armEmulator, '-cpu', processor],
      });
      for (const kernel of ['crc32c arm', 'hex neon', 'planes', 'blake3 of this processor']) {
        assert.match(printed, new RegExp(`^${kernel}: tested$`, 'm'));
      }
      assert.match(printed, /^crc32c in use: arm$/m);
    });
  }
});

/** Zig compiles for the least processor of a name, and says of each of its features that it is not there. */
const macTargets = [
  ['arm64', 'aarch64-macos', 0x0100000c, []],
  ['x64', 'x86_64-macos', 0x01000007, ['-mcpu=x86_64+crc32']],
] as const;

const withoutZig = existsSync(zigCompiler()) ? false : 'there is no Zig';

describe('libwombatkv for macOS', { skip: without() || withoutZig }, () => {
  for (const [arch, target, processor, flags] of macTargets) {
    it(`is compiled and linked for ${arch}, without a warning`, { timeout }, async () => {
      const folder = await makeTemporaryDirectory('macos');
      try {
        const toolchain = { compiler: zigCompiler(), flavour: 'plain', target } as const;
        const sources = librarySources(arch).map((source) => ({
          ...source,
          flags: [...flags, ...source.flags],
        }));
        const objects = await compile(toolchain, sources);
        const shared = readFileSync(await linkShared(toolchain, objects, folder.path));
        assert.ok(existsSync(`${folder.path}/libwombatkv.dylib`), 'it has its plain name');
        // 64 bits, little-endian; the processor; a dynamic library.
        assert.equal(shared.readUInt32LE(0), 0xfeedfacf);
        assert.equal(shared.readUInt32LE(4), processor);
        assert.equal(shared.readUInt32LE(12), 6);
        assert.deepEqual(
          exportedByMachO(shared),
          listedSymbols().map((name) => `_${name}`),
        );
      } finally {
        await folder.remove();
      }
    });
  }
});
