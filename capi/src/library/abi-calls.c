/* The functions of the header that take a handle: their checks, in order, and their results. */

#include "../../include/wombatkv.h"
#include "arguments.h"
#include "cancellation.h"
#include "handle.h"
#include "last-error.h"

/* Where a failure's text goes, besides the last error; NULL where a function has no such argument. */
struct text_buffer {
  char *bytes;
  size_t size;
};

static int32_t fail(const struct wmbt_failure *failure, struct text_buffer buffer) {
  wmbt_last_error_set(failure, buffer.bytes, buffer.size);
  return -1;
}

/* An argument is not what it should be. */
static int32_t fail_with(const char *text, struct text_buffer buffer) {
  struct wmbt_failure failure;
  (void)wmbt_fail(&failure, wmbt_invalid, "%s", text);
  return fail(&failure, buffer);
}

/* What the calls about blocks have in common. Whatever comes of it, the parsed keys are freed by the caller. */
static bool check_blocks(wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes, struct wmbt_keys *out,
                         struct wmbt_parsed_keys *parsed, struct wmbt_failure *failure) {
  parsed->keys = NULL;
  if (handle == NULL) return wmbt_fail(failure, wmbt_invalid, "handle is NULL");
  if (!wmbt_check_namespace(ns, handle->ns, &out->ns, failure)) return false;
  if (!wmbt_check_hashes(hashes, out->count, parsed, failure)) return false;
  out->keys = parsed->keys;
  return true;
}

int32_t wmbt_kv_lookup_block_prefix(wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes, size_t n,
                                    size_t *out_matched, char *err_buf, size_t err_len) {
  const struct text_buffer buffer = {err_buf, err_len};
  WMBT_NOT_CANCELLED;
  wmbt_last_error_clear();
  if (out_matched == NULL) return fail_with("out_matched_count is NULL", buffer);
  struct wmbt_terms terms = {0};
  struct wmbt_keys keys = {.count = n, .terms = &terms};
  struct wmbt_parsed_keys parsed;
  struct wmbt_failure failure;
  size_t matched = 0;
  bool is_done = check_blocks(handle, ns, hashes, &keys, &parsed, &failure);
  if (is_done && n > 0) is_done = handle->mode->calls->lookup(handle->mode, &keys, &matched, &failure);
  wmbt_free_parsed_keys(&parsed);
  if (!is_done) return fail(&failure, buffer);
  wmbt_last_miss_set(terms.miss);
  *out_matched = matched;
  return 0;
}

/* Fills a new borrow by one of the mode's loads. 1, 0 or -1, as the functions below return. */
static int32_t borrow_payloads(wmbt_kv_handle_t *handle, const struct wmbt_keys *keys, bool is_tail,
                               struct wmbt_borrow **out, struct wmbt_failure *failure) {
  const struct wmbt_mode_calls *calls = handle->mode->calls;
  struct wmbt_borrow *borrow = wmbt_borrow_new(keys->count, false);
  if (borrow == NULL) {
    (void)wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory for %zu payloads", keys->count);
    return -1;
  }
  enum wmbt_outcome outcome = wmbt_had;
  if (keys->count > 0) {
    outcome = (is_tail ? calls->load_tail : calls->load)(handle->mode, keys, borrow, failure);
  }
  if (outcome == wmbt_had) {
    wmbt_handle_count(handle, borrow);
    *out = borrow;
    return 1;
  }
  wmbt_borrow_free(borrow);
  if (outcome != wmbt_missed) return -1;
  wmbt_last_miss_set(keys->terms->miss);
  return 0;
}

int32_t wmbt_kv_get_kv_blocks_borrowed(wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes, size_t n,
                                       const uint8_t ***out_ptrs, const size_t **out_lens, wmbt_kv_borrow_t **out) {
  const struct text_buffer none = {NULL, 0};
  WMBT_NOT_CANCELLED;
  wmbt_last_error_clear();
  if (out_ptrs == NULL || out_lens == NULL || out == NULL) {
    return fail_with("out_payload_ptrs / out_payload_lens / out_borrow must not be NULL", none);
  }
  struct wmbt_terms terms = {0};
  struct wmbt_keys keys = {.count = n, .terms = &terms};
  struct wmbt_parsed_keys parsed;
  struct wmbt_failure failure;
  struct wmbt_borrow *borrow = NULL;
  int32_t result = -1;
  if (check_blocks(handle, ns, hashes, &keys, &parsed, &failure)) {
    result = borrow_payloads(handle, &keys, false, &borrow, &failure);
  }
  wmbt_free_parsed_keys(&parsed);
  if (result < 0) return fail(&failure, none);
  if (result == 0) return 0;
  *out_ptrs = borrow->payloads;
  *out_lens = borrow->lengths;
  *out = (wmbt_kv_borrow_t *)borrow;
  return 1;
}

