/*
 * The client's side of a commit ring as functions of JavaScript. The ring's file comes as a typed array over a mapping;
 * what is told of it here keeps that array. src/platform/shared-memory.ts says what each argument is.
 */
#include "ring.h"

#include <stdlib.h>
#include <string.h>

#include "../src/shared/commit-ring.h"
#include "../src/shared/ring-entry.h"
#include "arguments.h"
#include "keys.h"

/* UTF-8 bytes of a namespace. */
enum { namespace_bytes_max = 80 };

/* Flags in the first word of a save, which gets the head. */
enum { parent_flag = 1, fingerprint_flag = 2 };

/* What JavaScript is told of an entry. */
enum leaving { is_left = 0, is_left_with_news = 1, has_no_room = 2, is_closed = 3, is_too_long = 4, is_no_key = 5 };

/* What is said of one block. Those from the checksum on are of payloads that lie in lent memory. */
struct facts {
  uint32_t tokens, position, has_decoded_tokens;
  uint32_t crc, length, segment, offset, number;
};

struct opened {
  struct wmbt_ring ring;
  /* Keeps the memory. */
  napi_ref memory;
};

/* A save as the ring is given it, and the memory of what it refers to. */
struct save {
  char ns[namespace_bytes_max + 1];
  struct wmbt_keys before, keys;
  struct wmbt_announced announced[wmbt_keys_max];
  const uint8_t *payloads[wmbt_keys_max];
  size_t lens[wmbt_keys_max];
  struct wmbt_lent loans[wmbt_keys_max];
  uint32_t crcs[wmbt_keys_max];
  struct wmbt_ring_blocks blocks;
};

static void close_opened(napi_env env, void *data, void *hint) {
  struct opened *opened = data;
  (void)hint;
  if (opened->memory != NULL) (void)napi_delete_reference(env, opened->memory);
  free(opened);
}

static bool read_ring(napi_env env, napi_value value, struct opened **opened) {
  if (napi_get_value_external(env, value, (void **)opened) == napi_ok) return true;
  napi_throw_type_error(env, NULL, "a ring was expected");
  return false;
}

/* open(memory): the ring, or undefined when the memory is no new one of this version */
napi_value wmbt_node_ring_open(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max], ring;
  struct wmbt_bytes memory;
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_bytes(env, arguments[0], &memory)) return NULL;
  struct opened *opened = calloc(1, sizeof *opened);
  if (opened == NULL) {
    napi_throw_error(env, NULL, "there is no memory for a ring");
    return NULL;
  }
  if (!wmbt_ring_use(&opened->ring, memory.data, memory.length)) {
    free(opened);
    return NULL;
  }
  if (napi_create_reference(env, arguments[0], 1, &opened->memory) == napi_ok &&
      napi_create_external(env, opened, close_opened, NULL, &ring) == napi_ok) {
    return ring;
  }
  close_opened(env, opened, NULL);
  napi_throw_error(env, NULL, "the memory of a ring cannot be kept");
  return NULL;
}

/* look(ring): where what the store has not taken yet begins; -1: nothing more is accepted there */
napi_value wmbt_node_ring_look(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct opened *opened;
  if (!wmbt_read_arguments(env, info, arguments) || !read_ring(env, arguments[0], &opened)) return NULL;
  if (wmbt_ring_is_closed(&opened->ring)) return wmbt_number(env, -1);
  return wmbt_number(env, atomic_load_explicit(&opened->ring.header->tail, memory_order_acquire));
}

/* The payloads of an array, one for each block. */
static bool read_payloads(napi_env env, napi_value array, struct save *save) {
  for (uint32_t i = 0; i < save->keys.given; i += 1) {
    napi_value element;
    struct wmbt_bytes payload;
    if (napi_get_element(env, array, i, &element) != napi_ok || !wmbt_read_bytes(env, element, &payload)) return false;
    save->payloads[i] = payload.data;
    save->lens[i] = payload.length;
  }
  save->blocks.payloads = save->payloads;
  return true;
}

/* Where the payloads lie already. */
static void take_loans(const struct facts *facts, uint32_t seed, struct save *save) {
  for (size_t i = 0; i < save->keys.given; i += 1) {
    save->lens[i] = facts[i].length;
    save->crcs[i] = facts[i].crc;
    save->loans[i] = (struct wmbt_lent){facts[i].segment, facts[i].offset, seed, facts[i].number};
  }
  save->blocks.loans = save->loans;
  save->blocks.crcs = save->crcs;
}

/* The words of a save: flags, and the facts of each block. */
static bool read_facts(napi_env env, napi_value value, struct save *save, struct wmbt_bytes *words) {
  if (!wmbt_read_bytes(env, value, words)) return false;
  if ((uintptr_t)words->data % 4 != 0 || words->length < 4 + save->keys.given * sizeof(struct facts)) {
    napi_throw_range_error(env, NULL, "there are too few words");
    return false;
  }
  const struct facts *facts = (const struct facts *)(const void *)(words->data + 4);
  for (size_t i = 0; i < save->keys.given; i += 1) {
    save->announced[i] =
        (struct wmbt_announced){facts[i].tokens, facts[i].position, facts[i].has_decoded_tokens != 0};
  }
  return true;
}

