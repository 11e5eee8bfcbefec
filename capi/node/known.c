/*
 * The table of known keys as functions of JavaScript. The entries are arrays of JavaScript's: the table here holds
 * where they lie, and a reference to each, so that they stay. src/base/native-kernels.ts says what each argument is.
 */
#include "known.h"

#include <stdlib.h>

#include "../src/known.h"
#include "arguments.h"
#include "keys.h"

struct opened {
  struct wmbt_known_table table;
  /* What keeps the entries of each shard; NULL before it has some. */
  napi_ref arrays[wmbt_known_shards];
};

static void close_opened(napi_env env, void *data, void *hint) {
  struct opened *opened = data;
  (void)hint;
  for (size_t i = 0; i < wmbt_known_shards; i += 1) {
    if (opened->arrays[i] != NULL) (void)napi_delete_reference(env, opened->arrays[i]);
  }
  free(opened);
}

/* Takes the array for the shard's entries, in place of what it had. */
static bool take_entries(napi_env env, struct opened *opened, uint32_t number, napi_value array) {
  struct wmbt_bytes memory;
  napi_ref reference;
  if (!wmbt_read_bytes(env, array, &memory)) return false;
  const size_t slots = memory.length / sizeof(struct wmbt_known_entry);
  const bool is_power = slots > 0 && slots <= UINT32_MAX && (slots & (slots - 1)) == 0;
  if (number >= wmbt_known_shards || !is_power || memory.length % sizeof(struct wmbt_known_entry) != 0 ||
      (uintptr_t)memory.data % sizeof(uint32_t) != 0) {
    napi_throw_range_error(env, NULL, "there is no such shard, or its entries are no power of two");
    return false;
  }
  if (napi_create_reference(env, array, 1, &reference) != napi_ok) {
    napi_throw_error(env, NULL, "the entries cannot be kept");
    return false;
  }
  if (opened->arrays[number] != NULL) (void)napi_delete_reference(env, opened->arrays[number]);
  opened->arrays[number] = reference;
  opened->table.shards[number] = (struct wmbt_known_shard){(void *)memory.data, (uint32_t)(slots - 1)};
  return true;
}

static bool read_mix(napi_env env, napi_value value, struct wmbt_known_mix *mix) {
  struct wmbt_bytes words;
  if (!wmbt_read_bytes(env, value, &words)) return false;
  if (words.length != sizeof *mix || (uintptr_t)words.data % sizeof(uint32_t) != 0) {
    napi_throw_range_error(env, NULL, "a mix has eight words");
    return false;
  }
  *mix = *(const struct wmbt_known_mix *)(const void *)words.data;
  return true;
}

static bool read_opened(napi_env env, napi_value value, struct opened **opened) {
  if (napi_get_value_external(env, value, (void **)opened) == napi_ok) return true;
  napi_throw_type_error(env, NULL, "a table of known keys was expected");
  return false;
}

/* open(mix, shards): a table of arrays, one for each shard */
napi_value wmbt_node_known_open(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max], array, table;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  struct opened *opened = calloc(1, sizeof *opened);
  if (opened == NULL || napi_create_external(env, opened, close_opened, NULL, &table) != napi_ok) {
    free(opened);
    napi_throw_error(env, NULL, "there is no memory for a table");
    return NULL;
  }
  if (!read_mix(env, arguments[0], &opened->table.mix)) return NULL;
  for (uint32_t number = 0; number < wmbt_known_shards; number += 1) {
    if (napi_get_element(env, arguments[1], number, &array) != napi_ok) {
      napi_throw_type_error(env, NULL, "an array of shards was expected");
      return NULL;
    }
    if (!take_entries(env, opened, number, array)) return NULL;
  }
  return table;
}

/* move(table, shard, entries): the shard's entries lie in another array from now on */
napi_value wmbt_node_known_move(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct opened *opened;
  uint32_t number;
  if (!wmbt_read_arguments(env, info, arguments) || !read_opened(env, arguments[0], &opened)) return NULL;
  if (wmbt_read_uint32(env, arguments[1], &number)) (void)take_entries(env, opened, number, arguments[2]);
  return NULL;
}

/* leading(table, keys, owner): how many leading keys the owner has */
napi_value wmbt_node_known_leading(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct opened *opened;
  struct wmbt_keys keys;
  uint32_t owner;
  if (!wmbt_read_arguments(env, info, arguments) || !read_opened(env, arguments[0], &opened)) return NULL;
  if (!wmbt_read_keys(env, arguments[1], &keys) || !wmbt_read_uint32(env, arguments[2], &owner)) return NULL;
  if (owner == 0 || owner > WMBT_KNOWN_OWNER_MOST) {
    napi_throw_range_error(env, NULL, "there is no such owner");
    return NULL;
  }
  return wmbt_number(env, (double)wmbt_known_find_leading(&opened->table, keys.digests[0], keys.count, owner));
}
