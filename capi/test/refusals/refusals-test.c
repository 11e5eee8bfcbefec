/*
 * Goal: whichever request for memory the system refuses, a call of the library fails with a reason that says so or does
 * without, and the next one is right. Method: each call is made again and again, and each time the next request that it
 * makes is refused, until it makes no more. The environment says by which way the store is reached.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../include/wombatkv.h"
#include "refusing.h"

enum { blocks_max = 24, requests_max = 1000 };

/* How a call ended. */
enum end { is_right, is_refused, is_wrong };

/* Blocks, or a tail, that are there before anything is refused, and those of a call that saves. */
struct batch {
  size_t count;
  char digits[blocks_max][65];
  const char *hashes[blocks_max];
  const uint8_t *payloads[blocks_max];
  size_t lens[blocks_max];
};

static uint8_t *bytes;
/* Short payloads, and some that are long enough for memory of their own. */
static const size_t lengths[] = {5000, 300000, 0, 3000000};
static struct batch stored;
static char why[600];

static void hash_of(const char *label, size_t number, char digits[65]) {
  char text[128];
  const int length = snprintf(text, sizeof text, "%s/%zu", label, number);
  (void)wmbt_kv_blake3_64hex((const uint8_t *)text, (size_t)length, digits);
}

static struct batch *name_batch(struct batch *batch, const char *label, size_t count) {
  batch->count = count;
  for (size_t i = 0; i < count; i += 1) {
    hash_of(label, i, batch->digits[i]);
    batch->hashes[i] = batch->digits[i];
    batch->payloads[i] = bytes + 7 * i;
    batch->lens[i] = lengths[i % (sizeof lengths / sizeof lengths[0])];
  }
  return batch;
}

/* The end of a call that has failed: right only when it says why. */
static enum end refused(const char *what) {
  const char *error = wmbt_kv_last_error();
  (void)snprintf(why, sizeof why, "%s: %s", what, error == NULL ? "no reason" : error);
  return error != NULL && strstr(error, "no memory") != NULL ? is_refused : is_wrong;
}

static enum end wrong(const char *what) {
  (void)snprintf(why, sizeof why, "%s", what);
  return is_wrong;
}

static enum end open_one(wmbt_kv_handle_t *unused, size_t round) {
  (void)unused;
  (void)round;
  wmbt_kv_handle_t *handle = wmbt_kv_init_from_env();
  if (handle == NULL) return refused("not opened");
  size_t matched = 0;
  const int32_t rc = wmbt_kv_lookup_block_prefix(handle, "", stored.hashes, stored.count, &matched, NULL, 0);
  const enum end end = rc < 0 ? refused("lookup") : matched == stored.count ? is_right : wrong("lookup finds less");
  wmbt_kv_free(handle);
  return end;
}

static enum end look_up(wmbt_kv_handle_t *handle, size_t round) {
  (void)round;
  size_t matched = 0;
  char err[200] = "";
  const int32_t rc =
      wmbt_kv_lookup_block_prefix(handle, "", stored.hashes, stored.count, &matched, err, sizeof err);
  if (rc < 0) return err[0] == '\0' ? wrong("no text of the error") : refused("lookup");
  return matched == stored.count ? is_right : wrong("lookup finds less");
}

static bool is_stored(const struct batch *batch, const uint8_t **payloads, const size_t *lens) {
  for (size_t i = 0; i < batch->count; i += 1) {
    if (lens[i] != batch->lens[i] || memcmp(payloads[i], batch->payloads[i], lens[i]) != 0) return false;
  }
  return true;
}

static enum end get(wmbt_kv_handle_t *handle, size_t round) {
  (void)round;
  const uint8_t **payloads = NULL;
  const size_t *lens = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  const int32_t rc =
      wmbt_kv_get_kv_blocks_borrowed(handle, "", stored.hashes, stored.count, &payloads, &lens, &borrow);
  if (rc < 0) return borrow != NULL || payloads != NULL ? wrong("a failed get lends") : refused("get");
  if (rc == 0) return wrong("a get is a miss");
  const bool is_same = is_stored(&stored, payloads, lens);
  wmbt_kv_release_borrow(borrow);
  return is_same ? is_right : wrong("a get gives other bytes");
}

static enum end put(wmbt_kv_handle_t *handle, size_t round) {
  static struct batch batch;
  char label[80];
  (void)snprintf(label, sizeof label, "%s/put/%zu", stored.digits[0], round);
  (void)name_batch(&batch, label, 4);
  int64_t sum = 0;
  for (size_t i = 0; i < batch.count; i += 1) sum += (int64_t)batch.lens[i];
  const int64_t rc = wmbt_kv_put_kv_blocks(handle, "", batch.hashes, batch.payloads, batch.lens, batch.count);
  if (rc < 0) return refused("put");
  if (rc != sum) return wrong("a put gives another sum");
  size_t matched = 0;
  refusing_begin(0);
  const int32_t found = wmbt_kv_lookup_block_prefix(handle, "", batch.hashes, batch.count, &matched, NULL, 0);
  return found == 0 && matched == batch.count ? is_right : wrong("a put is not found");
}

