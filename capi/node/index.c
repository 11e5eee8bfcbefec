/*
 * The shared index as functions of JavaScript. Memory comes as typed arrays over mapped files; what is passed
 * with it is checked against its length, for a file may be foreign. src/platform/shared-memory.ts says what
 * each argument is.
 */
#include "index.h"

#include <string.h>

#include "../src/shared/shared-index.h"
#include "../src/shared/shared-lent.h"
#include "arguments.h"
#include "keys.h"

/*
 * What a reader in JavaScript and the functions hand to each other: one array of words, for it costs more to look into
 * an array than to pin a payload. The two words of the request, then a record for each key.
 */
struct request {
  uint32_t owner, client;
};

struct record {
  uint32_t hazard;
  /* The segment, and in the bits above 16 where in its extent the payload begins. */
  uint32_t segment;
  uint32_t offset, length, crc, facts;
};

struct exchange {
  const struct request *request;
  struct record *records;
  size_t records_count;
};

bool wmbt_read_index(napi_env env, napi_value value, struct wmbt_index *index) {
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
static bool read_client(napi_env env, napi_value memory, uint32_t slot, struct wmbt_client **client) {
  if (!read_clients(env, memory, client)) return false;
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

/* Words of a request and of records behind it, if there are any. */
static bool read_exchange(napi_env env, napi_value value, struct exchange *exchange) {
  struct wmbt_bytes words;
  if (!read_words(env, value, sizeof *exchange->request / 4, &words)) return false;
  exchange->request = (const struct request *)(const void *)words.data;
  exchange->records = (struct record *)(void *)(words.data + sizeof *exchange->request);
  exchange->records_count = (words.length - sizeof *exchange->request) / sizeof *exchange->records;
  return true;
}

static bool are_hazards(const struct record *records, size_t count) {
  for (size_t i = 0; i < count; i += 1) {
    if (records[i].hazard >= wmbt_client_hazards) return false;
  }
  return true;
}

/* Records from `first` to before `end`, of which each has a hazard. */
static bool check_records(napi_env env, const struct exchange *exchange, size_t first, size_t end) {
  if (first > end || end > exchange->records_count) {
    napi_throw_range_error(env, NULL, "there are too few words");
    return false;
  }
  if (are_hazards(exchange->records + first, end - first)) return true;
  napi_throw_range_error(env, NULL, "there is no such hazard");
  return false;
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
  uint8_t digest[wmbt_digest_bytes];
  uint64_t key[4];
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_index(env, arguments[0], &index)) return NULL;
  if (!wmbt_read_text(env, arguments[1], text, sizeof text) || !read_words(env, arguments[2], 7, &words)) return NULL;
  if (strlen(text) != wmbt_digest_digits || !wmbt_parse_key(text, digest)) {
    napi_throw_range_error(env, NULL, "a key has 64 hexadecimal digits in lower case");
    return NULL;
  }
  memcpy(key, digest, sizeof key);
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

/* indexCarry(from, entry, to): the number of the entry there, or -1 */
napi_value wmbt_node_index_carry(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_index from, to;
  uint32_t entry;
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_index(env, arguments[0], &from)) return NULL;
  if (!wmbt_read_uint32(env, arguments[1], &entry) || !wmbt_read_index(env, arguments[2], &to)) return NULL;
  return wmbt_number(env, (double)wmbt_index_carry(&from, entry, &to));
}

/* indexRetire(memory, entry) */
napi_value wmbt_node_index_retire(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_index index;
  uint32_t entry;
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_index(env, arguments[0], &index)) return NULL;
  if (!wmbt_read_uint32(env, arguments[1], &entry)) return NULL;
  wmbt_index_retire(&index, entry);
  return NULL;
}

/* indexFind(memory, keys, owner): how many leading keys are there now */
napi_value wmbt_node_index_find(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_index index;
  struct wmbt_keys keys;
  uint32_t owner;
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_index(env, arguments[0], &index)) return NULL;
  if (!wmbt_read_keys(env, arguments[1], &keys) || !wmbt_read_uint32(env, arguments[2], &owner)) return NULL;
  return wmbt_number(env, (double)wmbt_index_find_leading(&index, keys.digests[0], keys.count, owner, NULL));
}

/* indexPresent(memory, keys, owner, marks): how many keys are there now, and a 1 for each of them; -1: one is no key */
napi_value wmbt_node_index_present(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_index index;
  struct wmbt_keys keys;
  struct wmbt_bytes marks;
  uint32_t owner;
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_index(env, arguments[0], &index)) return NULL;
  if (!wmbt_read_keys(env, arguments[1], &keys) || !wmbt_read_uint32(env, arguments[2], &owner)) return NULL;
  if (!wmbt_read_bytes(env, arguments[3], &marks)) return NULL;
  if (marks.length < keys.given) {
    napi_throw_range_error(env, NULL, "there are too few marks");
    return NULL;
  }
  if (keys.count < keys.given) return wmbt_number(env, -1);
  double count = 0;
  for (size_t i = 0; i < keys.given; i += 1) {
    struct wmbt_found found;
    uint64_t key[4];
    memcpy(key, keys.digests[i], sizeof key);
    marks.data[i] = wmbt_index_find(&index, key, owner, &found) ? 1 : 0;
    count += marks.data[i];
  }
  return wmbt_number(env, count);
}

