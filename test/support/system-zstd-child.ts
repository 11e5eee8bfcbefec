/*
 * A process that decodes payloads before it has a worker, with whichever zstd its system has, and says by what: `system` or
 * `other`, for what a thread decodes and for what is short.
 */
import assert from 'node:assert/strict';
import { crc32c } from '../../src/base/crc32c.ts';
import { nativeKernels, useNativeKernels } from '../../src/base/native-kernels.ts';
import { loadZstd } from '../../src/format/zstd.ts';
import type { Zstd } from '../../src/format/zstd.ts';
import { nativeCode } from '../../src/platform/native.ts';
import { EarlyDecodes } from '../../src/store/early-decodes.ts';
import { encodeNow } from '../../src/store/encode-now.ts';
import { headerOf } from './encoded-frames.ts';
import { inSharedMemory, smoothPayload } from './payloads.ts';

const zstd = loadZstd();
useNativeKernels(nativeCode('auto').code);
assert.notEqual(nativeKernels(), undefined);
const said: string[] = [];
for (const byteLength of [300_000, 20_000]) {
  const payload = smoothPayload('decoded', byteLength);
  const task = { payload, crc: crc32c(payload), compress: true, level: 1 };
  const encoded = encodeNow(task, () => zstd);
  const stored = inSharedMemory(encoded.stored ?? payload);
  const target = new Uint8Array(new SharedArrayBuffer(byteLength));
  let by = 'system';
  const other = (): Zstd => {
    by = 'other';
    return zstd;
  };
  const decode = { header: headerOf(payload, encoded), stored, target };
  assert.equal(await new EarlyDecodes().decode(decode, other), true);
  assert.deepEqual(new Uint8Array(target), payload);
  said.push(by);
}
process.stdout.write(`${said.join(' ')}\n`);
