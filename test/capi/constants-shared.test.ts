import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { limits } from '../../src/blocks/limits.ts';
import {
  ringDataStart,
  ringLoanBytes,
  ringLoansStart,
  ringUnitBytes,
  ringWords,
} from '../../src/cache/ring-layout.ts';
import { factBits, ownerOf } from '../../src/cache/shared-layout.ts';
import { ownerMost } from '../../src/catalog/tag-shard.ts';
import { knownFile } from '../../src/platform/known-file.ts';
import * as shared from '../../src/platform/shared-memory.ts';
import { frameHeaderBytes } from '../../src/protocol/frame.ts';
import { bulkPreambleBytes, checksumBytes } from '../../src/protocol/http1-bulk.ts';
import { features } from '../../src/protocol/session-messages.ts';
import { projectRoot } from '../../tools/project.ts';
import { constantsBelow, constantsIn, cSource } from './c-constants.ts';
import { comparedElsewhere, ofCAlone } from './constants-of-c.ts';

const folders = ['src/shared', 'src/library', 'node'];
const all = [...constantsIn('src/known.h'), ...folders.flatMap(constantsBelow)];
const compared = new Set<string>();

/** Each constant of the file has the value that TypeScript gives it. */
function compare(path: string, values: Readonly<Record<string, number | bigint>>): void {
  for (const [name, value] of Object.entries(values)) {
    const id = `${path} ${name}`;
    const found = all.filter((one) => one.id === id).map((one) => one.value);
    assert.deepEqual(found, [BigInt(value)], id);
    compared.add(id);
  }
}

/** A number that a source in TypeScript keeps to itself. */
function ownNumber(path: string, name: string): number {
  const text = readFileSync(join(projectRoot(), 'src', path), 'utf8');
  const value = new RegExp(`^const ${name} = ([^;]+);`, 'm').exec(text)?.[1] ?? '';
  const parts = value.replaceAll('_', '').split(/ (\*|<<) /);
  return parts.reduce(
    (sum, part, at) =>
      at % 2 === 1 ? sum : parts[at - 1] === '<<' ? sum << Number(part) : sum * Number(part),
    1,
  );
}

/** What the compiler holds of a struct: where its fields are, and its bytes as `sizeof`. */
function layoutOf(path: string, struct: string): Readonly<Record<string, number>> {
  const text = cSource(path);
  const fields = text.matchAll(new RegExp(`offsetof\\(struct ${struct}, (\\w+)\\) == (\\d+)`, 'g'));
  const size = new RegExp(`sizeof\\(struct ${struct}\\) == (\\d+)`).exec(text)?.[1];
  return {
    ...Object.fromEntries(Array.from(fields, ([, name = '', at]) => [name, Number(at)])),
    ...(size === undefined ? {} : { sizeof: Number(size) }),
  };
}

/** The eight bytes as C writes them, which is one little-endian word. */
function word(text: string): bigint {
  return Buffer.from(text, 'latin1').readBigUInt64LE();
}

