/* A wire that is cut in the middle of a batch, and one that stays off for a while. The other side has the wire. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

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

/* Whatever a cut did, the next call goes well by itself. */
static void cut_once(void) {
  (void)setenv("WMBT_KV_REMOTE_CALL_TIMEOUT_MS", call_limit_text, 1);
  wmbt_kv_handle_t *handle = open_handle();
  struct batch puts = batch_of("cut-put", block_count, block_bytes);
  struct batch gets = batch_of("cut-get", block_count, block_bytes);
  check_put(handle, "wire", &gets);
  tell_and_wait("cut request");
  const int64_t saved = put(handle, &puts);
  CHECK(saved == -1 || saved == (int64_t)block_count * block_bytes, "a put that is cut gives %lld", (long long)saved);
  tell_and_wait("was cut");
  check_put(handle, "wire", &puts);
  check_get(handle, "wire", &puts, 0, block_count);
  tell_and_wait("cut answer");
  const int32_t got = get(handle, &gets);
  CHECK(got == 1 || got == 0 || got == -1, "a get that is cut gives %d", got);
  tell_and_wait("was cut");
  check_get(handle, "wire", &gets, 0, block_count);
  check_lookup(handle, "wire", &gets, block_count);
  wmbt_kv_free(handle);
  batch_free(&puts);
  batch_free(&gets);
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
  (void)setenv("WMBT_KV_REMOTE_CALL_TIMEOUT_MS", call_limit_text, 1);
  wmbt_kv_handle_t *handle = open_handle();
  struct batch puts = batch_of("off-put", block_count, block_bytes);
  struct batch gets = batch_of("off-get", block_count, block_bytes);
  check_put(handle, "wire", &gets);
  tell_and_wait("off request");
  CHECK(put(handle, &puts) == -1, "a put over a wire that is off succeeds");
  check_text(wmbt_kv_last_error(), "unavailable", "a put over a wire that is off");
  tell_and_wait("was cut");
  calls_without_wire(handle, &puts);
  tell_and_wait("on");
  check_put(handle, "wire", &puts);
  check_get(handle, "wire", &puts, 0, block_count);
  tell_and_wait("off answer");
  const int32_t got = get(handle, &gets);
  CHECK(got <= 0, "a get over a wire that is off gives %d", got);
  tell_and_wait("was cut");
  calls_without_wire(handle, &gets);
  tell_and_wait("on");
  check_get(handle, "wire", &gets, 0, block_count);
  wmbt_kv_free(handle);
  batch_free(&puts);
  batch_free(&gets);
}

const struct test_case cut_tests[] = {
    {"a wire that is cut in mid-batch costs one call at most", cut_once},
    {"a wire that is off fails calls in time, and the first one after it succeeds by itself", off_in_mid_batch},
    {NULL, NULL},
};
