/**
 * Constants of the C library that constants-shared.test.ts does not compare. Each other one it compares, so that one
 * that is new has to be compared, or to be named here.
 */
type Names = Readonly<Record<string, readonly string[]>>;

function flatten(names: Names): readonly string[] {
  return Object.entries(names).flatMap(([path, list]) => list.map((name) => `${path} ${name}`));
}

/** Compared in constants.test.ts, and those that golden messages and the store program hold to their meaning. */
export const comparedElsewhere: readonly string[] = [
  ...flatten({
    'src/library/bounds.h': [
      'WMBT_NAMESPACE_BYTES_MAX',
      'WMBT_PAYLOAD_BYTES_MAX',
      'WMBT_TAIL_TOKENS_MAX',
      'WMBT_KEYS_PER_CALL_MAX',
      'WMBT_PIECE_BYTES_MAX',
      'WMBT_MESSAGE_BYTES_MAX',
      'WMBT_EAGER_BYTES_MAX',
      'WMBT_CONNECTIONS_PER_CLIENT_MAX',
      'WMBT_SAVE_DEADLINE_MS',
      'WMBT_TAIL_DEADLINE_MS',
      'WMBT_FLUSH_DEADLINE_MS',
      'WMBT_DELETE_DEADLINE_MS',
      'WMBT_ANSWER_GRACE_MS',
      'WMBT_AWAY_WAIT_MS',
      'WMBT_AWAY_GAP_MS',
      'WMBT_CALL_ATTEMPTS_MAX',
      'WMBT_READ_BYTES',
      'WMBT_NOTE_MS',
      'WMBT_HTTP_TEXT_BYTES_MAX',
      'WMBT_HTTP_SAVE_BYTES_MAX',
      'WMBT_HTTP_ASK_BYTES_MIN',
      'WMBT_TOKEN_BYTES_MAX',
      'WMBT_TOKEN_FILE_BYTES_MAX',
    ],
    'src/shared/shared-lent.h': ['wmbt_lent_payload_at', 'wmbt_lent_touch_bytes'],
    'src/library/http-head.h': [
      'wmbt_http_head_bytes_max',
      'wmbt_http_fields_max',
      'wmbt_http_chunk_line_bytes_max',
      'wmbt_http_trailer_bytes_max',
    ],
    'src/library/messages.c': ['reasons_max'],
  }),
  ...flatten({
    'src/library/http-bulk.c': ['decoded_flag', 'left_out_flag', 'tier_max'],
    'src/library/messages.c': ['protocol_version', 'tiers_max'],
    'src/library/messages.h': ['wmbt_payload_notice_bytes'],
    'src/library/mode.h': [
      'wmbt_miss_none',
      'wmbt_miss_unknown',
      'wmbt_miss_deadline',
      'wmbt_miss_unavailable',
    ],
    'src/library/spawn.h': ['wmbt_owner_descriptor'],
  }),
];

/** Bounds, waits, buffers and names of systems which nothing in TypeScript has to share. */
export const ofCAlone: readonly string[] = flatten({
  'src/library/bounds.h': [
    'WMBT_CANCEL_LOOK_MS',
    'WMBT_CONNECT_MS',
    'WMBT_CONNECTIONS_MAX',
    'WMBT_BULK_CONNECTIONS_MAX',
    'WMBT_PREFETCHES_MAX',
    'WMBT_SHARED_AGAIN_MS',
    'WMBT_ADDRESSES_MAX',
    'WMBT_SETTING_NAME_MAX',
    'WMBT_UNKNOWN_NAMES_MAX',
    'WMBT_STORE_START_MS',
    'WMBT_STORE_SOON_MS',
    'WMBT_STORE_PAUSE_MS',
    'WMBT_STORE_PAUSE_MS_MAX',
    'WMBT_STORE_END_MS',
    'WMBT_LEAVING_MAX',
    'WMBT_KEPT_BYTES_MAX',
    'WMBT_KEPT_BYTES_MIN',
    'WMBT_KEPT_REST_MS',
    'WMBT_REGION_BYTES_MAX',
    'WMBT_SLICE_BYTES',
  ],
  'src/shared/known-file.c': ['tries_max', 'group_most', 'key_bytes'],
  'src/shared/known-file.h': [
    'WMBT_KNOWN_FILE_MAGIC',
    'wmbt_known_log2_region_most',
    'wmbt_known_window',
  ],
  'src/shared/ring-entry.h': ['WMBT_RING_SAVE_BYTES_MAX', 'wmbt_ring_key_bytes'],
  'src/shared/shared-index.c': ['tries_max', 'prefetch_window'],
  'src/shared/shared-index.h': ['wmbt_index_window'],
  'src/shared/shared-life.c': ['word_of_mutex'],
  'src/shared/huge-pages.h': ['wmbt_huge_dear_us', 'wmbt_huge_rest_ms'],
  'src/shared/shared-room.c': [
    'MADV_COLLAPSE',
    'MADV_POPULATE_WRITE',
    'first_part_bytes',
    'part_bytes',
    'patience_ms',
  ],
  'src/library/address.h': ['wmbt_host_max', 'wmbt_port_max'],
  'src/library/arguments.c': ['shown_max'],
  'src/library/connect.c': ['full_queue_pause_ms', 'address_turn_ms'],
  'src/library/connection.c': ['MSG_NOSIGNAL'],
  'src/library/failure.h': ['wmbt_failure_text_max'],
  'src/library/http-exchange.c': ['informational_max'],
  'src/library/http-refusal.c': ['code_max', 'reason_max'],
  'src/library/json.c': ['depth_max', 'replacement'],
  'src/library/odd-settings.c': ['line_max', 'shown_max'],
  'src/library/overlay.c': ['shown_max'],
  'src/library/payload-memory.c': ['WMBT_POISONS', 'gap_bytes', 'line_bytes', 'kept_max'],
  'src/library/peer.c': ['name_again_ms'],
  'src/library/private-store.c': ['said_max'],
  'src/library/settings.c': ['shown_max'],
  'src/library/settings.h': ['wmbt_path_max'],
  'src/library/shared-files.c': ['path_max'],
  'src/library/shared-reader.c': ['group'],
  'src/library/shared-reader.h': ['wmbt_directory_max'],
  'src/library/shared-view.c': ['renewals_max'],
  'src/library/spawn.c': ['HAS_CLOSE_FROM', 'HAS_CHANGE_DIRECTORY', 'lowest_descriptor'],
  'node/arguments.h': ['wmbt_arguments_max'],
  'node/steps.c': ['lists_max', 'program_bytes_max', 'vectors_per_write_max'],
  'node/system.c': ['SOCK_CLOEXEC'],
  'node/system-zstd.c': ['oldest_version', 'next_major_version', 'kept_max'],
});
