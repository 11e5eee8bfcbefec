/* A store whose object store takes nothing: what it accepts waits, up to a limit of bytes, and then it is busy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum {
  block_count = 8,
  block_bytes = 1024 * 1024,
  /* More than any limit that the test sets. */
  saves_max = 24,
  /* What no call reaches on a busy machine. */
  call_most_ms = 20000,
};

static struct batch save_of(unsigned number) {
  char label[32];
  (void)snprintf(label, sizeof label, "backlog-%u", number);
  return batch_of(label, block_count, block_bytes);
}

/* Saves until one is refused; gives how many were accepted. */
static unsigned fill(wmbt_kv_handle_t *handle) {
  for (unsigned number = 0; number < saves_max; number += 1) {
    struct batch batch = save_of(number);
    const int64_t began = now_ms();
    const int64_t put =
        wmbt_kv_put_kv_blocks(handle, "busy", batch.hashes, batch_payloads(&batch), batch.lens, block_count);
    CHECK(now_ms() - began < call_most_ms, "a put took %lld ms", (long long)(now_ms() - began));
    if (put < 0) {
      check_text(wmbt_kv_last_error(), "busy", "a put beyond the limit");
      CHECK(wmbt_kv_last_error_code() == WMBT_KV_ERROR_BUSY, "its code is %d", wmbt_kv_last_error_code());
      /* In this order, for the lookup clears what was said. */
      check_lookup(handle, "busy", &batch, 0);
    }
    batch_free(&batch);
    if (put < 0) return number;
  }
  return saves_max;
}

static void busy_at_the_limit(void) {
  /* A put waits for room that long. */
  (void)setenv("WMBT_KV_REMOTE_CALL_TIMEOUT_MS", "4000", 1);
  wmbt_kv_handle_t *handle = open_handle();
  const unsigned accepted = fill(handle);
  CHECK(accepted > 0 && accepted < saves_max, "%u of %d puts are accepted", accepted, saves_max);
  for (unsigned number = 0; number < accepted; number += 1) {
    struct batch batch = save_of(number);
    check_lookup(handle, "busy", &batch, block_count);
    check_get(handle, "busy", &batch, 0, block_count);
    /* What is stored is no burden. */
    check_put(handle, "busy", &batch);
    batch_free(&batch);
  }
  wmbt_kv_free(handle);
}

const struct test_case backlog_tests[] = {
    {"at the backlog limit a put is refused as busy and leaves nothing, and what was accepted is there",
     busy_at_the_limit},
    {NULL, NULL},
};
