import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { storeErrorCodes } from '../../src/base/errors.ts';
import { ABI_MAJOR, ABI_MINOR } from '../../src/blocks/abi-version.ts';
import { limits } from '../../src/blocks/limits.ts';
import { httpClientLimits } from '../../src/client/http-limits.ts';
import { extentHeaderBytes } from '../../src/cache/extent-header.ts';
import { knownFile } from '../../src/platform/known-file.ts';
import {
  indexStates,
  offsetUnitBytes,
  stampBytes,
  stampsMax,
  touchedBytesOf,
} from '../../src/platform/shared-memory.ts';
import { frameTypeCodes } from '../../src/protocol/frame-types.ts';
import { http1Limits } from '../../src/protocol/http1-head.ts';
import { missReasons } from '../../src/protocol/miss-reasons.ts';
import { projectRoot } from '../../tools/project.ts';

function source(path: string): string {
  return readFileSync(join(projectRoot(), 'capi', path), 'utf8');
}

/** The number that a macro or an enumerator stands for. */
function numberIn(path: string, name: string): number {
  const pattern = new RegExp(`(?:#define ${name}|\\b${name} =) (\\d+)`);
  return Number(pattern.exec(source(path))?.[1]);
}

/** Nothing here needs a compiler: what both languages say is compared as text. */
describe('the constants of the C library', () => {
  const bounds = 'src/library/bounds.h';

  it('are those of src/blocks/limits.ts', () => {
    const pairs: Readonly<Record<string, number>> = {
      WMBT_NAMESPACE_BYTES_MAX: limits.namespaceBytesMax,
      WMBT_PAYLOAD_BYTES_MAX: limits.payloadBytesMax,
      WMBT_KEYS_PER_CALL_MAX: limits.keysPerCallMax,
      WMBT_PIECE_BYTES_MAX: limits.pieceBytesMax,
      WMBT_MESSAGE_BYTES_MAX: limits.messageBytesMax,
      WMBT_EAGER_BYTES_MAX: limits.eagerBytesMax,
      WMBT_CONNECTIONS_PER_CLIENT_MAX: limits.connectionsPerClientMax,
      WMBT_TOKEN_BYTES_MAX: limits.tokenLengthMax,
      WMBT_TOKEN_FILE_BYTES_MAX: limits.tokenFileBytesMax,
      WMBT_SAVE_DEADLINE_MS: limits.saveDeadlineMs,
      WMBT_TAIL_DEADLINE_MS: limits.tailDeadlineMs,
      WMBT_FLUSH_DEADLINE_MS: limits.flushDeadlineMs,
      WMBT_DELETE_DEADLINE_MS: limits.deleteDeadlineMs,
      WMBT_TAIL_TOKENS_MAX: limits.blockTokensMax,
      WMBT_ANSWER_GRACE_MS: limits.answerGraceMs,
      WMBT_AWAY_WAIT_MS: limits.awayWaitMs,
      WMBT_AWAY_GAP_MS: limits.awayGapMs,
      WMBT_CALL_ATTEMPTS_MAX: limits.callAttemptsMax,
      WMBT_NOTE_MS: limits.noteMs,
      WMBT_KEPT_BYTES_MAX: limits.receiveKeptBytes,
    };
    for (const [name, value] of Object.entries(pairs)) {
      assert.equal(numberIn(bounds, name), value, name);
    }
  });

  it('say where in its extent lent memory is, and how many stamps there are', () => {
    const header = 'src/shared/shared-lent.h';
    const numbers: Readonly<Record<string, number>> = {
      wmbt_lent_payload_at: extentHeaderBytes,
      wmbt_stamps_max: stampsMax,
      wmbt_offset_unit_bytes: offsetUnitBytes,
    };
    for (const [name, value] of Object.entries(numbers)) {
      assert.equal(numberIn(header, name), value, name);
    }
    assert.match(source(header), new RegExp(`sizeof\\(struct wmbt_stamp\\) == ${stampBytes},`));
    // One bit for so many bytes, and a byte more.
    const touchBytes = 8 * (64 * 1024);
    assert.equal(touchedBytesOf(16 * touchBytes), 17);
    assert.match(source(header), /wmbt_lent_touch_bytes = 64 \* 1024,/);
  });

  it('say how many loans and blocks a ring has', () => {
    assert.equal(numberIn('src/shared/commit-ring.h', 'wmbt_ring_loans_max'), limits.ringLoansMax);
    const header = 'src/shared/ring-entry.h';
    assert.equal(numberIn(header, 'WMBT_RING_BLOCKS_MAX'), limits.ringBlocksMax);
    assert.equal(numberIn(header, 'WMBT_RING_BLOCK_BYTES_MIN'), limits.ringBlockBytesMin);
    assert.equal(numberIn(header, 'WMBT_RING_PAYLOAD_BYTES_MAX'), limits.ringPayloadBytesMax);
  });

  it('say what the state of an index means', () => {
    for (const [state, value] of Object.entries(indexStates)) {
      assert.equal(numberIn('src/shared/shared-index.h', `wmbt_index_is_${state}`), value, state);
    }
  });

  it('say where things are in the file of known keys', () => {
    const header = 'src/shared/known-file.h';
    assert.equal(numberIn(header, 'wmbt_known_names_at'), knownFile.namesStart);
    assert.equal(numberIn(header, 'wmbt_known_names_most'), knownFile.namesMax);
    assert.equal(numberIn(header, 'wmbt_known_name_text'), knownFile.nameTextMax);
    assert.equal(2 ** numberIn(header, 'wmbt_known_log2_region_least'), knownFile.regionEntriesMin);
    assert.equal(2 ** numberIn(header, 'wmbt_known_log2_small'), knownFile.smallEntriesMax);
    assert.equal(numberIn('src/known.h', 'wmbt_known_shards'), knownFile.shards);
    const { text } = knownFile.nameOffsets;
    assert.equal(text + knownFile.nameTextMax, knownFile.nameBytes);
  });

  it('leave room for the longest message', () => {
    // `wanted`, the longest message that a client is sent.
    assert.ok(24 + 12 + limits.keysPerCallMax / 8 <= numberIn(bounds, 'WMBT_READ_BYTES'));
  });

  it('are those of HTTP', () => {
    const pairs: Readonly<Record<string, number>> = {
      WMBT_HTTP_SAVE_BYTES_MAX: httpClientLimits.saveBytesMax,
      WMBT_HTTP_ASK_BYTES_MIN: httpClientLimits.askBytesMin,
    };
    for (const [name, value] of Object.entries(pairs)) {
      assert.equal(numberIn(bounds, name), value, name);
    }
    const ofHeads: Readonly<Record<string, number>> = {
      wmbt_http_head_bytes_max: http1Limits.headBytesMax,
      wmbt_http_fields_max: http1Limits.fieldsMax,
      wmbt_http_chunk_line_bytes_max: http1Limits.chunkLineBytesMax,
      wmbt_http_trailer_bytes_max: http1Limits.trailerBytesMax,
    };
    for (const [name, value] of Object.entries(ofHeads)) {
      assert.equal(numberIn('src/library/http-head.h', name), value, name);
    }
    // The longest answer in JSON: what is stored of all keys of a call.
    const longest = '{"stored":[]}\n'.length + limits.keysPerCallMax * 'false,'.length;
    assert.ok(longest <= numberIn(bounds, 'WMBT_HTTP_TEXT_BYTES_MAX'));
  });

  it('are the types of frames', () => {
    const enumerators = source('src/library/frame.h').matchAll(/wmbt_frame_(\w+) = (\d+),/g);
    const found = new Map(Array.from(enumerators, ([, name, code]) => [name, Number(code)]));
    const ours = [...found].filter(([name]) => name !== 'header_bytes');
    assert.equal(ours.length, 36);
    const known: Readonly<Record<string, number>> = frameTypeCodes;
    for (const [name, code] of ours) assert.equal(known[name.replaceAll('_', '-')], code, name);
  });

  it('are the error codes and the reasons of misses, in their order', () => {
    const words = /words\[wmbt_wire_codes\] = \{([^}]*)\}/.exec(
      source('src/library/failure.c'),
    )?.[1];
    const inC = Array.from((words ?? '').matchAll(/"([a-z ]+)"/g), ([, word]) => word);
    const expected = storeErrorCodes.map((code) => code.toLowerCase().replace('_', ' '));
    assert.deepEqual(inC, expected);
    assert.equal(numberIn('src/library/messages.c', 'reasons_max'), missReasons.length);
    const reasons = /reasons\[\] = \{([^}]*)\}/.exec(source('src/library/http-form.c'))?.[1] ?? '';
    assert.deepEqual(
      Array.from(reasons.matchAll(/"([a-z-]+)"/g), ([, word]) => word),
      missReasons,
    );
    const numbered = (prefix: string): readonly string[] =>
      Array.from(
        source('include/wombatkv.h').matchAll(new RegExp(`#define ${prefix}(\\w+) (\\d+)\\b`, 'g')),
        ([, name, number]) => `${number} ${name.toLowerCase().replaceAll('_', '-')}`,
      );
    const expectedErrors = storeErrorCodes.map((code) => code.toLowerCase().replace('_', '-'));
    assert.deepEqual(
      numbered('WMBT_KV_ERROR_'),
      ['none', ...expectedErrors].map((name, at) => `${at} ${name}`),
    );
    assert.deepEqual(
      numbered('WMBT_KV_MISS_'),
      ['none', ...missReasons].map((name, at) => `${at} ${name}`),
    );
  });

  it('are the version of the ABI', () => {
    assert.equal(numberIn('include/wombatkv.h', 'WMBT_KV_ABI_MAJOR'), ABI_MAJOR);
    assert.equal(numberIn('include/wombatkv.h', 'WMBT_KV_ABI_MINOR'), ABI_MINOR);
    const agent = /WMBT_AGENT_VERSION "([\d.]+)"/.exec(source(bounds))?.[1];
    assert.equal(agent, `${ABI_MAJOR}.${ABI_MINOR}`);
  });
});
