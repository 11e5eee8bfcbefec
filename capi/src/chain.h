/* The chain of block keys over tokens (docs/FORMAT.md), by BLAKE3. */
#ifndef WMBT_CHAIN_H
#define WMBT_CHAIN_H

#include <stddef.h>
#include <stdint.h>

#include "hex.h"

/*
 * Keys of `count` blocks of `block_tokens` tokens each, one after another: each is the BLAKE3 digest, as 64
 * lower-case digits, of the 64 digits before it and of the block's tokens as 32-bit little-endian integers. The
 * 64 digits before the first are `tip`. `tokens` are bytes without alignment; `keys` takes 64 characters a
 * block, without terminators.
 */
void wmbt_chain_keys(const char *tip, const uint8_t *tokens, size_t block_tokens, size_t count, char *keys);

/* The BLAKE3 digest of the input as 64 lower-case digits, without a terminator. */
void wmbt_blake3_hex(const uint8_t *in, size_t length, char digits[wmbt_digest_digits]);

#endif
