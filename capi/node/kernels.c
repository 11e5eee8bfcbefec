/* The kernels as functions of JavaScript. src/platform/native.ts says what each is given. */
#include "kernels.h"

#include <string.h>

#include "../src/chain.h"
#include "../src/crc32c.h"
#include "../src/planes.h"
#include "arguments.h"

napi_value wmbt_node_crc32c(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_bytes in;
  uint32_t initial;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (!wmbt_read_bytes(env, arguments[0], &in) || !wmbt_read_uint32(env, arguments[1], &initial)) return NULL;
  return wmbt_number(env, wmbt_crc32c_append(initial, in.data, in.length));
}

napi_value wmbt_node_copy(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_bytes to, from;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (!wmbt_read_bytes(env, arguments[0], &to) || !wmbt_read_bytes(env, arguments[1], &from)) return NULL;
  if (to.length != from.length) {
    napi_throw_range_error(env, NULL, "a copy takes as many bytes as it gives");
    return NULL;
  }
  (void)memmove(to.data, from.data, from.length);
  return NULL;
}

napi_value wmbt_node_merge_planes(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_bytes to, lows, highs;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (!wmbt_read_bytes(env, arguments[0], &to) || !wmbt_read_bytes(env, arguments[1], &lows) ||
      !wmbt_read_bytes(env, arguments[2], &highs)) {
    return NULL;
  }
  if (lows.length != highs.length || to.length != 2 * lows.length) {
    napi_throw_range_error(env, NULL, "two planes of the same length make values of two bytes");
    return NULL;
  }
  wmbt_merge_planes(to.data, lows.data, highs.data, lows.length);
  return NULL;
}

napi_value wmbt_node_chain_keys(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_bytes tip, tokens, keys;
  uint32_t block_tokens;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (!wmbt_read_bytes(env, arguments[0], &tip) || !wmbt_read_bytes(env, arguments[1], &tokens) ||
      !wmbt_read_uint32(env, arguments[2], &block_tokens) || !wmbt_read_bytes(env, arguments[3], &keys)) {
    return NULL;
  }
  const size_t block_bytes = block_tokens * sizeof(int32_t);
  const size_t count = keys.length / wmbt_digest_digits;
  if (tip.length != wmbt_digest_digits || count * wmbt_digest_digits != keys.length ||
      count * block_bytes != tokens.length) {
    napi_throw_range_error(env, NULL, "a chain takes a tip and keys of 64 characters, and whole blocks");
    return NULL;
  }
  wmbt_chain_keys((const char *)tip.data, tokens.data, block_tokens, count, (char *)keys.data);
  return NULL;
}