static enum end put_tail(wmbt_kv_handle_t *handle, size_t round) {
  (void)round;
  char err[200] = "";
  const int32_t rc = wmbt_kv_put_raw_tail(handle, "", stored.hashes[1], bytes, 400000, err, sizeof err);
  if (rc == 0) return is_right;
  return err[0] == '\0' ? wrong("no text of the error") : refused("put of a tail");
}

static enum end get_tail(wmbt_kv_handle_t *handle, size_t round) {
  (void)round;
  const uint8_t *got = NULL;
  size_t length = 0;
  wmbt_kv_borrow_t *borrow = NULL;
  char err[200] = "";
  const int32_t rc =
      wmbt_kv_get_raw_tail_borrowed(handle, "", stored.hashes[1], &got, &length, &borrow, err, sizeof err);
  if (rc < 0) return err[0] == '\0' || borrow != NULL ? wrong("a failed get of a tail") : refused("get of a tail");
  if (rc == 0) return wrong("a tail is a miss");
  const bool is_same = length == 400000 && memcmp(got, bytes, length) == 0;
  wmbt_kv_release_borrow(borrow);
  return is_same ? is_right : wrong("another tail");
}

static enum end contains(wmbt_kv_handle_t *handle, size_t round) {
  (void)round;
  uint8_t present[blocks_max] = {0};
  const int32_t rc = wmbt_kv_contains(handle, "", stored.hashes, stored.count, NULL, present);
  if (rc != 0) return refused("contains");
  for (size_t i = 0; i < stored.count; i += 1) {
    if (present[i] != 1) return wrong("a block is not there");
  }
  return is_right;
}

static enum end statistics(wmbt_kv_handle_t *handle, size_t round) {
  (void)round;
  wmbt_kv_stats_t stats = WMBT_KV_STATS_INIT;
  wmbt_kv_borrow_t *borrow = NULL;
  if (wmbt_kv_stats(handle, "", NULL, &stats, &borrow) != 0) return refused("statistics");
  wmbt_kv_release_borrow(borrow);
  return is_right;
}

static const struct {
  const char *name;
  enum end (*run)(wmbt_kv_handle_t *handle, size_t round);
} calls[] = {
    {"a handle is opened", open_one}, {"a lookup", look_up},        {"a get", get},
    {"a put", put},                   {"a put of a tail", put_tail}, {"a get of a tail", get_tail},
    {"presence", contains},           {"statistics", statistics},
};

/* Refuses the first request of the call, then the second and so on. False when something went wrong. */
static bool try_all(size_t call, wmbt_kv_handle_t *handle) {
  size_t refusals = 0;
  for (size_t number = 1; number < requests_max; number += 1) {
    refusing_begin(number);
    const enum end end = calls[call].run(handle, number);
    const bool was_reached = refusing_end();
    if (end == is_wrong || (end == is_refused && !was_reached)) {
      printf("# request %zu: %s\n", number, why);
      return false;
    }
    refusals += end == is_refused;
    if (calls[call].run(handle, number) != is_right) {
      printf("# behind request %zu: %s\n", number, why);
      return false;
    }
    if (was_reached) continue;
    printf("note %s: %zu of %zu requests that were refused made it fail\n", calls[call].name, refusals, number - 1);
    return true;
  }
  printf("# it goes on making requests\n");
  return false;
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  bytes = malloc(4000000);
  if (bytes == NULL) return 2;
  for (size_t i = 0; i < 4000000; i += 1) bytes[i] = (uint8_t)(i * 2654435761U >> 13);
  (void)name_batch(&stored, argv[1], blocks_max);
  wmbt_kv_handle_t *handle = wmbt_kv_init_from_env();
  if (handle == NULL ||
      wmbt_kv_put_kv_blocks(handle, "", stored.hashes, stored.payloads, stored.lens, stored.count) < 0) {
    fprintf(stderr, "nothing is stored: %s\n", wmbt_kv_last_error());
    return 2;
  }
  unsigned failed = 0, count = 0;
  for (; count < sizeof calls / sizeof calls[0]; count += 1) {
    const bool is_good = try_all(count, handle);
    failed += is_good ? 0 : 1;
    printf("%s %s, whichever request for memory is refused\n", is_good ? "ok" : "not ok", calls[count].name);
    (void)fflush(stdout);
  }
  wmbt_kv_free(handle);
  free(bytes);
  printf("end %u\n", count);
  return failed > 0 ? 1 : 0;
}