/* Announces all that were found, and keeps the leading ones that are still there. */
static size_t pin_leading(const struct wmbt_index *index, struct wmbt_client *client, struct record *records,
                          const struct wmbt_found *found, size_t count) {
  for (size_t i = 0; i < count; i += 1) wmbt_pin_announce(client, records[i].hazard, found[i].location);
  const bool is_current = wmbt_pin_fence_in(index);
  size_t pinned = 0;
  while (is_current && pinned < count && wmbt_pin_confirm(index, client, records[pinned].hazard, &found[pinned])) {
    pinned += 1;
  }
  for (size_t i = pinned; i < count; i += 1) wmbt_pin_release(client, records[i].hazard);
  for (size_t i = 0; i < pinned; i += 1) {
    records[i] = (struct record){
        .hazard = records[i].hazard,
        .segment = (uint32_t)(found[i].location >> 40) & 0x7fffff,
        .offset = (uint32_t)found[i].location,
        .length = (uint32_t)found[i].extent,
        .crc = (uint32_t)(found[i].extent >> 32),
        .facts = (uint32_t)found[i].facts,
    };
  }
  return pinned;
}

/*
 * indexPin(memory, clients, keys, exchange): pins the payloads of the leading keys, each by the hazard of its
 * record, which gets what was found; how many.
 */
napi_value wmbt_node_index_pin(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_index index;
  struct wmbt_client *client;
  struct wmbt_found found[wmbt_keys_max];
  struct exchange exchange;
  struct wmbt_keys keys;
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_index(env, arguments[0], &index)) return NULL;
  if (!wmbt_read_keys(env, arguments[2], &keys) || !read_exchange(env, arguments[3], &exchange)) return NULL;
  if (!check_records(env, &exchange, 0, keys.given)) return NULL;
  const struct request *request = exchange.request;
  if (!read_client(env, arguments[1], request->client, &client)) return NULL;
  const size_t count = wmbt_index_find_leading(&index, keys.digests[0], keys.count, request->owner, found);
  return wmbt_number(env, (double)pin_leading(&index, client, exchange.records, found, count));
}

/* unpin(clients, exchange, first, end): lets go of what the hazards of those records pin */
napi_value wmbt_node_unpin(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_client *client;
  struct exchange exchange;
  uint32_t first, end;
  if (!wmbt_read_arguments(env, info, arguments) || !read_exchange(env, arguments[1], &exchange)) return NULL;
  if (!read_client(env, arguments[0], exchange.request->client, &client)) return NULL;
  if (!wmbt_read_uint32(env, arguments[2], &first) || !wmbt_read_uint32(env, arguments[3], &end)) return NULL;
  if (!check_records(env, &exchange, first, end)) return NULL;
  for (size_t i = first; i < end; i += 1) wmbt_pin_release(client, exchange.records[i].hazard);
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
  uint32_t slot;
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_uint32(env, arguments[1], &slot)) return NULL;
  if (!read_client(env, arguments[0], slot, &client)) return NULL;
  wmbt_client_clear(client);
  atomic_store(&client->is_active, 1);
  return NULL;
}

/* clientClear(clients, client): the client's owner is gone */
napi_value wmbt_node_client_clear(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_client *client;
  uint32_t slot;
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_uint32(env, arguments[1], &slot)) return NULL;
  if (!read_client(env, arguments[0], slot, &client)) return NULL;
  wmbt_client_clear(client);
  return NULL;
}

/*
 * lentFill(clients, [client, hazard], segment, [segment, offset, salt, number], payload, touched, stamps): the CRC32C
 * of the payload, which was copied to the place; -1 when that is lent no more.
 */
napi_value wmbt_node_lent_fill(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_client *client;
  struct wmbt_bytes whose, memory, words, payload, touched, stamps;
  if (!wmbt_read_arguments(env, info, arguments) || !read_words(env, arguments[1], 2, &whose)) return NULL;
  const uint32_t *own = (const uint32_t *)(const void *)whose.data;
  if (!read_client(env, arguments[0], own[0], &client) || !wmbt_read_bytes(env, arguments[2], &memory) ||
      !read_words(env, arguments[3], 4, &words) || !wmbt_read_bytes(env, arguments[4], &payload) ||
      !wmbt_read_bytes(env, arguments[5], &touched) ||
      !read_words(env, arguments[6], wmbt_stamps_max * sizeof(struct wmbt_stamp) / 4, &stamps)) {
    return NULL;
  }
  if (own[1] >= wmbt_client_hazards || touched.length < wmbt_lent_touched_bytes(memory.length)) {
    napi_throw_range_error(env, NULL, "there is no such hazard, or too few bits for the segment");
    return NULL;
  }
  const struct wmbt_lent_segment segment = {
      .memory = memory.data,
      .bytes = memory.length,
      .stamps = (const struct wmbt_stamp *)(const void *)stamps.data,
      .touched = (_Atomic uint8_t *)(void *)touched.data,
  };
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
