/* ABI 1.1: what 1.0 does not say of payloads, tells of stores, or can ask for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "extended.h"

const char *fresh_namespace(const char *name) {
  static char text[80];
  static unsigned count;
  count += 1;
  (void)snprintf(text, sizeof text, "%s-%lld-%u", name, (long long)now_ms(), count);
  return text;
}

const char *last_text(void) { return wmbt_kv_last_error() == NULL ? "no error" : wmbt_kv_last_error(); }

wmbt_kv_saved_t expect_saved(wmbt_kv_handle_t *handle, const char *ns, const struct batch *batch,
                                  const wmbt_kv_call_t *call, uint32_t flags) {
  wmbt_kv_block_t *blocks = calloc(batch->count, sizeof *blocks);
  wmbt_kv_saved_t saved = {999, 999, 999};
  if (blocks == NULL) exit(2);
  for (size_t i = 0; i < batch->count; i += 1) {
    blocks[i] = (wmbt_kv_block_t){.hash = batch->hashes[i],
                                  .bytes = batch->payloads[i],
                                  .length = batch->lens[i],
                                  .tokens = 128,
                                  .position = (uint32_t)(128 * i),
                                  .flags = flags};
  }
  const int32_t rc = wmbt_kv_save(handle, ns, blocks, batch->count, call, &saved);
  CHECK(rc == 0, "save gives %d: %s", rc, last_text());
  free(blocks);
  return saved;
}

void expect_loaded(wmbt_kv_handle_t *handle, const char *ns, const struct batch *batch, const wmbt_kv_call_t *call,
                   struct expected_load expected) {
  const wmbt_kv_payload_t *payloads = NULL;
  size_t count = 999;
  wmbt_kv_borrow_t *borrow = NULL;
  const int32_t rc = wmbt_kv_load(handle, ns, batch->hashes, batch->count, call, &payloads, &count, &borrow);
  const int32_t miss = wmbt_kv_last_miss();
  if (!CHECK(rc == (expected.count == batch->count ? 1 : 0), "load gives %d: %s", rc, last_text())) return;
  CHECK(wmbt_kv_last_error() == NULL && wmbt_kv_last_error_code() == WMBT_KV_ERROR_NONE, "a load leaves an error");
  CHECK(count == expected.count && miss == expected.miss, "%zu came, and the reason is %d", count, miss);
  for (size_t i = 0; i < count && i < expected.count; i += 1) {
    const wmbt_kv_payload_t *one = &payloads[i];
    const bool is_equal = one->length == batch->lens[i] && memcmp(one->bytes, batch->payloads[i], one->length) == 0;
    CHECK(is_equal, "block %zu has other bytes", i);
    CHECK(one->crc32c == wmbt_kv_crc32c(one->bytes, one->length), "block %zu has another checksum", i);
    CHECK(one->tokens == 128 && one->flags == expected.flags, "block %zu: %u tokens, flags %u", i,
          (unsigned)one->tokens, (unsigned)one->flags);
    CHECK(one->tier <= WMBT_KV_TIER_OBJECT, "block %zu is of tier %u", i, (unsigned)one->tier);
  }
  wmbt_kv_release_borrow(borrow);
}

static void saves_and_loads(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh_namespace("terms");
  struct batch batch = batch_of("terms", 5, 90000);
  batch.count = 3;
  wmbt_kv_saved_t saved = expect_saved(handle, ns, &batch, NULL, 0);
  CHECK(saved.saved == 3 && saved.known == 0 && saved.saved_bytes == 270000, "%u saved", (unsigned)saved.saved);
  expect_loaded(handle, ns, &batch, NULL, (struct expected_load){.count = 3});
  /* Now from memory, where that is shared. */
  expect_loaded(handle, ns, &batch, NULL, (struct expected_load){.count = 3});
  batch.count = 5;
  expect_loaded(handle, ns, &batch, NULL, (struct expected_load){.count = 3, .miss = WMBT_KV_MISS_UNKNOWN});
  saved = expect_saved(handle, ns, &batch, NULL, WMBT_KV_DECODED);
  CHECK(saved.saved == 2 && saved.known == 3 && saved.saved_bytes == 180000, "%u known", (unsigned)saved.known);
  size_t matched = 9;
  CHECK(wmbt_kv_lookup(handle, ns, batch.hashes, 5, NULL, &matched) == 0 && matched == 5, "%zu matched", matched);
  CHECK(wmbt_kv_last_miss() == WMBT_KV_MISS_NONE, "a lookup of all has missed something");
  CHECK(wmbt_kv_lookup(handle, "nobody", batch.hashes, 5, NULL, &matched) == 0 && matched == 0, "%zu matched", matched);
  CHECK(wmbt_kv_last_miss() == WMBT_KV_MISS_UNKNOWN, "the reason is %d", wmbt_kv_last_miss());
  /* What one interface stores the other finds. */
  check_get(handle, ns, &batch, 0, 5);
  check_put(handle, ns, &batch);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

