/* The functions of ABI 1.1 that carry payloads, and those of statistics. */
#include <stdlib.h>
#include <string.h>

#include "borrow.h"
#include "last-error.h"
#include "request.h"

/* A borrow with what is known of its payloads, or NULL with a failure. */
static struct wmbt_borrow *new_borrow(struct wmbt_request *request) {
  struct wmbt_borrow *borrow = wmbt_borrow_new(request->keys.count, true);
  if (borrow == NULL) {
    (void)wmbt_fail(&request->failure, wmbt_unavailable, "unavailable: no memory for %zu payloads",
                    request->keys.count);
  }
  return borrow;
}

/*
 * A load that failed on its way gives what came before that, as one that runs out of time does. What is the caller's
 * doing stays a failure.
 */
static bool is_partial(const struct wmbt_borrow *borrow, enum wmbt_failure_kind kind) {
  if (borrow->filled == 0) return false;
  return kind == wmbt_unavailable || kind == wmbt_lost || kind == wmbt_expired || kind == wmbt_slow;
}

static bool fill(wmbt_kv_handle_t *handle, struct wmbt_request *request, bool is_tail, struct wmbt_borrow *borrow) {
  const struct wmbt_mode_calls *calls = handle->mode->calls;
  if (request->keys.count == 0) return true;
  struct wmbt_failure *failure = &request->failure;
  const enum wmbt_outcome outcome =
      (is_tail ? calls->load_tail : calls->load)(handle->mode, &request->keys, borrow, failure);
  if (outcome != wmbt_failed) return true;
  if (is_tail || !is_partial(borrow, failure->kind)) return false;
  const bool is_late = failure->kind == wmbt_expired || failure->kind == wmbt_slow;
  request->terms.miss = is_late ? wmbt_miss_deadline : wmbt_miss_unavailable;
  return true;
}

/* Loads what the request is about, and makes the borrow fit to be seen; NULL with a failure. */
static struct wmbt_borrow *load(wmbt_kv_handle_t *handle, struct wmbt_request *request, bool is_tail) {
  struct wmbt_borrow *borrow = new_borrow(request);
  if (borrow == NULL) return NULL;
  if (!fill(handle, request, is_tail, borrow)) {
    wmbt_borrow_free(borrow);
    return NULL;
  }
  for (size_t i = 0; i < borrow->filled; i += 1) {
    borrow->shown[i].bytes = borrow->payloads[i];
    borrow->shown[i].length = borrow->lengths[i];
  }
  wmbt_handle_count(handle, borrow);
  return borrow;
}

int32_t wmbt_kv_load(wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes, size_t n,
                     const wmbt_kv_call_t *call, const wmbt_kv_payload_t **out_payloads, size_t *out_count,
                     wmbt_kv_borrow_t **out) {
  struct wmbt_request request;
  wmbt_request_begin(&request, call);
  const bool are_there = out_payloads != NULL && out_count != NULL && out != NULL;
  const bool is_sound = wmbt_request_results(&request, are_there, "out_payloads / out_count / out") &&
                        wmbt_request_place(&request, handle, ns) && wmbt_request_hashes(&request, hashes, n) &&
                        wmbt_request_call(&request, call);
  struct wmbt_borrow *borrow = is_sound ? load(handle, &request, false) : NULL;
  if (borrow == NULL) return wmbt_request_fail(&request);
  *out_payloads = borrow->shown;
  *out_count = borrow->filled;
  *out = (wmbt_kv_borrow_t *)borrow;
  wmbt_request_end(&request);
  return borrow->filled == n ? 1 : 0;
}

/* The end of both functions that load a tail. */
static int32_t give_tail(wmbt_kv_handle_t *handle, struct wmbt_request *request, bool is_sound,
                         const wmbt_kv_payload_t **out_payload, wmbt_kv_borrow_t **out) {
  struct wmbt_borrow *borrow = is_sound ? load(handle, request, true) : NULL;
  if (borrow == NULL) return wmbt_request_fail(request);
  const bool is_had = borrow->filled == 1;
  if (is_had) {
    *out_payload = borrow->shown;
    *out = (wmbt_kv_borrow_t *)borrow;
  } else {
    wmbt_borrow_free(borrow);
  }
  wmbt_request_end(request);
  return is_had ? 1 : 0;
}

