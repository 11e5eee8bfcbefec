/* Blocks: what was put is found and comes back, whole or not at all. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* A namespace that no run before this one has used: the daemon may be the same. */
static const char *fresh(const char *name) {
  static char text[80];
  static unsigned count;
  count += 1;
  (void)snprintf(text, sizeof text, "%s-%lld-%u", name, (long long)now_ms(), count);
  return text;
}

static void put_lookup_get(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh("blocks");
  struct batch batch = batch_of("put", 5, 100000);
  check_lookup(handle, ns, &batch, 0);
  check_put(handle, ns, &batch);
  check_lookup(handle, ns, &batch, 5);
  check_get(handle, ns, &batch, 0, 5);
  check_get(handle, ns, &batch, 3, 2);
  check_put(handle, ns, &batch);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

static void misses_touch_nothing(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh("misses");
  struct batch batch = batch_of("misses", 4, 5000);
  batch.count = 3;
  check_put(handle, ns, &batch);
  batch.count = 4;
  check_lookup(handle, ns, &batch, 3);
  const uint8_t **payloads = (const uint8_t **)&batch;
  const size_t *lens = (const size_t *)&batch;
  wmbt_kv_borrow_t *borrow = (wmbt_kv_borrow_t *)&batch;
  const int32_t rc = wmbt_kv_get_kv_blocks_borrowed(handle, ns, batch.hashes, 4, &payloads, &lens, &borrow);
  CHECK(rc == 0, "a get of which one block is missing gives %d", rc);
  CHECK(wmbt_kv_last_error() == NULL, "a miss is an error: %s", wmbt_kv_last_error());
  const bool is_untouched =
      (void *)payloads == (void *)&batch && (const void *)lens == (void *)&batch && (void *)borrow == (void *)&batch;
  CHECK(is_untouched, "a miss touched a result");
  batch_free(&batch);
  wmbt_kv_free(handle);
}

static void lengths_of_all_kinds(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh("lengths");
  static const size_t lengths[] = {0, 1, 24, 4096, 65535, 65536, 65537, 131072, 1048575, 1048576, 1048577, 3000000, 0};
  enum { count = sizeof lengths / sizeof lengths[0] };
  struct batch batch = batch_of("lengths", count, 3000000);
  for (size_t i = 0; i < count; i += 1) batch.lens[i] = lengths[i];
  uint8_t *first = batch.payloads[0];
  /* Where nothing is to be read, NULL is as good. */
  batch.payloads[0] = NULL;
  check_put(handle, ns, &batch);
  batch.payloads[0] = first;
  check_lookup(handle, ns, &batch, count);
  check_get(handle, ns, &batch, 0, count);
  for (size_t i = 0; i < count; i += 1) check_get(handle, ns, &batch, i, 1);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

static void duplicates_and_upper_case(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh("duplicates");
  struct batch batch = batch_of("duplicates", 4, 200000);
  batch.hashes[2] = batch.hashes[0];
  (void)memcpy(batch.payloads[2], batch.payloads[0], batch.lens[0]);
  check_put(handle, ns, &batch);
  check_lookup(handle, ns, &batch, 4);
  check_get(handle, ns, &batch, 0, 4);
  for (size_t i = 0; i < 4; i += 1) {
    for (char *digit = batch.digits[i]; *digit != '\0'; digit += 1) *digit = (char)toupper((unsigned char)*digit);
  }
  check_lookup(handle, ns, &batch, 4);
  check_get(handle, ns, &batch, 0, 4);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

static void namespaces_are_apart(void) {
  wmbt_kv_handle_t *handle = open_handle();
  char one[80], other[80];
  (void)snprintf(one, sizeof one, "%s", fresh("tenant"));
  (void)snprintf(other, sizeof other, "%s", fresh("m\xc3\xa4nner/a"));
  struct batch batch = batch_of(one, 2, 70000);
  check_put(handle, one, &batch);
  check_lookup(handle, other, &batch, 0);
  check_lookup(handle, "", &batch, 0);
  batch.payloads[0][0] ^= 1;
  check_put(handle, other, &batch);
  check_get(handle, other, &batch, 0, 2);
  batch.payloads[0][0] ^= 1;
  check_get(handle, one, &batch, 0, 2);
  struct batch own = batch_of(other, 2, 10);
  check_put(handle, "", &own);
  check_lookup(handle, getenv("WMBT_KV_NAMESPACE") == NULL ? "default" : getenv("WMBT_KV_NAMESPACE"), &own, 2);
  batch_free(&own);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

static void five_hundred_and_twelve_blocks(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh("many");
  struct batch batch = batch_of("many", 512, 30000);
  check_put(handle, ns, &batch);
  check_lookup(handle, ns, &batch, 512);
  check_get(handle, ns, &batch, 0, 512);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

/* The daemon of the test has a memory tier of 16 MiB. */
static void larger_than_the_memory_tier(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh("large");
  struct batch batch = batch_of("large", 40, 1000000);
  check_put(handle, ns, &batch);
  check_lookup(handle, ns, &batch, 40);
  check_get(handle, ns, &batch, 0, 40);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

/* More than the 65,536 that one message holds. */
static void more_keys_than_a_message_holds(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh("keys");
  struct batch batch = batch_of("keys", 65600, 0);
  struct batch some = batch;
  some.count = 10;
  check_put(handle, ns, &some);
  check_lookup(handle, ns, &batch, 10);
  size_t matched;
  for (size_t i = 10; i < batch.count; i += 1) batch.hashes[i] = batch.digits[i % 10];
  CHECK(wmbt_kv_lookup_block_prefix(handle, ns, batch.hashes, batch.count, &matched, NULL, 0) == 0, "%s",
        wmbt_kv_last_error());
  CHECK(matched == batch.count, "%zu matched", matched);
  check_get(handle, ns, &batch, 0, batch.count);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

static void borrows_last(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *ns = fresh("borrows");
  enum { held = 8 };
  struct batch batch = batch_of("borrows", held, 300000);
  check_put(handle, ns, &batch);
  const uint8_t **payloads[held];
  const size_t *lens[held];
  wmbt_kv_borrow_t *borrows[held];
  for (size_t i = 0; i < held; i += 1) {
    const int32_t rc =
        wmbt_kv_get_kv_blocks_borrowed(handle, ns, batch.hashes + i, 1, &payloads[i], &lens[i], &borrows[i]);
    CHECK(rc == 1, "get gives %d", rc);
  }
  struct batch others = batch_of("others", 40, 1000000);
  check_put(handle, ns, &others);
  batch_free(&others);
  wmbt_kv_free(handle);
  for (size_t i = 0; i < held; i += 1) {
    const size_t at = (i * 5) % held;
    CHECK(*lens[at] == 300000 && memcmp(*payloads[at], batch.payloads[at], 300000) == 0, "borrow %zu has changed", at);
    wmbt_kv_release_borrow(borrows[at]);
  }
  batch_free(&batch);
}

const struct test_case block_tests[] = {
    {"what was put is found and comes back", put_lookup_get},
    {"a miss is 0, without an error, and touches nothing", misses_touch_nothing},
    {"blocks of any length, none included, come back", lengths_of_all_kinds},
    {"a hash may stand twice in a batch, and in upper case", duplicates_and_upper_case},
    {"namespaces do not see each other, and the empty one is the handle's", namespaces_are_apart},
    {"a batch of 512 blocks goes and comes", five_hundred_and_twelve_blocks},
    {"a batch larger than the memory tier goes and comes", larger_than_the_memory_tier},
    {"borrows outlive puts and the handle, and are released in any order", borrows_last},
    {NULL, NULL},
};

const struct test_case many_tests[] = {
    {"a list of more keys than a message holds goes in several", more_keys_than_a_message_holds},
    {NULL, NULL},
};