static void misses_of_old_calls(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("old-misses", 2, 10);
  const uint8_t **payloads = NULL;
  const size_t *lens = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  const char *ns = fresh_namespace("old");
  CHECK(wmbt_kv_get_kv_blocks_borrowed(handle, ns, batch.hashes, 2, &payloads, &lens, &borrow) == 0, "a get");
  CHECK(wmbt_kv_last_miss() == WMBT_KV_MISS_UNKNOWN, "of a get: %d", wmbt_kv_last_miss());
  check_put(handle, ns, &batch);
  CHECK(wmbt_kv_last_miss() == WMBT_KV_MISS_NONE, "a put leaves the miss of before");
  check_lookup(handle, "nobody", &batch, 0);
  CHECK(wmbt_kv_last_miss() == WMBT_KV_MISS_UNKNOWN, "of a lookup: %d", wmbt_kv_last_miss());
  CHECK(wmbt_kv_put_kv_blocks(handle, NULL, NULL, NULL, NULL, 0) == -1, "a put without a namespace");
  CHECK(wmbt_kv_last_error_code() == WMBT_KV_ERROR_INVALID, "code %d", wmbt_kv_last_error_code());
  batch_free(&batch);
  wmbt_kv_free(handle);
}

static void wishes_of_loads(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh_namespace("wishes");
  char ours[65], theirs[65], zeros[65];
  hash_of("model", 1, ours);
  hash_of("model", 2, theirs);
  (void)memset(zeros, '0', 64);
  zeros[64] = '\0';
  struct batch prefilled = batch_of("prefilled", 2, 40000), decoded = batch_of("decoded", 2, 40000);
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.fingerprint = ours;
  call.flags = WMBT_KV_ACCEPTED;
  (void)expect_saved(handle, ns, &prefilled, &call, 0);
  call.parent = prefilled.hashes[1];
  (void)expect_saved(handle, ns, &decoded, &call, WMBT_KV_DECODED);
  /* The second round finds them in memory. */
  for (unsigned round = 0; round < 2; round += 1) {
    call = (wmbt_kv_call_t)WMBT_KV_CALL_INIT;
    call.fingerprint = ours;
    expect_loaded(handle, ns, &prefilled, &call, (struct expected_load){.count = 2});
    call.fingerprint = zeros;
    expect_loaded(handle, ns, &prefilled, &call, (struct expected_load){.count = 2});
    call.fingerprint = theirs;
    expect_loaded(handle, ns, &prefilled, &call, (struct expected_load){.miss = WMBT_KV_MISS_OTHER_FINGERPRINT});
    call.fingerprint = NULL;
    expect_loaded(handle, ns, &decoded, &call, (struct expected_load){.count = 2, .flags = WMBT_KV_DECODED});
    call.flags = WMBT_KV_EXACT;
    expect_loaded(handle, ns, &decoded, &call, (struct expected_load){.miss = WMBT_KV_MISS_DECODED});
    expect_loaded(handle, ns, &prefilled, &call, (struct expected_load){.count = 2});
  }
  batch_free(&decoded);
  batch_free(&prefilled);
  wmbt_kv_free(handle);
}