int32_t wmbt_kv_load_tail(wmbt_kv_handle_t *handle, const char *ns, const char *tip, const int32_t *tokens,
                          size_t token_count, const wmbt_kv_call_t *call, const wmbt_kv_payload_t **out_payload,
                          wmbt_kv_borrow_t **out) {
  struct wmbt_request request;
  wmbt_request_begin(&request, call);
  const bool is_sound = wmbt_request_results(&request, out_payload != NULL && out != NULL, "out_payload / out") &&
                        wmbt_request_place(&request, handle, ns) && wmbt_request_tip(&request, "load_tail", tip) &&
                        wmbt_request_tokens(&request, tokens, token_count) && wmbt_request_call(&request, call);
  return give_tail(handle, &request, is_sound, out_payload, out);
}

int32_t wmbt_kv_load_raw_tail(wmbt_kv_handle_t *handle, const char *ns, const char *tip, const wmbt_kv_call_t *call,
                              const wmbt_kv_payload_t **out_payload, wmbt_kv_borrow_t **out) {
  struct wmbt_request request;
  wmbt_request_begin(&request, call);
  const bool is_sound = wmbt_request_results(&request, out_payload != NULL && out != NULL, "out_payload / out") &&
                        wmbt_request_place(&request, handle, ns) && wmbt_request_tip(&request, "load_raw_tail", tip) &&
                        wmbt_request_call(&request, call);
  return give_tail(handle, &request, is_sound, out_payload, out);
}

/* Blocks to save, taken apart. One piece of memory, freed by its first part. */
struct batch {
  const uint8_t **payloads;
  size_t *lens;
  struct wmbt_announced *announced;
  const char **hashes;
};

static bool fail_block(struct wmbt_request *request, size_t index, const char *name, uint32_t value) {
  return wmbt_fail(&request->failure, wmbt_invalid, "blocks[%zu].%s is %u, which means nothing here", index, name,
                   (unsigned)value);
}

static bool take_apart(struct wmbt_request *request, const wmbt_kv_block_t *blocks, size_t n, struct batch *batch) {
  const size_t each =
      sizeof *batch->payloads + sizeof *batch->lens + sizeof *batch->hashes + sizeof *batch->announced;
  if (blocks == NULL) return wmbt_fail(&request->failure, wmbt_invalid, "blocks is NULL with n > 0");
  batch->payloads = n > SIZE_MAX / each ? NULL : malloc(n * each);
  if (batch->payloads == NULL) {
    return wmbt_fail(&request->failure, wmbt_unavailable, "unavailable: no memory for %zu blocks", n);
  }
  batch->lens = (size_t *)(void *)(batch->payloads + n);
  batch->hashes = (const char **)(void *)(batch->lens + n);
  batch->announced = (struct wmbt_announced *)(void *)(batch->hashes + n);
  for (size_t i = 0; i < n; i += 1) {
    const wmbt_kv_block_t *block = &blocks[i];
    if ((block->flags & ~WMBT_KV_DECODED) != 0) return fail_block(request, i, "flags", block->flags);
    if (block->reserved != 0) return fail_block(request, i, "reserved", block->reserved);
    batch->payloads[i] = block->bytes;
    batch->lens[i] = block->length;
    batch->hashes[i] = block->hash;
    batch->announced[i] = (struct wmbt_announced){block->tokens, block->position, block->flags != 0};
  }
  request->terms.announced = batch->announced;
  return true;
}

/* The end of every function that saves. */
static int32_t end_save(struct wmbt_request *request, bool is_done, wmbt_kv_saved_t *out) {
  if (!is_done) return wmbt_request_fail(request);
  const struct wmbt_saved *saved = &request->terms.saved;
  if (out != NULL) *out = (wmbt_kv_saved_t){saved->saved, saved->known, saved->saved_bytes};
  wmbt_request_end(request);
  return 0;
}

int32_t wmbt_kv_save(wmbt_kv_handle_t *handle, const char *ns, const wmbt_kv_block_t *blocks, size_t n,
                     const wmbt_kv_call_t *call, wmbt_kv_saved_t *out) {
  struct wmbt_request request;
  wmbt_request_begin(&request, call);
  struct batch batch = {0};
  int64_t sum;
  bool is_done = wmbt_request_place(&request, handle, ns);
  if (is_done && n > 0) {
    is_done = take_apart(&request, blocks, n, &batch) && wmbt_request_hashes(&request, batch.hashes, n) &&
              wmbt_check_payloads(batch.payloads, batch.lens, n, &sum, &request.failure);
  }
  is_done = is_done && wmbt_request_call(&request, call);
  request.terms.wants_counts = out != NULL;
  if (is_done && n > 0) {
    is_done = handle->mode->calls->save(handle->mode, &request.keys, batch.payloads, batch.lens, &request.failure);
  }
  if (is_done) wmbt_handle_count_saved(handle, &request.terms.saved);
  free(batch.payloads);
  return end_save(&request, is_done, out);
}

