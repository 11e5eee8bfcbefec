import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { deferred } from '../base/deferred.ts';
import type { MissReason } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { keyOf, tenant } from '../../test/support/cached-payloads.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { UploadRig } from '../../test/support/upload-rig.ts';
import { Call } from './call.ts';
import { RawTails } from './raw-tails.ts';
import { ReadPath } from './read-path.ts';

const root = await makeTemporaryDirectory('raw-tails');
after(() => root.remove());

const loadDeadlineMs = 10_000;
const key = keyOf('tip');

/** Reading of one raw tail over real tiers, whose bucket, files and clock are in the hands of the test. */
class Rig {
  readonly parts: UploadRig;
  readonly #rawTails: RawTails;

  private constructor(parts: UploadRig) {
    this.parts = parts;
    const readPath = new ReadPath({ ...parts, loadDeadlineMs });
    this.#rawTails = new RawTails({ ...parts, readPath });
  }

  static async open(): Promise<Rig> {
    return new Rig(await UploadRig.open(`${root.path}/${nodePlatform().random.hex(8)}`));
  }

  /** The bytes under the tip, or why there are none. */
  load(): Promise<Uint8Array | MissReason> {
    const ref = { namespace: tenant, kind: 'raw-tail', key, parent: undefined, tokens: 0 } as const;
    return Call.run(this.parts.clock, {}, loadDeadlineMs, async (call) => {
      const found = await this.#rawTails.acquire(ref, call);
      if (typeof found === 'string') return found;
      const payload = found.pinned.payload.slice();
      found.pinned.extent.unpin();
      return payload;
    });
  }
}

const bytesOf = (version: string): Uint8Array => randomPayload(version, 500);

describe('RawTails', () => {
  it('reads what replaced a raw tail while that was being read from disk', async () => {
    const rig = await Rig.open();
    await rig.parts.saveRawTail('tip', 'old');
    await rig.parts.finish();
    const gate = deferred<void>();
    rig.parts.readGate = gate.promise;
    const early = rig.load();
    await rig.parts.saveRawTail('tip', 'new');
    const late = rig.load();
    gate.resolve();
    assert.deepEqual(await early, bytesOf('old'));
    assert.deepEqual(await late, bytesOf('new'));
    await rig.parts.finish();
    await rig.parts.close();
  });

  it('fetches what the disk does not give, or has damaged', async () => {
    for (const isDamaged of [false, true]) {
      const rig = await Rig.open();
      const entry = await rig.parts.saveRawTail('tip', 'kept');
      await rig.parts.finish();
      rig.parts.clock.advance(limits.rawTailFreshMs);
      if (isDamaged) await rig.parts.damage(entry);
      else rig.parts.isUnreadable = true;
      assert.deepEqual(await rig.load(), bytesOf('kept'));
      assert.deepEqual(await rig.load(), bytesOf('kept'));
      await rig.parts.close();
    }
  });
});
