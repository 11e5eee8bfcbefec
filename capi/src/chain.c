#include "chain.h"

#include "../third_party/blake3/blake3.h"
#include "cpu.h"

void wmbt_chain_keys(const char *tip, const uint8_t *tokens, size_t block_tokens, size_t count, char *keys) {
  const size_t block_bytes = block_tokens * sizeof(int32_t);
  blake3_hasher hasher;
  uint8_t digest[wmbt_digest_bytes];
  for (size_t block = 0; block < count; block += 1) {
    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, tip, wmbt_digest_digits);
    blake3_hasher_update(&hasher, tokens + block * block_bytes, block_bytes);
    blake3_hasher_finalize(&hasher, digest, sizeof digest);
    char *key = keys + block * wmbt_digest_digits;
    wmbt_hex_write(digest, key);
    tip = key;
  }
}

void wmbt_blake3_hex(const uint8_t *in, size_t length, char digits[wmbt_digest_digits]) {
  blake3_hasher hasher;
  uint8_t digest[wmbt_digest_bytes];
  blake3_hasher_init(&hasher);
  blake3_hasher_update(&hasher, in, length);
  blake3_hasher_finalize(&hasher, digest, sizeof digest);
  wmbt_hex_write(digest, digits);
}