/** Nothing here needs a compiler: what both languages say is compared as text. */
describe('the constants of shared memory in C', () => {
  it('are those of the index', () => {
    const header = 'src/shared/shared-index.h';
    compare(header, {
      WMBT_INDEX_MAGIC: word('WKVIDX1\0'),
      WMBT_LOCATION_SKIP: BigInt(shared.skipMax) << 56n,
      WMBT_OWNER_MARKS: shared.ownerMarks.held | shared.ownerMarks.confirmed,
      wmbt_index_header_bytes: shared.namesStart,
      wmbt_index_names_bytes: shared.namesMax * shared.nameBytes,
      wmbt_client_slots: shared.clientsMax,
      wmbt_client_hazards: shared.hazardsMax,
      wmbt_index_is_open: shared.indexStates.open,
      wmbt_index_is_closed: shared.indexStates.closed,
      wmbt_index_is_superseded: shared.indexStates.superseded,
    });
    assert.equal(shared.pinKeysMax, shared.hazardsMax, 'pins of one call');
    assert.equal(shared.entriesStart, shared.namesStart + shared.namesMax * shared.nameBytes);
    const { names, state, generation, pinnedBytesMax } = shared.headerWords;
    assert.deepEqual(layoutOf(header, 'wmbt_index_header'), {
      ...{ version: 8, log2_capacity: 12, names: 4 * names, state: 4 * state },
      ...{ generation: 4 * generation, pinned_bytes_max: 4 * pinnedBytesMax },
    });
    const { sequence, location, owner } = shared.entryOffsets;
    assert.deepEqual(layoutOf(header, 'wmbt_index_entry'), {
      ...{ sequence, location, facts: owner - 4, sizeof: shared.entryBytes },
    });
    assert.deepEqual(layoutOf(header, 'wmbt_client'), {
      ...{ oldest_index: 4 * shared.clientWords.oldestIndex, sizeof: shared.clientBytes },
    });
    // Where whoever follows a store finds the same.
    const scan = readFileSync(join(projectRoot(), 'src/cache/memory-scan.ts'), 'utf8');
    assert.match(
      scan,
      /view\.getUint32\(12, true\).*versions\.includes\(view\.getUint32\(8, true\)\)/s,
    );
    const version = /version = (\d+), version_min = (\d+);/.exec(
      cSource('src/shared/shared-index.c'),
    );
    const versions = /versions: readonly number\[\] = \[([\d, ]+)\]/.exec(scan)?.[1]?.split(', ');
    assert.equal(version?.[1], versions?.at(-1));
    assert.ok(versions?.includes(version?.[2] ?? 'none'));
    assert.match(scan, /magic = 'WKVIDX1\\0'/);
  });

  it('are those of its names and facts', () => {
    compare('src/library/shared-reader.c', {
      names_max: shared.namesMax,
      name_bytes: shared.nameBytes,
      name_text_max: shared.nameBytes - 2,
      fact_tokens_max: factBits.tokensMax,
      fact_decoded: factBits.decoded,
      fact_fingerprint_shift: factBits.fingerprintShift,
      offset_unit_bytes: shared.offsetUnitBytes,
      skip_unit_bytes: shared.skipUnitBytes,
    });
    const names = readFileSync(join(projectRoot(), 'src/cache/shared-names.ts'), 'utf8');
    const kinds = /= \{ namespace: (\d+), fingerprint: (\d+) \}/.exec(names);
    compare('src/library/shared-reader.c', {
      namespace_kind: Number(kinds?.[1]),
      fingerprint_kind: Number(kinds?.[2]),
    });
    compare('src/library/shared-reader.h', {
      wmbt_kind_block: ownerOf(0),
      wmbt_kind_tail: ownerOf(0, 'tail'),
      wmbt_kind_raw_tail: ownerOf(0, 'raw-tail'),
      wmbt_segments_max: ownNumber('cache/shared-segments.ts', 'segmentsMax'),
    });
    compare('src/library/shared-uses.c', { unit_bytes: shared.offsetUnitBytes });
    compare('src/shared/huge-pages.h', { wmbt_huge_bytes: shared.hugePageBytes });
  });

  it('are those of lent memory', () => {
    compare('src/shared/shared-lent.h', {
      wmbt_stamps_max: shared.stampsMax,
      wmbt_offset_unit_bytes: shared.offsetUnitBytes,
    });
    assert.deepEqual(layoutOf('src/shared/shared-lent.h', 'wmbt_stamp'), {
      sizeof: shared.stampBytes,
    });
  });

  it('are those of a ring', () => {
    compare('src/shared/commit-ring.h', {
      wmbt_ring_data_at: ringDataStart,
      wmbt_ring_unit_bytes: ringUnitBytes,
      wmbt_ring_version: ownNumber('cache/ring-layout.ts', 'version'),
      wmbt_ring_loans_max: limits.ringLoansMax,
    });
    const { dataBytes, isClosed, isTold, isPaused, wantedBytes, wantedCount, ...same } = ringWords;
    assert.deepEqual(layoutOf('src/shared/commit-ring.h', 'wmbt_ring_header'), {
      ...same,
      ...{ data_bytes: dataBytes, is_closed: isClosed, is_told: isTold, is_paused: isPaused },
      ...{ wanted_bytes: wantedBytes, wanted_count: wantedCount, loans: ringLoansStart },
    });
    assert.deepEqual(layoutOf('src/shared/commit-ring.h', 'wmbt_ring_loan'), {
      sizeof: ringLoanBytes,
    });
  });

  it('are those of a save in a ring', () => {
    const layout = 'cache/ring-layout.ts';
    compare('src/shared/ring-entry.h', {
      WMBT_RING_BLOCKS_MAX: limits.ringBlocksMax,
      WMBT_RING_BLOCK_BYTES_MIN: limits.ringBlockBytesMin,
      WMBT_RING_PAYLOAD_BYTES_MAX: limits.ringPayloadBytesMax,
      wmbt_ring_entry_magic: ownNumber(layout, 'entryMagic'),
    });
    compare('src/shared/announced.h', { WMBT_POSITION_UNKNOWN: ownNumber(layout, 'noPosition') });
    const text = readFileSync(join(projectRoot(), 'src', layout), 'utf8');
    const ofEntry = /entryFlags = \{ parent: (\d+), fingerprint: (\d+) \}/.exec(text);
    const ofBlock = /blockFlags = \{ decoded: (\d+), lent: (\d+) \}/.exec(text);
    const entry = 'src/shared/ring-entry.c';
    compare(entry, {
      parent_flag: Number(ofEntry?.[1]),
      fingerprint_flag: Number(ofEntry?.[2]),
      decoded_flag: Number(ofBlock?.[1]),
      lent_flag: Number(ofBlock?.[2]),
      alignment: ownNumber(layout, 'rowAlignment'),
    });
    const bytes = { wmbt_ring_entry: 'fixedBytes', row: 'rowBytes', reference: 'referenceBytes' };
    for (const [struct, name] of Object.entries(bytes)) {
      assert.deepEqual(layoutOf(entry, struct), { sizeof: ownNumber(layout, name) }, struct);
    }
    const { parent, fingerprint } = shared.ringSaveFlags;
    compare('node/ring.c', {
      ...{ parent_flag: parent, fingerprint_flag: fingerprint },
      namespace_bytes_max: limits.namespaceBytesMax,
    });
    const names = [
      'is_left',
      'is_left_with_news',
      'has_no_room',
      'is_closed',
      'is_too_long',
      'is_no_key',
    ];
    compare('node/ring.c', Object.fromEntries(names.map((name, at) => [name, at])));
    assert.deepEqual(shared.ringLeavings, [
      'left',
      'left with news',
      'full',
      'closed',
      'too long',
      'no key',
    ]);
  });

  it('are those of the file of known keys', () => {
    compare('src/known.h', {
      wmbt_known_shards: knownFile.shards,
      wmbt_known_lanes: knownFile.entryBytes / 4,
      WMBT_KNOWN_OWNER_MOST: ownerMost,
      WMBT_KNOWN_MARK: ownNumber('catalog/tag-shard.ts', 'mark'),
      WMBT_KNOWN_FOUND: ownNumber('catalog/tag-shard.ts', 'found'),
    });
    const header = 'src/shared/known-file.h';
    compare(header, {
      wmbt_known_names_at: knownFile.namesStart,
      wmbt_known_names_most: knownFile.namesMax,
      wmbt_known_name_text: knownFile.nameTextMax,
      wmbt_known_log2_least: Math.log2(ownNumber('catalog/tag-shard.ts', 'slotsFirst')),
      wmbt_known_log2_region_least: Math.log2(knownFile.regionEntriesMin),
      wmbt_known_log2_small: Math.log2(knownFile.smallEntriesMax),
    });
    assert.deepEqual(layoutOf(header, 'wmbt_known_header'), { names: 4 * knownFile.namesWord });
    assert.deepEqual(layoutOf(header, 'wmbt_known_name'), {
      ...knownFile.nameOffsets,
      sizeof: knownFile.nameBytes,
    });
    const starts = cSource(header).matchAll(/\(wmbt_known_(\w+)_at == (\d+),/g);
    assert.deepEqual(Object.fromEntries(Array.from(starts, ([, name, at]) => [name, Number(at)])), {
      heads: knownFile.namesStart + knownFile.namesMax * knownFile.nameBytes,
      small: knownFile.smallStart,
      regions: knownFile.regionsStart,
    });
  });
});

describe('the constants of messages in C', () => {
  it('are those of frames', () => {
    compare('src/library/frame.h', { wmbt_frame_header_bytes: frameHeaderBytes });
    const writing = (name: string): number => ownNumber('protocol/write-messages.ts', name);
    const reading = (name: string): number => ownNumber('protocol/read-messages.ts', name);
    compare('src/library/messages.c', {
      durable_flag: writing('durableFlag'),
      accepted_flag: writing('notDurableFlag'),
      fingerprint_flag: writing('fingerprintFlag'),
      parent_flag: writing('parentFlag'),
      unasked_flag: writing('unaskedFlag'),
      whole_flag: writing('wholeFlag'),
      filling_flag: writing('fillFlag'),
      decoded_flag: writing('decodedFlag'),
      place_bytes: writing('placeBytes'),
      exact_wish: reading('exactFlag'),
      fingerprint_wish: reading('fingerprintFlag'),
      borrowing_wish: reading('mayBorrowFlag'),
      feature_lending: features.lending,
      feature_accepting: features.accepting,
      feature_ringing: features.ringing,
      feature_borrowing: features.borrowing,
      feature_borrowing_tails: features.borrowingTails,
    });
    compare('src/library/messages.h', {
      wmbt_client_id_bytes: ownNumber('protocol/session-messages.ts', 'clientIdBytes'),
    });
  });

  it('are those of bulk bodies', () => {
    const bulk = 'protocol/http1-bulk.ts';
    compare('src/library/http-bulk.h', {
      wmbt_bulk_preamble_bytes: bulkPreambleBytes,
      wmbt_bulk_record_bytes: ownNumber(bulk, 'recordBytes'),
      wmbt_bulk_checksum_bytes: checksumBytes,
      wmbt_bulk_attributes_bytes_max: ownNumber(bulk, 'attributesBytesMax'),
    });
  });

  it('are those of the module for Node', () => {
    compare('node/module.c', {
      interface_version: ownNumber('platform/native.ts', 'interfaceVersion'),
    });
    compare('node/steps.c', { parts_max: ownNumber('platform/native-file-steps.ts', 'partsMax') });
  });
});

describe('every constant of the C library', () => {
  it('is compared with TypeScript, or is of C alone', () => {
    const accounted = new Set([...compared, ...comparedElsewhere, ...ofCAlone]);
    const missing = all.filter(({ id }) => !accounted.has(id) && !/ wmbt_frame_\w+$/.test(id));
    assert.deepEqual(
      missing.map(({ id }) => id),
      [],
    );
    // The lists name nothing that is gone.
    const ids = new Set(all.map(({ id }) => id));
    assert.deepEqual(
      [...comparedElsewhere, ...ofCAlone].filter((id) => !ids.has(id)),
      [],
    );
    const both = ofCAlone.filter((id) => compared.has(id) || comparedElsewhere.includes(id));
    assert.deepEqual(both, []);
  });
});
