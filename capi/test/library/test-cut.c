/* A wire that is cut in the middle of a batch, and one that stays off for a while. The other side has the wire. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "load.h"

enum {
  block_count = 8,
  block_bytes = 500000,
  call_limit_ms = 4000,
  /* What no call reaches on a busy machine. */
  call_most_ms = 3 * call_limit_ms,
};
static const char *const call_limit_text = "4000";

static int64_t put(wmbt_kv_handle_t *handle, const struct batch *batch) {
  return wmbt_kv_put_kv_blocks(handle, "wire", batch->hashes, batch_payloads(batch), batch->lens, batch->count);
}

/* A get of the whole batch: what it gives, and that it is right, or that nothing was touched. */
static int32_t get(wmbt_kv_handle_t *handle, const struct batch *batch) {
  const uint8_t **payloads = NULL;
  const size_t *lens = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  const int32_t rc = wmbt_kv_get_kv_blocks_borrowed(handle, "wire", batch->hashes, batch->count, &payloads, &lens,
                                                    &borrow);
  if (rc != 1) {
    CHECK(payloads == NULL && lens == NULL && borrow == NULL, "a failed get touched a result");
    return rc;
  }
  for (size_t i = 0; i < batch->count; i += 1) {
    CHECK(lens[i] == block_bytes && memcmp(payloads[i], batch->payloads[i], block_bytes) == 0, "block %zu is wrong", i);
  }
  wmbt_kv_release_borrow(borrow);
  return rc;
}

/* A handle, a batch that is to be put, and one that is stored. */
struct engine {
  wmbt_kv_handle_t *handle;
  struct batch puts, gets;
};

static struct engine engine_of(const char *name) {
  char label[40];
  struct engine engine;
  (void)setenv("WMBT_KV_REMOTE_CALL_TIMEOUT_MS", call_limit_text, 1);
  engine.handle = open_handle();
  (void)snprintf(label, sizeof label, "%s-put", name);
  engine.puts = batch_of(label, block_count, block_bytes);
  (void)snprintf(label, sizeof label, "%s-get", name);
  engine.gets = batch_of(label, block_count, block_bytes);
  check_put(engine.handle, "wire", &engine.gets);
  return engine;
}

static void engine_end(struct engine *engine) {
  wmbt_kv_free(engine->handle);
  batch_free(&engine->puts);
  batch_free(&engine->gets);
}

/* Whatever a cut did, the next call goes well by itself. */
static void cut_twice(const struct engine *engine) {
  wmbt_kv_handle_t *const handle = engine->handle;
  tell_and_wait("cut request");
  const int64_t saved = put(handle, &engine->puts);
  CHECK(saved == -1 || saved == (int64_t)block_count * block_bytes, "a put that is cut gives %lld", (long long)saved);
  tell_and_wait("was cut");
  check_put(handle, "wire", &engine->puts);
  check_get(handle, "wire", &engine->puts, 0, block_count);
  tell_and_wait("cut answer");
  const int32_t got = get(handle, &engine->gets);
  CHECK(got == 1 || got == 0 || got == -1, "a get that is cut gives %d", got);
  tell_and_wait("was cut");
  check_get(handle, "wire", &engine->gets, 0, block_count);
  check_lookup(handle, "wire", &engine->gets, block_count);
}

static void cut_once(void) {
  struct engine engine = engine_of("cut");
  cut_twice(&engine);
  engine_end(&engine);
}

/* Calls while the wire is off: each fails in time, and says so. */
static void calls_without_wire(wmbt_kv_handle_t *handle, const struct batch *batch) {
  for (unsigned i = 0; i < 3; i += 1) {
    size_t matched = 9;
    const int64_t began = now_ms();
    const int32_t found = wmbt_kv_lookup_block_prefix(handle, "wire", batch->hashes, batch->count, &matched, NULL, 0);
    CHECK(found == -1 && matched == 9, "a lookup without a wire gives %d and %zu", found, matched);
    check_text(wmbt_kv_last_error(), "unavailable", "a lookup without a wire");
    CHECK(put(handle, batch) == -1, "a put without a wire succeeds");
    check_text(wmbt_kv_last_error(), "unavailable", "a put without a wire");
    CHECK(get(handle, batch) == -1, "a get without a wire succeeds");
    CHECK(now_ms() - began < call_most_ms, "three calls took %lld ms", (long long)(now_ms() - began));
  }
}

static void off_in_mid_batch(void) {
  struct engine engine = engine_of("off");
  wmbt_kv_handle_t *const handle = engine.handle;
  tell_and_wait("off request");
  CHECK(put(handle, &engine.puts) == -1, "a put over a wire that is off succeeds");
  check_text(wmbt_kv_last_error(), "unavailable", "a put over a wire that is off");
  tell_and_wait("was cut");
  calls_without_wire(handle, &engine.puts);
  tell_and_wait("on");
  check_put(handle, "wire", &engine.puts);
  check_get(handle, "wire", &engine.puts, 0, block_count);
  tell_and_wait("off answer");
  const int32_t got = get(handle, &engine.gets);
  CHECK(got <= 0, "a get over a wire that is off gives %d", got);
  tell_and_wait("was cut");
  calls_without_wire(handle, &engine.gets);
  tell_and_wait("on");
  check_get(handle, "wire", &engine.gets, 0, block_count);
  engine_end(&engine);
}

/* The same while threads call the same handle, whose wires are cut with it. */
static void cut_beside_threads(void) {
  struct engine engine = engine_of("beside");
  struct load load = {.handle = engine.handle, .ns = "load", .block_bytes = 40000};
  load_begin(&load);
  load_recover(&load, "before a wire is cut");
  cut_twice(&engine);
  tell_and_wait("off answer");
  const int32_t got = get(engine.handle, &engine.gets);
  CHECK(got <= 0, "a get over a wire that is off gives %d", got);
  tell_and_wait("was cut");
  calls_without_wire(engine.handle, &engine.gets);
  load_go_on(&load, "while the wire is off");
  CHECK(atomic_load(&load.failed) > 0, "no call of the threads failed");
  tell_and_wait("on");
  check_get(engine.handle, "wire", &engine.gets, 0, block_count);
  load_recover(&load, "when the wire was back");
  load_end(&load);
  engine_end(&engine);
}

const struct test_case cut_tests[] = {
    {"a wire that is cut in mid-batch costs one call at most", cut_once},
    {"a wire that is off fails calls in time, and the first one after it succeeds by itself", off_in_mid_batch},
    {"the same holds for 8 threads that call the handle meanwhile", cut_beside_threads},
    {NULL, NULL},
};