int64_t wmbt_kv_put_kv_blocks(wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes,
                              const uint8_t *const *payloads, const size_t *lens, size_t n) {
  const struct text_buffer none = {NULL, 0};
  WMBT_NOT_CANCELLED;
  wmbt_last_error_clear();
  struct wmbt_terms terms = {0};
  struct wmbt_keys keys = {.count = n, .terms = &terms};
  struct wmbt_parsed_keys parsed;
  struct wmbt_failure failure;
  int64_t sum = 0;
  bool is_done = check_blocks(handle, ns, hashes, &keys, &parsed, &failure) &&
                 wmbt_check_payloads(payloads, lens, n, &sum, &failure);
  if (is_done && n > 0) is_done = handle->mode->calls->save(handle->mode, &keys, payloads, lens, &failure);
  if (is_done) wmbt_handle_count_saved(handle, &terms.saved);
  wmbt_free_parsed_keys(&parsed);
  return is_done ? sum : fail(&failure, none);
}

void wmbt_kv_release_borrow(wmbt_kv_borrow_t *borrow) {
  WMBT_NOT_CANCELLED;
  wmbt_borrow_free((struct wmbt_borrow *)borrow);
}

/* What the calls about tails have in common, but for the tip itself. */
static bool check_tail(const wmbt_kv_handle_t *handle, const char *ns, const char *tip_hex, struct wmbt_keys *keys,
                       struct wmbt_failure *failure) {
  if (handle == NULL) return wmbt_fail(failure, wmbt_invalid, "handle is NULL");
  return wmbt_check_namespace(ns, handle->ns, &keys->ns, failure) && wmbt_check_text(tip_hex, failure);
}

int32_t wmbt_kv_put_raw_tail(wmbt_kv_handle_t *handle, const char *ns, const char *tip_hex, const uint8_t *bytes,
                             size_t len, char *err_buf, size_t err_len) {
  const struct text_buffer buffer = {err_buf, err_len};
  WMBT_NOT_CANCELLED;
  wmbt_last_error_clear();
  struct wmbt_key tip;
  struct wmbt_terms terms = {0};
  struct wmbt_keys keys = {.keys = &tip, .count = 1, .terms = &terms};
  struct wmbt_failure failure;
  if (!check_tail(handle, ns, tip_hex, &keys, &failure)) return fail(&failure, buffer);
  if (bytes == NULL && len > 0) return fail_with("data pointer is NULL with non-zero len", buffer);
  if (!wmbt_check_tip("put_raw_tail", tip_hex, &tip, &failure)) return fail(&failure, buffer);
  int64_t sum;
  if (!wmbt_check_payloads(&bytes, &len, 1, &sum, &failure)) return fail(&failure, buffer);
  return handle->mode->calls->save_tail(handle->mode, &keys, bytes, len, &failure) ? 0 : fail(&failure, buffer);
}

int32_t wmbt_kv_get_raw_tail_borrowed(wmbt_kv_handle_t *handle, const char *ns, const char *tip_hex,
                                      const uint8_t **out_bytes, size_t *out_len, wmbt_kv_borrow_t **out, char *err_buf,
                                      size_t err_len) {
  const struct text_buffer buffer = {err_buf, err_len};
  WMBT_NOT_CANCELLED;
  wmbt_last_error_clear();
  if (out_bytes == NULL || out_len == NULL || out == NULL) {
    return fail_with("out_bytes / out_len / out_borrow must not be NULL", buffer);
  }
  struct wmbt_key tip;
  struct wmbt_terms terms = {0};
  struct wmbt_keys keys = {.keys = &tip, .count = 1, .terms = &terms};
  struct wmbt_failure failure;
  if (!check_tail(handle, ns, tip_hex, &keys, &failure)) return fail(&failure, buffer);
  if (!wmbt_check_tip("get_raw_tail", tip_hex, &tip, &failure)) return fail(&failure, buffer);
  struct wmbt_borrow *borrow = NULL;
  const int32_t result = borrow_payloads(handle, &keys, true, &borrow, &failure);
  if (result < 0) return fail(&failure, buffer);
  if (result == 0) return 0;
  *out_bytes = borrow->payloads[0];
  *out_len = borrow->lengths[0];
  *out = (wmbt_kv_borrow_t *)borrow;
  return 1;
}