static void presence_of_each(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh_namespace("presence");
  enum { count = 11 };
  struct batch batch = batch_of("presence", count, 3000);
  uint8_t present[count + 1];
  for (size_t i = 0; i < count; i += 1) {
    if (i % 3 == 0) continue;
    struct batch one = {1, &batch.digits[i], &batch.hashes[i], &batch.payloads[i], &batch.lens[i]};
    check_put(handle, ns, &one);
  }
  (void)memset(present, 7, sizeof present);
  CHECK(wmbt_kv_contains(handle, ns, batch.hashes, count, NULL, present) == 0, "contains: %s", last_text());
  for (size_t i = 0; i < count; i += 1) CHECK(present[i] == (i % 3 == 0 ? 0 : 1), "block %zu: %u", i, present[i]);
  CHECK(present[count] == 7, "a byte behind the results was written");
  CHECK(wmbt_kv_contains(handle, ns, NULL, 0, NULL, NULL) == 0, "of nothing: %s", last_text());
  batch_free(&batch);
  wmbt_kv_free(handle);
}

/* Loads the tail that continues with the tokens, and compares. */
static void expect_tail(wmbt_kv_handle_t *handle, const char *ns, const char *tip, const int32_t *tokens, size_t count,
                        const char *bytes, uint32_t covered) {
  const wmbt_kv_payload_t *payload = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  const int32_t rc = wmbt_kv_load_tail(handle, ns, tip, tokens, count, NULL, &payload, &borrow);
  if (!CHECK(rc == (bytes == NULL ? 0 : 1), "a tail of %zu tokens gives %d: %s", count, rc, last_text())) return;
  CHECK((wmbt_kv_last_miss() == WMBT_KV_MISS_NONE) == (bytes != NULL), "the reason is %d", wmbt_kv_last_miss());
  CHECK((payload == NULL) == (bytes == NULL) && (borrow == NULL) == (bytes == NULL), "a miss touched a result");
  if (bytes == NULL) return;
  const bool is_equal = payload->length == strlen(bytes) && memcmp(payload->bytes, bytes, payload->length) == 0;
  CHECK(is_equal && payload->tokens == covered, "another tail, of %u tokens", (unsigned)payload->tokens);
  wmbt_kv_release_borrow(borrow);
}

static void tails_of_tokens(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh_namespace("bound");
  static const int32_t prompt[6] = {10, -2, 2147483647, 40, 50, 60}, other[3] = {10, 11, 12};
  char tip[65];
  hash_of("bound", (size_t)now_ms(), tip);
  static const char *const texts[3] = {"two tokens", "four", "others"};
  const wmbt_kv_tail_t tails[3] = {
      {.tip = tip, .tokens = prompt, .token_count = 2, .position = 128},
      {.tip = tip, .tokens = prompt, .token_count = 4, .position = WMBT_KV_POSITION_UNKNOWN, .flags = WMBT_KV_DECODED},
      {.tip = tip, .tokens = other, .token_count = 3, .position = WMBT_KV_POSITION_UNKNOWN},
  };
  for (size_t i = 0; i < 3; i += 1) {
    wmbt_kv_tail_t tail = tails[i];
    tail.bytes = (const uint8_t *)texts[i];
    tail.length = strlen(texts[i]);
    wmbt_kv_saved_t saved = {0, 0, 0};
    CHECK(wmbt_kv_save_tail(handle, ns, &tail, NULL, &saved) == 0 && saved.saved == 1, "a tail: %s", last_text());
  }
  expect_tail(handle, ns, tip, prompt, 6, "four", 4);
  expect_tail(handle, ns, tip, prompt, 3, "two tokens", 2);
  expect_tail(handle, ns, tip, prompt, 1, NULL, 0);
  expect_tail(handle, ns, tip, other, 3, "others", 3);
  expect_tail(handle, ns, tip, other, 2, NULL, 0);
  expect_tail(handle, ns, tip, NULL, 0, NULL, 0);
  expect_tail(handle, "nobody", tip, prompt, 6, NULL, 0);
  wmbt_kv_free(handle);
}

