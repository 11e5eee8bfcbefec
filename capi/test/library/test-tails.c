/* Raw tails: one under each tip, the last one written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static void expect_tail(wmbt_kv_handle_t *handle, const char *ns, const char *tip, const uint8_t *bytes,
                        size_t length) {
  const uint8_t *got = NULL;
  size_t got_length = 0;
  wmbt_kv_borrow_t *borrow = NULL;
  char err[160] = "";
  const int32_t rc = wmbt_kv_get_raw_tail_borrowed(handle, ns, tip, &got, &got_length, &borrow, err, sizeof err);
  if (!CHECK(rc == 1, "the tail gives %d: %s", rc, err)) return;
  CHECK(got_length == length && (length == 0 || memcmp(got, bytes, length) == 0), "another tail of %zu", got_length);
  wmbt_kv_release_borrow(borrow);
}

static void put_tail(wmbt_kv_handle_t *handle, const char *ns, const char *tip, const uint8_t *bytes, size_t length) {
  char err[160] = "";
  const int32_t rc = wmbt_kv_put_raw_tail(handle, ns, tip, bytes, length, err, sizeof err);
  CHECK(rc == 0 && err[0] == '\0', "the tail is not put: %d %s", rc, err);
}

static void last_one_written_wins(void) {
  wmbt_kv_handle_t *handle = open_handle();
  char tip[65], upper[65];
  char label[64];
  (void)snprintf(label, sizeof label, "tails-%lld", (long long)now_ms());
  hash_of(label, 0, tip);
  for (size_t i = 0; i < 65; i += 1) upper[i] = tip[i] >= 'a' ? (char)(tip[i] - 32) : tip[i];
  enum { most = 3000000 };
  uint8_t *bytes = malloc(most);
  if (bytes == NULL) return;
  static const size_t lengths[] = {100, 0, 200000, most, 7};
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i += 1) {
    fill_bytes(bytes, most, i + 1);
    put_tail(handle, "tails", i % 2 == 0 ? tip : upper, lengths[i] == 0 ? NULL : bytes, lengths[i]);
    expect_tail(handle, "tails", i % 2 == 0 ? upper : tip, bytes, lengths[i]);
  }
  free(bytes);
  wmbt_kv_free(handle);
}

static void absent_tail_is_a_miss(void) {
  wmbt_kv_handle_t *handle = open_handle();
  char tip[65], err[8] = "intact";
  hash_of("absent", (size_t)now_ms(), tip);
  const uint8_t *bytes = (const uint8_t *)tip;
  size_t length = 5;
  wmbt_kv_borrow_t *borrow = (wmbt_kv_borrow_t *)tip;
  const int32_t rc = wmbt_kv_get_raw_tail_borrowed(handle, "", tip, &bytes, &length, &borrow, err, sizeof err);
  CHECK(rc == 0 && wmbt_kv_last_error() == NULL, "an absent tail gives %d", rc);
  const bool is_untouched = (const void *)bytes == tip && length == 5 && (void *)borrow == tip;
  CHECK(is_untouched && strcmp(err, "intact") == 0, "a miss touched a result");
  wmbt_kv_free(handle);
}

static void tail_is_no_block(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("tail-and-block", 1, 100);
  char label[64];
  (void)snprintf(label, sizeof label, "kinds-%lld", (long long)now_ms());
  put_tail(handle, label, batch.hashes[0], (const uint8_t *)"tail", 4);
  check_lookup(handle, label, &batch, 0);
  check_put(handle, label, &batch);
  check_get(handle, label, &batch, 0, 1);
  expect_tail(handle, label, batch.hashes[0], (const uint8_t *)"tail", 4);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

const struct test_case tail_tests[] = {
    {"the last tail written wins, in whatever case the tip is given", last_one_written_wins},
    {"an absent tail is 0, without an error, and touches nothing", absent_tail_is_a_miss},
    {"a tail is no block, also under the same hash", tail_is_no_block},
    {NULL, NULL},
};
