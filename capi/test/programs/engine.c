/* An engine that knows the ABI by its description alone (contract.h), in the order of calls of a real one. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"

enum { block_count = 4, block_bytes = 50000 };

struct tail {
  wmbt_kv_handle_t *kv;
  const char *tip;
  const uint8_t *bytes;
  size_t length;
  wmbt_kv_borrow_t *borrow;
  int32_t rc;
  char err[160];
};

static void *fetch_tail(void *argument) {
  struct tail *tail = argument;
  tail->rc = wmbt_kv_get_raw_tail_borrowed(tail->kv, "engine", tail->tip, &tail->bytes, &tail->length, &tail->borrow,
                                           tail->err, sizeof tail->err);
  return NULL;
}

/* The prompt's prefix: the tail on a second thread while the blocks are fetched, on the same handle. */
static size_t restore(wmbt_kv_handle_t *kv, const char *const *chain) {
  char err[160] = "";
  size_t matched = 0;
  if (wmbt_kv_lookup_block_prefix(kv, "engine", chain, block_count, &matched, err, sizeof err) != 0) {
    printf("lookup: %s\n", err);
    return 0;
  }
  if (matched == 0) return 0;
  struct tail tail = {.kv = kv, .tip = chain[matched - 1]};
  pthread_t thread;
  if (pthread_create(&thread, NULL, fetch_tail, &tail) != 0) exit(2);
  const uint8_t **payloads = NULL;
  const size_t *lens = NULL;
  wmbt_kv_borrow_t *blocks = NULL;
  const int32_t rc = wmbt_kv_get_kv_blocks_borrowed(kv, "engine", chain, matched, &payloads, &lens, &blocks);
  size_t sum = 0;
  for (size_t i = 0; rc == 1 && i < matched; i += 1) {
    FILE *file = fmemopen((void *)(uintptr_t)payloads[i], lens[i], "rb");
    if (file == NULL) exit(2);
    while (fgetc(file) == (int)(i + 1)) sum += 1;
    (void)fclose(file);
  }
  if (blocks != NULL) wmbt_kv_release_borrow(blocks);
  (void)pthread_join(thread, NULL);
  printf("restored %zu blocks, %zu bytes, a tail of %zu\n", matched, sum, tail.rc == 1 ? tail.length : 0);
  if (tail.borrow != NULL) wmbt_kv_release_borrow(tail.borrow);
  return matched;
}

int main(void) {
  wmbt_kv_handle_t *kv = wmbt_kv_init_from_env();
  if (kv == NULL) {
    printf("cannot open: %s\n", wmbt_kv_last_error());
    return 2;
  }
  static uint8_t bytes[block_count][block_bytes];
  char hashes[block_count][65];
  const char *chain[block_count];
  const uint8_t *payloads[block_count];
  size_t lens[block_count];
  for (size_t i = 0; i < block_count; i += 1) {
    (void)memset(bytes[i], (int)(i + 1), block_bytes);
    (void)wmbt_kv_blake3_64hex(bytes[i], block_bytes, hashes[i]);
    chain[i] = hashes[i];
    payloads[i] = bytes[i];
    lens[i] = block_bytes;
  }
  printf("before: %zu\n", restore(kv, chain));
  for (unsigned save = 0; save < 2; save += 1) {
    const int64_t sum = wmbt_kv_put_kv_blocks(kv, "engine", chain, payloads, lens, block_count);
    char err[160] = "";
    const int32_t rc = wmbt_kv_put_raw_tail(kv, "engine", chain[block_count - 1], bytes[0], 1234, err, sizeof err);
    printf("saved %lld, tail %d %s\n", (long long)sum, rc, err);
  }
  (void)restore(kv, chain);
  printf("version %08x, crc %08x, http %s\n", (unsigned)wmbt_kv_abi_version(),
         (unsigned)wmbt_kv_crc32c_append(wmbt_kv_crc32c(bytes[0], 7), bytes[1], 5),
         wmbt_kv_open_http("127.0.0.1:1") == NULL && wmbt_kv_open_tcp(NULL) == NULL ? "refused" : "opened");
  wmbt_kv_free(kv);
  return 0;
}
