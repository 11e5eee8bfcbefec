/*
 * The shared index as functions of JavaScript. Memory comes as typed arrays over mapped files; what is passed
 * with it is checked against its length, for a file may be foreign. src/platform/shared-memory.ts says what
 * each argument is.
 */
#include "index.h"

#include <stdlib.h>
#include <string.h>

#include "../src/hex.h"
#include "../src/shared/shared-index.h"
#include "../src/shared/shared-lent.h"
#include "arguments.h"

/* Most keys of one call, and the words of a found payload: segment below where the payload begins in its extent,
   offset, length, CRC32C, facts. */
enum { keys_max = wmbt_client_hazards, found_words = 5 };

static bool read_index(napi_env env, napi_value value, struct wmbt_index *index) {
  struct wmbt_bytes memory;
  if (!wmbt_read_bytes(env, value, &memory)) return false;
  if (wmbt_index_open(memory.data, memory.length, index)) return true;
  napi_throw_range_error(env, NULL, "the memory is no index of this version");
  return false;
}

static bool read_clients(napi_env env, napi_value value, struct wmbt_client **clients) {
  struct wmbt_bytes memory;
  if (!wmbt_read_bytes(env, value, &memory)) return false;
  if (memory.length < wmbt_client_slots * sizeof(struct wmbt_client)) {
    napi_throw_range_error(env, NULL, "the memory is too short for clients");
    return false;
  }
  *clients = (struct wmbt_client *)(void *)memory.data;
  return true;
}

/* One client of many, by its number. */
static bool read_client(napi_env env, napi_value memory, napi_value number, struct wmbt_client **client) {
  uint32_t slot;
  if (!read_clients(env, memory, client) || !wmbt_read_uint32(env, number, &slot)) return false;
  if (slot >= wmbt_client_slots) {
    napi_throw_range_error(env, NULL, "there is no such client");
    return false;
  }
  *client += slot;
  return true;
}

/* Words of 32 bits, at least as many as are needed. */
static bool read_words(napi_env env, napi_value value, size_t least, struct wmbt_bytes *words) {
  if (!wmbt_read_bytes(env, value, words)) return false;
  if (words->length >= 4 * least && (uintptr_t)words->data % 4 == 0) return true;
  napi_throw_range_error(env, NULL, "there are too few words");
  return false;
}

static bool parse_key(const char *text, uint64_t key[4]) {
  uint8_t digest[wmbt_digest_bytes];
  if (!wmbt_hex_parse(text, digest)) return false;
  memcpy(key, digest, sizeof digest);
  return true;
}

/* Keys, joined without anything between them. The caller frees the text. */
static bool read_keys(napi_env env, napi_value value, char **text, size_t *count) {
  size_t length = 0;
  if (napi_get_value_string_latin1(env, value, NULL, 0, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "text was expected");
    return false;
  }
  *count = length / wmbt_digest_digits;
  if (length % wmbt_digest_digits != 0 || *count > keys_max) {
    napi_throw_range_error(env, NULL, "keys have 64 characters each, and there are at most 1016");
    return false;
  }
  *text = malloc(length + 1);
  if (*text == NULL) {
    napi_throw_error(env, "ENOMEM", "ENOMEM: no memory for keys");
    return false;
  }
  return napi_get_value_string_latin1(env, value, *text, length + 1, &length) == napi_ok;
}

/* indexCreate(memory, log2Capacity, segmentBytes) */
napi_value wmbt_node_index_create(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_bytes memory;
  uint32_t log2_capacity;
  double segment_bytes;
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_bytes(env, arguments[0], &memory)) return NULL;
  if (!wmbt_read_uint32(env, arguments[1], &log2_capacity)) return NULL;
  if (!wmbt_read_size(env, arguments[2], &segment_bytes)) return NULL;
  if (!wmbt_index_create(memory.data, memory.length, log2_capacity, (uint64_t)segment_bytes)) {
    napi_throw_range_error(env, NULL, "the memory is not as long as the index");
  }
  return NULL;
}

/* indexIsValid(memory) */
napi_value wmbt_node_index_is_valid(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_bytes memory;
  struct wmbt_index index;
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_bytes(env, arguments[0], &memory)) return NULL;
  return wmbt_boolean(env, wmbt_index_open(memory.data, memory.length, &index));
}

static uint64_t location_of(uint32_t segment, uint32_t offset) {
  return UINT64_C(1) << 63 | (uint64_t)(segment & 0xffff) << 40 | offset;
}