static void raw_tails(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh_namespace("raw");
  char tip[65];
  hash_of("raw", (size_t)now_ms(), tip);
  const wmbt_kv_payload_t *payload = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  CHECK(wmbt_kv_load_raw_tail(handle, ns, tip, NULL, &payload, &borrow) == 0 && borrow == NULL, "an absent one");
  CHECK(wmbt_kv_last_miss() == WMBT_KV_MISS_UNKNOWN, "the reason is %d", wmbt_kv_last_miss());
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.flags = WMBT_KV_DURABLE;
  call.time_limit_ms = 30000;
  CHECK(wmbt_kv_save_raw_tail(handle, ns, tip, (const uint8_t *)"raw", 3, &call, NULL) == 0, "%s", last_text());
  CHECK(wmbt_kv_load_raw_tail(handle, ns, tip, &call, &payload, &borrow) == 1, "%s", last_text());
  if (borrow != NULL) CHECK(payload->length == 3 && memcmp(payload->bytes, "raw", 3) == 0, "other bytes");
  wmbt_kv_release_borrow(borrow);
  const uint8_t *bytes;
  size_t length;
  CHECK(wmbt_kv_get_raw_tail_borrowed(handle, ns, tip, &bytes, &length, &borrow, NULL, 0) == 1, "by ABI 1.0");
  wmbt_kv_release_borrow(borrow);
  wmbt_kv_free(handle);
}

/* The number behind a name in the statistics; -1 without it. */
static long long number_of(const char *json, const char *name) {
  char text[64];
  (void)snprintf(text, sizeof text, "\"%s\":", name);
  const char *found = strstr(json, text);
  return found == NULL ? -1 : strtoll(found + strlen(text), NULL, 10);
}

