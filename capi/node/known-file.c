/*
 * The file of known keys as functions of JavaScript: memory comes as typed arrays over mapped files, and what is passed
 * with it is checked against what the file has room for. src/platform/known-file.ts says what each argument is.
 */
#include "known-file.h"

#include "../src/shared/known-file.h"
#include "arguments.h"
#include "index.h"
#include "keys.h"

static bool read_file(napi_env env, napi_value value, struct wmbt_known_file *file) {
  struct wmbt_bytes memory;
  if (!wmbt_read_bytes(env, value, &memory)) return false;
  if (wmbt_known_file_open(memory.data, memory.length, file)) return true;
  napi_throw_range_error(env, NULL, "the memory is no file of known keys of this version");
  return false;
}

static bool read_shard(napi_env env, napi_value value, uint32_t *shard) {
  if (!wmbt_read_uint32(env, value, shard)) return false;
  if (*shard < wmbt_known_shards) return true;
  napi_throw_range_error(env, NULL, "there is no such shard");
  return false;
}

/* Entries of JavaScript: as many as are in the array. */
static bool read_entries(napi_env env, napi_value value, const struct wmbt_known_entry **entries, size_t *count) {
  struct wmbt_bytes memory;
  if (!wmbt_read_bytes(env, value, &memory)) return false;
  *entries = (const void *)memory.data;
  *count = memory.length / sizeof **entries;
  if (memory.length % sizeof **entries == 0 && (uintptr_t)memory.data % sizeof(uint32_t) == 0) return true;
  napi_throw_range_error(env, NULL, "entries have four words each");
  return false;
}

/* create(memory, log2Region, mix) */
napi_value wmbt_node_known_file_create(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_bytes memory, mix;
  uint32_t log2_region;
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_bytes(env, arguments[0], &memory)) return NULL;
  if (!wmbt_read_uint32(env, arguments[1], &log2_region) || !wmbt_read_bytes(env, arguments[2], &mix)) return NULL;
  if (mix.length != sizeof(struct wmbt_known_mix) || (uintptr_t)mix.data % sizeof(uint32_t) != 0 ||
      !wmbt_known_file_create(memory.data, memory.length, log2_region, (const void *)mix.data)) {
    napi_throw_range_error(env, NULL, "the memory is not as long as the file, or the mix is none");
  }
  return NULL;
}

/* isValid(memory) */
napi_value wmbt_node_known_file_is_valid(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_bytes memory;
  struct wmbt_known_file file;
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_bytes(env, arguments[0], &memory)) return NULL;
  return wmbt_boolean(env, wmbt_known_file_open(memory.data, memory.length, &file));
}

/* put(memory, shard, slot, entries, from): the entry at that place among others */
napi_value wmbt_node_known_file_put(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_known_file file;
  const struct wmbt_known_entry *entries;
  size_t count;
  uint32_t shard, slot, from;
  if (!wmbt_read_arguments(env, info, arguments) || !read_file(env, arguments[0], &file)) return NULL;
  if (!read_shard(env, arguments[1], &shard) || !wmbt_read_uint32(env, arguments[2], &slot)) return NULL;
  if (!read_entries(env, arguments[3], &entries, &count) || !wmbt_read_uint32(env, arguments[4], &from)) return NULL;
  const uint32_t log2 = file.heads[shard].log2;
  if (from >= count || log2 > file.log2_region || slot >= (uint32_t)1 << log2) {
    napi_throw_range_error(env, NULL, "there is no such entry");
    return NULL;
  }
  const struct wmbt_known_entry entry = entries[from];
  wmbt_known_file_put(&file, shard, slot, &entry);
  return NULL;
}

/* place(memory, shard, entries): all that the shard has */
napi_value wmbt_node_known_file_place(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_known_file file;
  const struct wmbt_known_entry *entries;
  size_t count;
  uint32_t shard, log2 = wmbt_known_log2_least;
  if (!wmbt_read_arguments(env, info, arguments) || !read_file(env, arguments[0], &file)) return NULL;
  if (!read_shard(env, arguments[1], &shard) || !read_entries(env, arguments[2], &entries, &count)) return NULL;
  while (log2 < file.log2_region && (size_t)1 << log2 < count) log2 += 1;
  if (count != (size_t)1 << log2) {
    napi_throw_range_error(env, NULL, "the entries are no power of two, or more than the file has room for");
    return NULL;
  }
  wmbt_known_file_place(&file, shard, entries, log2);
  return NULL;
}

/* withdraw(memory, shard) */
napi_value wmbt_node_known_file_withdraw(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_known_file file;
  uint32_t shard;
  if (!wmbt_read_arguments(env, info, arguments) || !read_file(env, arguments[0], &file)) return NULL;
  if (read_shard(env, arguments[1], &shard)) wmbt_known_file_withdraw(&file, shard);
  return NULL;
}

/* areStored(index, ownerThere, memory, owner, keys): whether the store would say that all are */
napi_value wmbt_node_are_stored(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_index index;
  struct wmbt_known_file file;
  struct wmbt_owners owners;
  struct wmbt_keys keys;
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_index(env, arguments[0], &index)) return NULL;
  if (!wmbt_read_uint32(env, arguments[1], &owners.in_index) || !read_file(env, arguments[2], &file)) return NULL;
  if (!wmbt_read_uint32(env, arguments[3], &owners.in_known) || !wmbt_read_keys(env, arguments[4], &keys)) return NULL;
  return wmbt_boolean(env, keys.count == keys.given && keys.count > 0 &&
                               wmbt_are_stored(&index, &file, keys.digests[0], keys.count, owners));
}