/* indexPublish(memory, key, [segment, offset, length, crc, facts, owner, skip]): the entry's number, or -1 */
napi_value wmbt_node_index_publish(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_index index;
  struct wmbt_bytes words;
  char text[wmbt_digest_digits + 1];
  uint64_t key[4];
  if (!wmbt_read_arguments(env, info, arguments) || !read_index(env, arguments[0], &index)) return NULL;
  if (!wmbt_read_text(env, arguments[1], text, sizeof text) || !read_words(env, arguments[2], 7, &words)) return NULL;
  if (strlen(text) != wmbt_digest_digits || !parse_key(text, key)) {
    napi_throw_range_error(env, NULL, "a key has 64 hexadecimal digits");
    return NULL;
  }
  const uint32_t *word = (const uint32_t *)(const void *)words.data;
  const struct wmbt_found payload = {
      .location = location_of(word[0], word[1]) | (uint64_t)(word[6] & 127) << 56,
      .extent = (uint64_t)word[3] << 32 | word[2],
      .facts = (uint64_t)word[5] << 32 | word[4],
  };
  /* It is looked for without the marks, which change. */
  const int64_t place = wmbt_index_place(&index, key, word[5] & ~WMBT_OWNER_MARKS);
  if (place >= 0) wmbt_index_publish(&index, (uint32_t)place, key, &payload);
  return wmbt_number(env, (double)place);
}

/* indexRetire(memory, entry) */
napi_value wmbt_node_index_retire(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_index index;
  uint32_t entry;
  if (!wmbt_read_arguments(env, info, arguments) || !read_index(env, arguments[0], &index)) return NULL;
  if (!wmbt_read_uint32(env, arguments[1], &entry)) return NULL;
  wmbt_index_retire(&index, entry);
  return NULL;
}

/* How many leading keys are found; those that are no keys are not. */
static size_t find_leading(const struct wmbt_index *index, const char *text, size_t count, uint32_t owner,
                           struct wmbt_found *found) {
  for (size_t i = 0; i < count; i += 1) {
    uint64_t key[4];
    if (!parse_key(text + i * wmbt_digest_digits, key)) return i;
    if (!wmbt_index_find(index, key, owner, &found[i])) return i;
  }
  return count;
}

/* indexFind(memory, keys, owner): how many leading keys are there now */
napi_value wmbt_node_index_find(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_index index;
  struct wmbt_found found[keys_max];
  uint32_t owner;
  char *text = NULL;
  size_t count;
  if (!wmbt_read_arguments(env, info, arguments) || !read_index(env, arguments[0], &index)) return NULL;
  if (!wmbt_read_uint32(env, arguments[2], &owner)) return NULL;
  if (!read_keys(env, arguments[1], &text, &count)) return free(text), NULL;
  const size_t leading = find_leading(&index, text, count, owner, found);
  free(text);
  return wmbt_number(env, (double)leading);
}

static void write_found(uint32_t *words, const struct wmbt_found *found) {
  words[0] = (uint32_t)(found->location >> 40) & 0x7fffff;
  words[1] = (uint32_t)found->location;
  words[2] = (uint32_t)found->extent;
  words[3] = (uint32_t)(found->extent >> 32);
  words[4] = (uint32_t)found->facts;
}

/* Announces all that were found, and keeps the leading ones that are still there. */
static size_t pin_leading(const struct wmbt_index *index, struct wmbt_client *client, const uint32_t *hazards,
                          const struct wmbt_found *found, size_t count) {
  for (size_t i = 0; i < count; i += 1) wmbt_pin_announce(client, hazards[i], found[i].location);
  wmbt_pin_fence();
  size_t pinned = 0;
  while (pinned < count && wmbt_pin_confirm(index, client, hazards[pinned], &found[pinned])) pinned += 1;
  for (size_t i = pinned; i < count; i += 1) wmbt_pin_release(client, hazards[i]);
  return pinned;
}

static bool are_hazards(const uint32_t *hazards, size_t count) {
  for (size_t i = 0; i < count; i += 1) {
    if (hazards[i] >= wmbt_client_hazards) return false;
  }
  return true;
}

/*
 * indexPin(memory, keys, [owner, client], clients, hazards, found): pins the payloads of the leading keys, each
 * by the hazard of its place; how many. `found` gets the words of each.
 */
