import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { keyOf, recordOf } from '../../test/support/cached-payloads.ts';
import {
  extentHeaderBytes,
  extentHeaderSkip,
  readExtentHeader,
  writeExtentHeader,
} from './extent-header.ts';
import { encodeKeys } from './log-record.ts';

const place = { segment: 3, offset: 40_960, seed: 0x1234_5678 };
const chain = Array.from({ length: 70 }, (_, index) => keyOf(`chain/${index}`));
const payload = new Uint8Array(100).fill(7);
const record = recordOf('chain/2', payload, {
  ...{ saveIndex: 2, saveId: 9, sequence: 77, parent: chain[1], position: 256, tokens: 128 },
  ...{ hasDecodedTokens: true, fingerprint: keyOf('model') },
});

function written(keys = encodeKeys(chain)): Uint8Array {
  const bytes = new Uint8Array(extentHeaderBytes).fill(0xa5);
  writeExtentHeader(bytes, record, keys, place);
  return bytes;
}

describe('extent header', () => {
  it('says all that a record of the log says, and up to 63 keys that follow', () => {
    const header = readExtentHeader(written(), place);
    assert.deepEqual(header?.record, record);
    assert.deepEqual(header.following, chain.slice(3, 66));
  });

  it('has no following keys at the end of a chain, or of a payload without one', () => {
    assert.deepEqual(
      readExtentHeader(written(encodeKeys(chain.slice(0, 3))), place)?.following,
      [],
    );
    assert.deepEqual(readExtentHeader(written(new Uint8Array(0)), place)?.following, []);
  });

  it('lies at offsets that other programs may rely on', () => {
    const view = new DataView(written().buffer);
    assert.equal(new TextDecoder().decode(written().subarray(0, 4)), 'WKVR');
    assert.equal(view.getUint32(256, true), 63);
    assert.equal(Buffer.from(written().subarray(264, 296)).toString('hex'), chain[3]);
    assert.deepEqual([extentHeaderBytes, extentHeaderSkip], [2304, 72]);
  });

  it('is of its place and of its files alone', () => {
    const bytes = written();
    for (const other of [{ segment: 4 }, { offset: 45_056 }, { seed: 1 }]) {
      assert.equal(readExtentHeader(bytes, { ...place, ...other }), undefined);
    }
  });

  it('shows every changed bit: of the record it is none, of the keys they are not known', () => {
    const bytes = written();
    const recordEnd = 160 + record.namespace.length + 4;
    const keysEnd = 264 + 63 * 32;
    for (let at = 0; at < extentHeaderBytes; at += 1) {
      bytes[at] ^= 1 << (at % 8);
      const header = readExtentHeader(bytes, place);
      bytes[at] ^= 1 << (at % 8);
      const isOfKeys = at >= 256 && at < keysEnd;
      if (at < recordEnd) assert.equal(header, undefined, `byte ${at}`);
      else assert.equal(header?.following === undefined, isOfKeys, `byte ${at}`);
    }
  });
});
