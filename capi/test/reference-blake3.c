#include "reference-blake3.h"

#include <string.h>

enum { chunk_bytes = 1024, block_bytes = 64 };
enum { chunk_start = 1, chunk_end = 2, parent = 4, root = 8 };

static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static uint32_t rotate_right(uint32_t word, unsigned by) { return word >> by | word << (32 - by); }

/* One quarter of a round: `at` names four words of the state, `x` and `y` are words of the message. */
static void mix(uint32_t state[16], const uint8_t at[4], uint32_t x, uint32_t y) {
  uint32_t *a = &state[at[0]], *b = &state[at[1]], *c = &state[at[2]], *d = &state[at[3]];
  *a += *b + x;
  *d = rotate_right(*d ^ *a, 16);
  *c += *d;
  *b = rotate_right(*b ^ *c, 12);
  *a += *b + y;
  *d = rotate_right(*d ^ *a, 8);
  *c += *d;
  *b = rotate_right(*b ^ *c, 7);
}

struct block {
  uint8_t bytes[block_bytes];
  uint32_t length;
  uint32_t flags;
  uint64_t counter;
};

/* Replaces the chaining value by that after the block. */
static void compress(uint32_t value[8], const struct block *block) {
  static const uint8_t quarters[8][4] = {{0, 4, 8, 12}, {1, 5, 9, 13}, {2, 6, 10, 14}, {3, 7, 11, 15},
                                         {0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13}, {3, 4, 9, 14}};
  static const uint8_t permutation[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
  uint32_t message[16], state[16];
  memcpy(message, block->bytes, sizeof message);
  memcpy(state, value, 32);
  memcpy(state + 8, initial, 16);
  state[12] = (uint32_t)block->counter;
  state[13] = (uint32_t)(block->counter >> 32);
  state[14] = block->length;
  state[15] = block->flags;
  for (int round = 0; round < 7; round += 1) {
    uint32_t permuted[16];
    for (int i = 0; i < 8; i += 1) mix(state, quarters[i], message[2 * i], message[2 * i + 1]);
    for (int i = 0; i < 16; i += 1) permuted[i] = message[permutation[i]];
    memcpy(message, permuted, sizeof message);
  }
  for (int i = 0; i < 8; i += 1) value[i] = state[i] ^ state[i + 8];
}

static void hash_chunk(const uint8_t *in, size_t length, uint64_t number, uint32_t last, uint32_t value[8]) {
  memcpy(value, initial, 32);
  size_t at = 0;
  do {
    const size_t rest = length - at;
    struct block block = {.length = rest < block_bytes ? (uint32_t)rest : block_bytes, .counter = number};
    memcpy(block.bytes, in + at, block.length);
    if (at == 0) block.flags |= chunk_start;
    if (rest <= block_bytes) block.flags |= chunk_end | last;
    compress(value, &block);
    at += block_bytes;
  } while (at < length);
}

/* The left subtree is the largest whole one that leaves something for the right. */
static void hash_tree(const uint8_t *in, size_t length, uint64_t first, uint32_t last, uint32_t value[8]) {
  if (length <= chunk_bytes) {
    hash_chunk(in, length, first, last, value);
    return;
  }
  size_t left = chunk_bytes;
  while (2 * left < length) left *= 2;
  uint32_t children[16];
  hash_tree(in, left, first, 0, children);
  hash_tree(in + left, length - left, first + left / chunk_bytes, 0, children + 8);
  struct block block = {.length = block_bytes, .flags = parent | last, .counter = 0};
  memcpy(block.bytes, children, sizeof children);
  memcpy(value, initial, 32);
  compress(value, &block);
}

void reference_blake3(const uint8_t *in, size_t length, uint8_t digest[32]) {
  uint32_t value[8];
  hash_tree(in, length, 0, root, value);
  memcpy(digest, value, sizeof value);
}