/* What both functions that save a tail have in common, but for the tip. */
static bool save_tail(wmbt_kv_handle_t *handle, struct wmbt_request *request, const uint8_t *bytes, size_t length,
                      const wmbt_kv_call_t *call) {
  int64_t sum;
  const bool is_done = wmbt_check_payloads(&bytes, &length, 1, &sum, &request->failure) &&
                       wmbt_request_call(request, call) &&
                       handle->mode->calls->save_tail(handle->mode, &request->keys, bytes, length, &request->failure);
  if (is_done) wmbt_handle_count_saved(handle, &request->terms.saved);
  return is_done;
}

int32_t wmbt_kv_save_tail(wmbt_kv_handle_t *handle, const char *ns, const wmbt_kv_tail_t *tail,
                          const wmbt_kv_call_t *call, wmbt_kv_saved_t *out) {
  struct wmbt_request request;
  wmbt_request_begin(&request, call);
  bool is_done = wmbt_request_place(&request, handle, ns);
  if (is_done && tail == NULL) is_done = wmbt_fail(&request.failure, wmbt_invalid, "tail is NULL");
  if (is_done && (tail->flags & ~WMBT_KV_DECODED) != 0) {
    is_done = wmbt_fail(&request.failure, wmbt_invalid, "tail->flags is %u, which means nothing here",
                        (unsigned)tail->flags);
  }
  struct wmbt_announced announced = {0, WMBT_POSITION_UNKNOWN, false};
  if (is_done) {
    announced = (struct wmbt_announced){0, tail->position, tail->flags != 0};
    request.terms.announced = &announced;
    is_done = wmbt_request_tip(&request, "save_tail", tail->tip) &&
              wmbt_request_tokens(&request, tail->tokens, tail->token_count) &&
              save_tail(handle, &request, tail->bytes, tail->length, call);
  }
  return end_save(&request, is_done, out);
}

int32_t wmbt_kv_save_raw_tail(wmbt_kv_handle_t *handle, const char *ns, const char *tip, const uint8_t *bytes,
                              size_t length, const wmbt_kv_call_t *call, wmbt_kv_saved_t *out) {
  struct wmbt_request request;
  wmbt_request_begin(&request, call);
  const bool is_done = wmbt_request_place(&request, handle, ns) && wmbt_request_tip(&request, "save_raw_tail", tip) &&
                       save_tail(handle, &request, bytes, length, call);
  return end_save(&request, is_done, out);
}

int32_t wmbt_kv_stats(wmbt_kv_handle_t *handle, const char *ns, const wmbt_kv_call_t *call, wmbt_kv_stats_t *out_stats,
                      wmbt_kv_borrow_t **out) {
  struct wmbt_request request;
  wmbt_request_begin(&request, call);
  wmbt_kv_stats_t stats;
  const size_t own = sizeof stats;
  bool is_done = wmbt_request_results(&request, out_stats != NULL && out != NULL, "out_stats / out") &&
                 wmbt_copy_sized(&stats, own, out_stats, own, "out_stats", &request.failure) &&
                 wmbt_request_place(&request, handle, ns) && wmbt_request_call(&request, call);
  request.keys.count = 1;
  struct wmbt_borrow *borrow = is_done ? new_borrow(&request) : NULL;
  is_done = borrow != NULL && handle->mode->calls->stats(handle->mode, &request.keys, borrow, &request.failure);
  if (!is_done) {
    wmbt_borrow_free(borrow);
    return wmbt_request_fail(&request);
  }
  out_stats->json = (const char *)borrow->payloads[0];
  /* Without the NUL behind it. */
  out_stats->json_length = borrow->lengths[0] - 1;
  out_stats->lent_blocks = atomic_load_explicit(&handle->lent_blocks, memory_order_relaxed);
  out_stats->lent_bytes = atomic_load_explicit(&handle->lent_bytes, memory_order_relaxed);
  out_stats->found_blocks = atomic_load_explicit(&handle->found_blocks, memory_order_relaxed);
  *out = (wmbt_kv_borrow_t *)borrow;
  wmbt_request_end(&request);
  return 0;
}
