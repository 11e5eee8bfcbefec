/*
 * The smallest program that works: stores three blocks, finds them, reads them back.
 *
 *     cc quickstart.c $(pkg-config --cflags --libs wombatkv) -o quickstart
 *     ./quickstart                                        (starts a store of its own, which needs Node)
 *     WMBT_KV_REMOTE_PREFIX=default ./quickstart          (that of a running wombatkv-daemon)
 *
 * An engine's blocks hold its KV state, 128 tokens each; here they hold a few words.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <wombatkv.h>

enum { block_count = 3, block_tokens = 128 };

/* Hashes of the blocks of a prompt: each covers the model and every token up to its block's end. */
static void hash_chain(const char *seed_input, const int32_t *tokens, char hashes[block_count][65]) {
  char tip[65];
  wmbt_kv_blake3_64hex((const uint8_t *)seed_input, strlen(seed_input), tip);
  for (size_t block = 0; block < block_count; block += 1) {
    uint8_t input[64 + 4 * block_tokens];
    memcpy(input, tip, 64);
    for (size_t i = 0; i < block_tokens; i += 1) {
      const uint32_t token = (uint32_t)tokens[block * block_tokens + i];
      for (size_t byte = 0; byte < 4; byte += 1) input[64 + 4 * i + byte] = (uint8_t)(token >> (8 * byte));
    }
    wmbt_kv_blake3_64hex(input, sizeof input, hashes[block]);
    memcpy(tip, hashes[block], sizeof tip);
  }
}

static int fail(const char *what) {
  const char *why = wmbt_kv_last_error();
  fprintf(stderr, "%s: %s\n", what, why == NULL ? "not stored" : why);
  return 1;
}

int main(void) {
  int32_t tokens[block_count * block_tokens];
  for (int32_t i = 0; i < block_count * block_tokens; i += 1) tokens[i] = i;
  char hashes[block_count][65];
  hash_chain("WMBTBLK1|quickstart|b128", tokens, hashes);

  const char *list[block_count];
  const uint8_t *payloads[block_count];
  size_t lens[block_count];
  static const char *const words[block_count] = {"compute once,", "reuse", "everywhere"};
  for (size_t i = 0; i < block_count; i += 1) {
    list[i] = hashes[i];
    payloads[i] = (const uint8_t *)words[i];
    lens[i] = strlen(words[i]);
  }

  wmbt_kv_handle_t *kv = wmbt_kv_init_from_env();
  if (kv == NULL) return fail("cannot open");

  size_t matched = 0;
  if (wmbt_kv_lookup_block_prefix(kv, "", list, block_count, &matched, NULL, 0) != 0) return fail("lookup");
  printf("stored before: %zu of %d blocks\n", matched, block_count);

  if (wmbt_kv_put_kv_blocks(kv, "", list, payloads, lens, block_count) < 0) return fail("put");

  const uint8_t **got;
  const size_t *got_lens;
  wmbt_kv_borrow_t *borrow;
  if (wmbt_kv_get_kv_blocks_borrowed(kv, "", list, block_count, &got, &got_lens, &borrow) != 1) return fail("get");
  for (size_t i = 0; i < block_count; i += 1) printf("block %zu: %.*s\n", i, (int)got_lens[i], (const char *)got[i]);
  wmbt_kv_release_borrow(borrow);

  wmbt_kv_free(kv);
  return 0;
}
