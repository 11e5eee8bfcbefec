/* Keys as JavaScript gives them: texts of 64 digits, joined without anything between them. */
#ifndef WMBT_NODE_KEYS_H
#define WMBT_NODE_KEYS_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../src/hex.h"
#include "../src/shared/shared-index.h"

/* Most keys of one call. */
enum { wmbt_keys_max = wmbt_client_hazards };

struct wmbt_keys {
  /* How many were given, and how many of them, from the first on, are keys. */
  size_t given, count;
  uint8_t digests[wmbt_keys_max][wmbt_digest_bytes];
};

/* Throws and returns false when the value is no text of whole keys, or has too many. */
bool wmbt_read_keys(napi_env env, napi_value value, struct wmbt_keys *keys);

/* A key has one form: digits of the lower case. False for any other text. */
bool wmbt_parse_key(const char text[wmbt_digest_digits], uint8_t key[wmbt_digest_bytes]);

#endif