/* The keys that stand before the save: its parent, and the model. */
static bool take_before(napi_env env, uint32_t flags, struct save *save) {
  const size_t expected = ((flags & parent_flag) != 0 ? 1u : 0u) + ((flags & fingerprint_flag) != 0 ? 1u : 0u);
  if (save->before.given != expected || save->before.count != expected) {
    napi_throw_range_error(env, NULL, "the keys before a save are not those of its flags");
    return false;
  }
  const uint8_t(*next)[wmbt_digest_bytes] = (const uint8_t(*)[wmbt_digest_bytes])save->before.digests;
  if ((flags & parent_flag) != 0) save->blocks.parent = *next++;
  if ((flags & fingerprint_flag) != 0) save->blocks.fingerprint = *next;
  return true;
}

static enum leaving leave(struct opened *opened, const struct wmbt_ring_blocks *blocks) {
  struct wmbt_ring *ring = &opened->ring;
  struct wmbt_ring_layout layout;
  uint32_t position;
  bool is_news = false;
  if (wmbt_ring_is_closed(ring)) return is_closed;
  if (!wmbt_ring_lay_out(blocks, &layout)) return is_too_long;
  uint8_t *place = wmbt_ring_is_open(ring) ? wmbt_ring_place(ring, layout.bytes, &position) : NULL;
  if (place == NULL) return has_no_room;
  wmbt_ring_put_entry(place, &layout, position, ring->seed, blocks);
  if (!wmbt_ring_publish(ring, position, layout.bytes, &is_news)) return is_closed;
  if (blocks->loans != NULL) wmbt_ring_use_loans(ring, blocks->count);
  return is_news ? is_left_with_news : is_left;
}

/* The arguments of leave, behind the ring. */
static bool read_save(napi_env env, const napi_value arguments[wmbt_arguments_max], uint32_t seed, struct save *save,
                      struct wmbt_bytes *words) {
  napi_valuetype type;
  /* A name may have zeros in it. */
  if (!wmbt_read_text(env, arguments[1], save->ns, sizeof save->ns) ||
      napi_get_value_string_utf8(env, arguments[1], NULL, 0, &save->blocks.ns_bytes) != napi_ok ||
      !wmbt_read_keys(env, arguments[2], &save->before) || !wmbt_read_keys(env, arguments[3], &save->keys) ||
      !read_facts(env, arguments[4], save, words) || !take_before(env, *(uint32_t *)(void *)words->data, save)) {
    return false;
  }
  save->blocks.ns = save->ns;
  save->blocks.keys = save->keys.digests[0];
  save->blocks.count = save->keys.given;
  save->blocks.announced = save->announced;
  save->blocks.lens = save->lens;
  if (napi_typeof(env, arguments[5], &type) != napi_ok) return false;
  if (type != napi_undefined) return read_payloads(env, arguments[5], save);
  take_loans((const struct facts *)(const void *)(words->data + 4), seed, save);
  return true;
}

/* leave(ring, namespace, before, keys, words, payloads): one of `leaving`, and in the first word the head */
napi_value wmbt_node_ring_leave(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct opened *opened;
  struct wmbt_bytes words;
  struct save save;
  memset(&save.blocks, 0, sizeof save.blocks);
  if (!wmbt_read_arguments(env, info, arguments) || !read_ring(env, arguments[0], &opened)) return NULL;
  if (!read_save(env, arguments, opened->ring.seed, &save, &words)) return NULL;
  /* The store takes an entry of no blocks for the end of the data. */
  const bool are_keys = save.keys.given > 0 && save.keys.count == save.keys.given;
  const enum leaving end = are_keys ? leave(opened, &save.blocks) : is_no_key;
  memcpy(words.data, &opened->ring.head, sizeof opened->ring.head);
  return wmbt_number(env, end);
}

/* loans(ring, length, loans): true when there are as many loans of that length as are asked for, four words each */
napi_value wmbt_node_ring_loans(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct opened *opened;
  double length;
  struct wmbt_bytes words;
  struct wmbt_lent loans[wmbt_ring_loans_max];
  if (!wmbt_read_arguments(env, info, arguments) || !read_ring(env, arguments[0], &opened)) return NULL;
  if (!wmbt_read_size(env, arguments[1], &length) || !wmbt_read_bytes(env, arguments[2], &words)) return NULL;
  const size_t count = words.length / sizeof loans[0];
  const bool are_there = !wmbt_ring_is_closed(&opened->ring) &&
                         wmbt_ring_next_loans(&opened->ring, count, (size_t)length, loans);
  if (are_there) memcpy(words.data, loans, count * sizeof loans[0]);
  return wmbt_boolean(env, are_there);
}

/* want(ring, count, length): true when the store has to be told that the client wants memory */
napi_value wmbt_node_ring_want(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct opened *opened;
  uint32_t count;
  double length;
  bool is_news = false;
  if (!wmbt_read_arguments(env, info, arguments) || !read_ring(env, arguments[0], &opened)) return NULL;
  if (!wmbt_read_uint32(env, arguments[1], &count) || !wmbt_read_size(env, arguments[2], &length)) return NULL;
  wmbt_ring_want(&opened->ring, count, (size_t)length, &is_news);
  return wmbt_boolean(env, is_news);
}

/* untold(ring): the store could not be told */
napi_value wmbt_node_ring_untold(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct opened *opened;
  if (!wmbt_read_arguments(env, info, arguments) || !read_ring(env, arguments[0], &opened)) return NULL;
  wmbt_ring_untold(&opened->ring);
  return NULL;
}