static void durable_and_flush(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh_namespace("durable");
  struct batch batch = batch_of(ns, 3, 20000), later = batch_of("later", 3, 20000);
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.flags = WMBT_KV_DURABLE;
  call.time_limit_ms = 30000;
  (void)expect_saved(handle, ns, &batch, &call, 0);
  (void)expect_saved(handle, ns, &later, NULL, 0);
  CHECK(wmbt_kv_flush(handle, ns, &call) == 0, "flush: %s", last_text());
  wmbt_kv_stats_t stats = WMBT_KV_STATS_INIT;
  wmbt_kv_borrow_t *borrow = NULL;
  call = (wmbt_kv_call_t)WMBT_KV_CALL_INIT;
  call.time_limit_ms = 8000;
  if (CHECK(wmbt_kv_stats(handle, "", &call, &stats, &borrow) == 0, "statistics: %s", last_text())) {
    CHECK(stats.json[stats.json_length] == '\0' && strlen(stats.json) == stats.json_length, "no text");
    CHECK(stats.json[0] == '{' && stats.json[stats.json_length - 1] == '}', "no object");
    CHECK(number_of(stats.json, "pending") == 0, "something is pending: %s", stats.json);
    CHECK(number_of(stats.json, "saved") >= 6, "too few were saved: %s", stats.json);
    CHECK(stats.size == sizeof stats, "the size was changed");
  }
  wmbt_kv_release_borrow(borrow);
  batch_free(&later);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

static void prefetches(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh_namespace("prefetch");
  struct batch batch = batch_of(ns, 6, 200000);
  batch.count = 4;
  check_put(handle, ns, &batch);
  batch.count = 6;
  size_t there = 99;
  CHECK(wmbt_kv_prefetch(handle, ns, batch.hashes, 6, NULL, &there) == 1 && there == 4, "%zu: %s", there, last_text());
  CHECK(wmbt_kv_prefetch(handle, ns, NULL, 0, NULL, NULL) == 1, "of nothing: %s", last_text());
  /* As many as there may be, and others after them; what they leave behind does not disturb other calls. */
  unsigned begun = 0;
  for (const int64_t end = now_ms() + 20000; begun < 12 && now_ms() < end;) {
    const int32_t rc = wmbt_kv_prefetch(handle, ns, batch.hashes, 6, NULL, NULL);
    CHECK(rc == 0 || rc == 1, "prefetch gives %d: %s", rc, last_text());
    begun += rc == 1 ? 1 : 0;
    check_lookup(handle, ns, &batch, 4);
  }
  CHECK(begun == 12, "%u were begun", begun);
  check_get(handle, ns, &batch, 0, 4);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

static void deletions(void) {
  wmbt_kv_handle_t *handle = open_handle();
  char ns[80];
  (void)snprintf(ns, sizeof ns, "%s", fresh_namespace("deletion"));
  struct batch chain = batch_of(ns, 6, 5000), apart = batch_of("apart", 2, 5000);
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.flags = WMBT_KV_DURABLE;
  call.time_limit_ms = 30000;
  (void)expect_saved(handle, ns, &chain, &call, 0);
  (void)expect_saved(handle, ns, &apart, &call, 0);
  uint64_t objects = 99;
  const char *const root = chain.hashes[3];
  CHECK(wmbt_kv_delete(handle, ns, WMBT_KV_DELETE_SUBTREE, &root, 1, NULL, &objects) == 0, "%s", last_text());
  CHECK(objects == 3, "%u objects of a subtree", (unsigned)objects);
  check_lookup(handle, ns, &chain, 3);
  check_lookup(handle, ns, &apart, 2);
  CHECK(wmbt_kv_delete(handle, ns, WMBT_KV_DELETE_BLOCKS, apart.hashes, 1, NULL, NULL) == 0, "%s", last_text());
  check_lookup(handle, ns, &apart, 0);
  CHECK(wmbt_kv_delete(handle, ns, WMBT_KV_DELETE_BLOCKS, NULL, 0, NULL, &objects) == 0 && objects == 0, "of nothing");
  CHECK(wmbt_kv_delete(handle, ns, WMBT_KV_DELETE_NAMESPACE, NULL, 0, NULL, &objects) == 0, "%s", last_text());
  CHECK(objects == 4, "%u objects of a namespace", (unsigned)objects);
  check_lookup(handle, ns, &chain, 0);
  batch_free(&apart);
  batch_free(&chain);
  wmbt_kv_free(handle);
}

static void nothing_at_all(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const wmbt_kv_payload_t *payloads = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  wmbt_kv_saved_t saved = {9, 9, 9};
  size_t count = 9;
  CHECK(wmbt_kv_load(handle, "", NULL, 0, NULL, &payloads, &count, &borrow) == 1 && count == 0, "%s", last_text());
  CHECK(borrow != NULL, "a load of nothing gives no borrow");
  wmbt_kv_release_borrow(borrow);
  CHECK(wmbt_kv_save(handle, "", NULL, 0, NULL, &saved) == 0 && saved.saved == 0 && saved.known == 0, "a save");
  CHECK(wmbt_kv_lookup(handle, "", NULL, 0, NULL, &count) == 0 && count == 0, "a lookup");
  CHECK(wmbt_kv_prefetch(handle, "", NULL, 0, NULL, &count) == 1 && count == 0, "a prefetch");
  wmbt_kv_free(handle);
}

const struct test_case extended_tests[] = {
    {"saves say what was new, and loads what they give and why no more", saves_and_loads},
    {"calls of ABI 1.0 have a reason for a miss, and a code for an error", misses_of_old_calls},
    {"loads take what the caller's model may use, and exact payloads when asked", wishes_of_loads},
    {"presence is told of each block, whatever is missing before it", presence_of_each},
    {"a tail is found by the tokens that it was computed from, the longest first", tails_of_tokens},
    {"raw tails are those of ABI 1.0", raw_tails},
    {"a durable save and a flush leave nothing pending, by the statistics", durable_and_flush},
    {"a prefetch says how many are there, or is begun and left alone", prefetches},
    {"blocks, a subtree and a namespace are deleted", deletions},
    {"empty batches need no arrays", nothing_at_all},
    {NULL, NULL},
};
