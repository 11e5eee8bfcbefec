#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "processes.h"

enum {
  block_count = 6,
  /* What no turn reaches on a busy machine. */
  turn_most_ms = 20000,
};

static bool is_explained(void) {
  const char *error = wmbt_kv_last_error();
  return error != NULL && (strstr(error, "busy") != NULL || strstr(error, "unavailable") != NULL);
}

/* One put and one get of the batch. */
static bool call(struct load *load, const struct batch *batch) {
  const uint8_t **payloads;
  const size_t *lens;
  wmbt_kv_borrow_t *borrow = NULL;
  const int64_t put = wmbt_kv_put_kv_blocks(load->handle, load->ns, batch->hashes, batch_payloads(batch), batch->lens,
                                            batch->count);
  const bool is_put = put == (int64_t)(block_count * load->block_bytes);
  if (!is_put && (put != -1 || !is_explained())) atomic_fetch_add(&load->unexplained, 1);
  const int32_t rc = wmbt_kv_get_kv_blocks_borrowed(load->handle, load->ns, batch->hashes, batch->count, &payloads,
                                                    &lens, &borrow);
  if (rc == -1 && !is_explained()) atomic_fetch_add(&load->unexplained, 1);
  for (size_t i = 0; rc == 1 && i < batch->count; i += 1) {
    const bool is_right = lens[i] == load->block_bytes && memcmp(payloads[i], batch->payloads[i], lens[i]) == 0;
    if (!is_right) atomic_fetch_add(&load->wrong, 1);
  }
  if (rc == 1) wmbt_kv_release_borrow(borrow);
  return is_put && rc == 1;
}

static void *keep_calling(void *argument) {
  struct load *load = argument;
  char label[48];
  (void)snprintf(label, sizeof label, "load-%s-%u", load->ns, atomic_fetch_add(&load->started, 1));
  struct batch batch = batch_of(label, block_count, load->block_bytes);
  while (!atomic_load(&load->is_over)) atomic_fetch_add(call(load, &batch) ? &load->succeeded : &load->failed, 1);
  batch_free(&batch);
  return NULL;
}

void load_begin(struct load *load) {
  for (unsigned i = 0; i < load_threads; i += 1) {
    if (pthread_create(&load->threads[i], NULL, keep_calling, load) != 0) exit(2);
  }
}

/* Waits for two turns of each; those that ended well alone count where that is wanted. */
static void await_turns(struct load *load, bool are_well, const char *when) {
  const int64_t end_ms = now_ms() + turn_most_ms;
  const unsigned before = atomic_load(&load->succeeded), failed = atomic_load(&load->failed);
  unsigned turns = 0;
  while (turns < 2 * load_threads && now_ms() < end_ms) {
    pause_ms(20);
    turns = atomic_load(&load->succeeded) - before + (are_well ? 0 : atomic_load(&load->failed) - failed);
  }
  CHECK(turns >= 2 * load_threads, "the threads had %u turns %s", turns, when);
}

void load_go_on(struct load *load, const char *when) { await_turns(load, false, when); }

void load_recover(struct load *load, const char *when) { await_turns(load, true, when); }

void load_end(struct load *load) {
  atomic_store(&load->is_over, true);
  for (unsigned i = 0; i < load_threads; i += 1) (void)pthread_join(load->threads[i], NULL);
  CHECK(atomic_load(&load->wrong) == 0, "%u payloads were wrong", atomic_load(&load->wrong));
  CHECK(atomic_load(&load->unexplained) == 0, "%u failures had no reason", atomic_load(&load->unexplained));
}
