import type { Setting, SettingKind, SettingReader } from './setting.ts';

/** Name, kind, default and meaning of a variable of the Rust version. */
type Row = readonly [name: string, kind: SettingKind, defaultText: string, help: string];

/**
 * Variables of the Rust version and of the engine that drives it, for which there is nothing here.
 * They are known so that an environment made for it opens our store without a complaint per name.
 */
const rows: readonly Row[] = [
  ['WMBT_KV_S3_GET_RETRIES', 'count', '2', 'Extra attempts of an S3 request.'],
  ['WMBT_KV_S3_GET_TIMEOUT_MS', 'milliseconds', '2000', 'Documented there, never read.'],
  ['WMBT_KV_S3_RETRY_BACKOFF_MS', 'milliseconds', '50', 'Wait between attempts.'],
  ['WMBT_KV_S3_RUNTIME_THREADS', 'count', '8', 'Threads of the S3 client.'],
  ['WMBT_KV_S3_PREWARM', 'count', '8', 'Requests that warm connections up.'],
  ['WMBT_KV_MAX_CONCURRENT_GETS', 'count', '8', 'Documented there, never read.'],
  ['WMBT_KV_MAX_CONCURRENT_PUTS', 'count', '8', 'Documented there, never read.'],
  ['WMBT_KV_PUFFER_BLOCK_SIZE_BYTES', 'bytes', '64 MiB', 'Unit of its disk cache.'],
  ['WMBT_KV_PUFFER_BUFFER_POOL_BYTES', 'bytes', '256 MiB', 'Buffers of its cache benchmark.'],
  ['WMBT_KV_PUFFER_IOURING', 'boolean', 'off', 'io_uring in its cache benchmark.'],
  ['WMBT_KV_PUFFER_BACKEND', 'text', '', 'Not read.'],
  ['WMBT_KV_SLATEDB_PATH', 'path', '', 'Directory of its index database.'],
  ['MYELON_NODE_ID', 'text', 'host name', 'Sub-directory of its index database.'],
  ['WMBT_KV_EMBEDDED_ASYNC_S3', 'boolean', 'on', 'Upload of tails in the background.'],
  ['WMBT_KV_PREFETCH_INTERVAL_MS', 'milliseconds', '30000', 'Pause of its prefetch worker.'],
  ['WMBT_KV_PREFETCH_TOP_K', 'count', '64', 'Blocks of one round of its prefetch worker.'],
  ['WMBT_KV_PREFETCH_DRY_RUN', 'boolean', 'off', 'Prefetch only in words.'],
  ['WMBT_KV_FINGERPRINT24', 'text', '', 'What its prefetch worker prefers.'],
  ['WMBT_KV_NAMESPACE_MAX_BYTES', 'bytes', 'off', 'Budget of a namespace in the bucket.'],
  ['WMBT_KV_DAEMON_EVICTION_INTERVAL_SECS', 'seconds', '30', 'Pause of its eviction worker.'],
  ['WMBT_KV_EVICTION_INTERVAL_SECS', 'seconds', '', 'Another name for the same.'],
  ['WMBT_KV_QUIET_BANNER', 'boolean', 'off', 'Its banner, which we do not print at all.'],
  ['WMBT_KV_TIMING', 'boolean', 'off', 'Its timing lines.'],
  ['WMBT_KV_TIER_EVENTS', 'boolean', 'off', 'Its lines per read.'],
  ['WMBT_KV_METRICS_MAX_SAMPLES', 'count', '4096', 'Samples of its metrics.'],
  ['WMBT_KV_DAEMON_SHM_PREFIX', 'text', 'default', 'Prefix of its daemon.'],
  ['WMBT_KV_DAEMON_SHM_DEPTH', 'count', '16', 'Slots of its ring.'],
  ['WMBT_KV_DAEMON_SHM_WAIT_STRATEGY', 'text', 'block', 'How its ring waits.'],
  ['WMBT_KV_DAEMON_SHM_ASYNC_PUT', 'boolean', 'off', 'Answer before the write.'],
  ['WMBT_KV_DAEMON_SHM_ARENA_PATH', 'path', '', 'File of its arena.'],
  ['WMBT_KV_DAEMON_SHM_ARENA_BYTES', 'bytes', '1 GiB', 'Size of its arena.'],
  ['WMBT_KV_DAEMON_SHM_ARENA_MIN_BYTES', 'bytes', '1 MiB', 'Values that go through its arena.'],
  ['WMBT_KV_DAEMON_SHM_ATTACH_TIMEOUT_SECS', 'seconds', '30', 'Wait for a client.'],
  ['WMBT_KV_DAEMON_SHM_CALL_TIMEOUT_MS', 'milliseconds', '', 'Time of one call over its ring.'],
  ['WMBT_KV_DAEMON_SHM_HEARTBEAT_DISABLE', 'boolean', 'off', 'No heartbeat.'],
  ['WMBT_KV_DAEMON_SHM_HEARTBEAT_DIR', 'path', '', 'Directory of its heartbeats.'],
  ['WMBT_KV_DAEMON_SHM_HEARTBEAT_INTERVAL_MS', 'milliseconds', '500', 'Heartbeat.'],
  ['WMBT_KV_DAEMON_SHM_HEARTBEAT_STALE_MS', 'milliseconds', '3000', 'Age of a dead heartbeat.'],
  ['WMBT_KV_DAEMON_SHM_HEARTBEAT_CHECK_MS', 'milliseconds', '250', 'Pause between checks.'],
  ['WMBT_KV_DAEMON_SHM_TRACE_DAEMON', 'boolean', 'off', 'Its trace.'],
  ['WMBT_KV_DAEMON_SHM_TRACE_HB', 'boolean', 'off', 'Its trace of heartbeats.'],
  ['WMBT_KV_DAEMON_SHM_TRACE_UNLINK', 'boolean', 'off', 'Its trace of removed rings.'],
  ['WMBT_KV_DAEMON_SHM_DAEMON_BIN', 'path', '', 'Its daemon, for its tests.'],
  ['WMBT_KV_TCP_TPC_THREADS', 'count', '2', 'Threads of its TCP listener.'],
  ['WMBT_KV_HTTP_TPC_THREADS', 'count', '2', 'Threads of its HTTP listener.'],
  ['WMBT_KV_TCP_DISPATCH_WORKERS', 'count', '8', 'Workers of its TCP listener.'],
  ['WMBT_KV_HTTP_DISPATCH_WORKERS', 'count', '8', 'Workers of its HTTP listener.'],
  ['WMBT_KV_DAEMON_MAX_OPEN_RETRIES', 'count', '20', 'Attempts to open its ring.'],
  ['WMBT_KV_TEST_EMBED_LIVE', 'boolean', 'off', 'Its tests.'],
  ['WMBT_KV_TEST_MINIO_INTEGRATION', 'boolean', 'off', 'Its tests.'],
  ['WMBT_KV_DST_BUGGIFY', 'boolean', 'off', 'Faults in its simulation.'],
  ['WMBT_KV_DST_BUGGIFY_SEED', 'count', '1', 'Seed of its faults.'],
  ['WMBT_KV_DST_BUGGIFY_ACTIVATION_PERCENT', 'count', '25', 'Places that fail.'],
  ['WMBT_KV_DST_BUGGIFY_FIRE_PERCENT', 'count', '25', 'How often they fail.'],
  ['DST_FAULT_PLAN_FILE', 'path', '', 'Its simulation.'],
  ['DST_CHILD_REPORT_FILE', 'path', '', 'Its simulation.'],
  ['DST_CHILD_OP_COUNT', 'count', '30', 'Its simulation.'],
  ['WMBT_KV_BENCH_OPS', 'count', '64', 'Its benchmark.'],
  ['WMBT_KV_BENCH_PAYLOAD_KIB', 'count', '4096', 'Its benchmark.'],
  ['WMBT_KV_BENCH_NAMESPACE', 'text', '', 'Its benchmark.'],
  ['WMBT_KV_BENCH_S3_PREFIX', 'text', 'kv/bench', 'Its benchmark.'],
  ['WMBT_KV_WAL_NAMESPACE_PREFIX', 'text', '', 'Its log tools.'],
  ['WMBT_KV_WAL_LAYOUT_AUDIT_ARTIFACT_ROOT', 'path', '', 'Its log tools.'],
  ['WMBT_KV_WAL_LAYOUT_AUDIT_BACKEND', 'text', '', 'Its log tools.'],
  ['WOMBATKV_BENCH_ARTIFACT_ROOT', 'path', '', 'Its benchmark.'],
  ['RUST_S3_SKIP_LOCATION_CONSTRAINT', 'boolean', 'off', 'Its S3 library.'],
];

/** Variables that ds4, the engine, reads itself. They work there whatever the store is. */
const engineRows: readonly Row[] = [
  ['DS4_WOMBATKV_ENABLE', 'text', '', 'Any value, even 0, turns the cache on.'],
  ['DS4_WOMBATKV_DAEMON_TCP', 'address', '', 'Daemon over TCP.'],
  ['DS4_WOMBATKV_DAEMON_HTTP', 'address', '', 'Daemon over HTTP; wins over TCP.'],
  ['DS4_WOMBATKV_FINGERPRINT24', 'text', '', 'Fingerprint of the model.'],
  ['DS4_TEST_FORCE_WMBT_TAIL_FAIL', 'text', '', 'Its tests.'],
];

export const rustSettings: readonly Setting[] = [
  ...rows.map((row) => settingFromRow(row, 'rust')),
  ...engineRows.map((row) => settingFromRow(row, 'engine')),
];

function settingFromRow(row: Row, reader: SettingReader): Setting {
  const [name, kind, defaultText, help] = row;
  return { name, kind, default: defaultText, help, readBy: [reader], effect: 'accepted' };
}