napi_value wmbt_node_index_pin(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max], number;
  struct wmbt_index index;
  struct wmbt_client *client;
  struct wmbt_found found[keys_max];
  struct wmbt_bytes request, hazards, out;
  char *text = NULL;
  size_t count;
  if (!wmbt_read_arguments(env, info, arguments) || !read_index(env, arguments[0], &index)) return NULL;
  if (!read_words(env, arguments[2], 2, &request)) return NULL;
  const uint32_t *word = (const uint32_t *)(const void *)request.data;
  if (napi_create_uint32(env, word[1], &number) != napi_ok) return NULL;
  if (!read_client(env, arguments[3], number, &client)) return NULL;
  if (!read_keys(env, arguments[1], &text, &count)) return free(text), NULL;
  if (!read_words(env, arguments[4], count, &hazards) || !read_words(env, arguments[5], count * found_words, &out)) {
    return free(text), NULL;
  }
  const uint32_t *places = (const uint32_t *)(const void *)hazards.data;
  if (!are_hazards(places, count)) {
    napi_throw_range_error(env, NULL, "there is no such hazard");
    return free(text), NULL;
  }
  const size_t leading = find_leading(&index, text, count, word[0], found);
  free(text);
  const size_t pinned = pin_leading(&index, client, places, found, leading);
  uint32_t *words = (uint32_t *)(void *)out.data;
  for (size_t i = 0; i < pinned; i += 1) write_found(words + i * found_words, &found[i]);
  return wmbt_number(env, (double)pinned);
}

/* unpin(clients, client, hazards) */
napi_value wmbt_node_unpin(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_client *client;
  struct wmbt_bytes hazards;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (!read_client(env, arguments[0], arguments[1], &client) || !read_words(env, arguments[2], 0, &hazards)) return NULL;
  const uint32_t *places = (const uint32_t *)(const void *)hazards.data;
  const size_t count = hazards.length / 4;
  if (!are_hazards(places, count)) {
    napi_throw_range_error(env, NULL, "there is no such hazard");
    return NULL;
  }
  for (size_t i = 0; i < count; i += 1) wmbt_pin_release(client, places[i]);
  return NULL;
}

/* clientsHold(clients, segment, offset): the number of a client that pins what lies there, or -1 */
napi_value wmbt_node_clients_hold(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_client *clients;
  uint32_t segment, offset;
  if (!wmbt_read_arguments(env, info, arguments) || !read_clients(env, arguments[0], &clients)) return NULL;
  if (!wmbt_read_uint32(env, arguments[1], &segment) || !wmbt_read_uint32(env, arguments[2], &offset)) return NULL;
  return wmbt_number(env, wmbt_clients_hold(clients, location_of(segment, offset)));
}

/* clientBegin(clients, client): the caller owns the client from now on */
napi_value wmbt_node_client_begin(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_client *client;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (!read_client(env, arguments[0], arguments[1], &client)) return NULL;
  wmbt_client_clear(client);
  atomic_store(&client->is_active, 1);
  return NULL;
}

/* clientClear(clients, client): the client's owner is gone */
napi_value wmbt_node_client_clear(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_client *client;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (!read_client(env, arguments[0], arguments[1], &client)) return NULL;
  wmbt_client_clear(client);
  return NULL;
}

/*
 * lentFill(clients, [client, hazard], segment, [segment, offset, salt, number], payload, touched): the CRC32C of the payload,
 * which was copied to the place; -1 when that is lent no more.
 */
napi_value wmbt_node_lent_fill(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max], number;
  struct wmbt_client *client;
  struct wmbt_bytes whose, memory, words, payload, touched;
  if (!wmbt_read_arguments(env, info, arguments) || !read_words(env, arguments[1], 2, &whose)) return NULL;
  const uint32_t *own = (const uint32_t *)(const void *)whose.data;
  if (napi_create_uint32(env, own[0], &number) != napi_ok) return NULL;
  if (!read_client(env, arguments[0], number, &client) || !wmbt_read_bytes(env, arguments[2], &memory) ||
      !read_words(env, arguments[3], 4, &words) || !wmbt_read_bytes(env, arguments[4], &payload) ||
      !wmbt_read_bytes(env, arguments[5], &touched)) {
    return NULL;
  }
  if (!are_hazards(&own[1], 1) || touched.length < wmbt_lent_touched_bytes(memory.length)) {
    napi_throw_range_error(env, NULL, "there is no such hazard, or too few bits for the segment");
    return NULL;
  }
  const struct wmbt_lent_segment segment = {memory.data, memory.length, (_Atomic uint8_t *)(void *)touched.data};
  const uint32_t *word = (const uint32_t *)(const void *)words.data;
  const struct wmbt_lent lent = {.segment = word[0], .offset = word[1], .salt = word[2], .number = word[3]};
  uint32_t crc = 0;
  switch (wmbt_lent_fill(client, own[1], &segment, &lent, payload.data, payload.length, &crc)) {
    case wmbt_filled:
      return wmbt_number(env, crc);
    case wmbt_fill_over:
      return wmbt_number(env, -1);
    default:
      napi_throw_range_error(env, NULL, "a payload that is lent memory lies within its segment");
      return NULL;
  }
}
