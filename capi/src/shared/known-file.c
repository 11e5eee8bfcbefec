#include "known-file.h"

#include <string.h>

#if defined(__SANITIZE_THREAD__) && defined(__GNUC__) && !defined(__clang__)
/* It knows no fences, and needs none: other processes write what they order, and every word here is atomic. */
#pragma GCC diagnostic ignored "-Wtsan"
#endif

/* As for an entry of the index; a shard that grows takes longer, and the store is asked meanwhile. */
enum { tries_max = 200 };
/* Keys that are looked for together: their misses overlap (docs/decisions/0101). */
enum { group_most = 128, key_bytes = 32 };

static const uint32_t version = 1;

size_t wmbt_known_file_bytes(uint32_t log2_region) {
  return wmbt_known_regions_at + (wmbt_known_shards * sizeof(struct wmbt_known_cell) << log2_region);
}

static bool is_region(uint32_t log2_region) {
  return log2_region >= wmbt_known_log2_region_least && log2_region <= wmbt_known_log2_region_most;
}

bool wmbt_known_file_create(void *memory, size_t length, uint32_t log2_region, const struct wmbt_known_mix *mix) {
  if (!is_region(log2_region) || length != wmbt_known_file_bytes(log2_region)) return false;
  struct wmbt_known_header *header = memory;
  header->version = version;
  header->log2_region = log2_region;
  header->mix = *mix;
  atomic_thread_fence(memory_order_release);
  header->magic = WMBT_KNOWN_FILE_MAGIC;
  return true;
}

bool wmbt_known_file_open(void *memory, size_t length, struct wmbt_known_file *file) {
  struct wmbt_known_header *header = memory;
  if (length < wmbt_known_regions_at || header->magic != WMBT_KNOWN_FILE_MAGIC) return false;
  atomic_thread_fence(memory_order_acquire);
  const uint32_t log2_region = header->log2_region;
  if (header->version != version || !is_region(log2_region)) return false;
  if (length != wmbt_known_file_bytes(log2_region)) return false;
  uint8_t *bytes = memory;
  *file = (struct wmbt_known_file){
      .header = header,
      .names = (void *)(bytes + wmbt_known_names_at),
      .heads = (void *)(bytes + wmbt_known_heads_at),
      .small = (void *)(bytes + wmbt_known_small_at),
      .cells = (void *)(bytes + wmbt_known_regions_at),
      .log2_region = log2_region,
  };
  return true;
}

/* Where a shard of that size lies. */
static struct wmbt_known_cell *place_of(const struct wmbt_known_file *file, uint32_t shard, uint32_t log2) {
  if (log2 <= wmbt_known_log2_small) return file->small + ((size_t)shard << wmbt_known_log2_small);
  return file->cells + ((size_t)shard << file->log2_region);
}

/* The stores between the two are believed by nobody who reads the same even number before and after his loads. */
static uint64_t begin_writing(struct wmbt_known_head *head) {
  const uint64_t sequence = atomic_load_explicit(&head->sequence, memory_order_relaxed);
  atomic_store_explicit(&head->sequence, sequence + 1, memory_order_relaxed);
  atomic_thread_fence(memory_order_release);
  return sequence + 2;
}

static void end_writing(struct wmbt_known_head *head, uint64_t after) {
  atomic_store_explicit(&head->sequence, after, memory_order_release);
}

static void write_cell(struct wmbt_known_cell *cell, const struct wmbt_known_entry *entry) {
  for (int i = 0; i < wmbt_known_lanes; i += 1) {
    atomic_store_explicit(&cell->word[i], entry->word[i], memory_order_relaxed);
  }
}

void wmbt_known_file_put(const struct wmbt_known_file *file, uint32_t shard, uint32_t slot,
                         const struct wmbt_known_entry *entry) {
  struct wmbt_known_head *head = &file->heads[shard];
  const uint64_t after = begin_writing(head);
  const uint32_t log2 = atomic_load_explicit(&head->log2, memory_order_relaxed);
  write_cell(&place_of(file, shard, log2)[slot], entry);
  end_writing(head, after);
}

void wmbt_known_file_place(const struct wmbt_known_file *file, uint32_t shard, const struct wmbt_known_entry *entries,
                           uint32_t log2) {
  struct wmbt_known_head *head = &file->heads[shard];
  struct wmbt_known_cell *cells = place_of(file, shard, log2);
  const uint64_t after = begin_writing(head);
  for (size_t slot = 0; slot < (size_t)1 << log2; slot += 1) write_cell(&cells[slot], &entries[slot]);
  atomic_store_explicit(&head->log2, log2, memory_order_relaxed);
  end_writing(head, after);
}

void wmbt_known_file_withdraw(const struct wmbt_known_file *file, uint32_t shard) {
  struct wmbt_known_head *head = &file->heads[shard];
  const uint64_t after = begin_writing(head);
  atomic_store_explicit(&head->log2, 0, memory_order_relaxed);
  end_writing(head, after);
}

uint32_t wmbt_known_file_owner(const struct wmbt_known_file *file, const char *text, size_t length) {
  uint32_t count = atomic_load_explicit(&file->header->names, memory_order_acquire);
  if (count > wmbt_known_names_most) count = wmbt_known_names_most;
  for (uint32_t i = 0; length <= wmbt_known_name_text && i < count; i += 1) {
    const struct wmbt_known_name *name = &file->names[i];
    if (name->length != length || memcmp(name->text, text, length) != 0) continue;
    return atomic_load_explicit(&name->owner, memory_order_relaxed) & WMBT_KNOWN_OWNER_MOST;
  }
  return 0;
}

/* The last word of the entry that has the tag; 0 when none is found among 2^log2. */
static uint32_t probe(const struct wmbt_known_cell *cells, uint32_t log2, const struct wmbt_known_entry *tag) {
  const uint32_t mask = ((uint32_t)1 << log2) - 1;
  uint32_t slot = tag->word[0] & mask;
  for (int step = 0; step < wmbt_known_window; step += 1) {
    const struct wmbt_known_cell *cell = &cells[slot];
    const uint32_t last = atomic_load_explicit(&cell->word[3], memory_order_relaxed);
    if (last == 0) return 0;
    uint32_t difference = (last & ~(WMBT_KNOWN_MARK | WMBT_KNOWN_FOUND)) ^ tag->word[3];
    for (int i = 0; i < wmbt_known_lanes - 1; i += 1) {
      difference |= atomic_load_explicit(&cell->word[i], memory_order_relaxed) ^ tag->word[i];
    }
    if (difference == 0) return last;
    slot = (slot + 1) & mask;
  }
  return 0;
}

/* 0 when it is not there; a file may say anything. */
static uint32_t log2_of(const struct wmbt_known_file *file, const struct wmbt_known_head *head) {
  const uint32_t log2 = atomic_load_explicit(&head->log2, memory_order_relaxed);
  return log2 >= wmbt_known_log2_least && log2 <= file->log2_region ? log2 : 0;
}

/*
 * The last word of the entry that has the tag; 0 when there is none, or it cannot be told: then the store is asked, so
 * only what is found has to be true.
 */
static uint32_t look(const struct wmbt_known_file *file, uint32_t shard, const struct wmbt_known_entry *tag) {
  const struct wmbt_known_head *head = &file->heads[shard];
  for (int tries = 0; tries < tries_max; tries += 1) {
    const uint64_t sequence = atomic_load_explicit(&head->sequence, memory_order_acquire);
    if ((sequence & 1) != 0) continue;
    const uint32_t log2 = log2_of(file, head);
    const uint32_t last = log2 == 0 ? 0 : probe(place_of(file, shard, log2), log2, tag);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&head->sequence, memory_order_relaxed) == sequence) return last;
  }
  return 0;
}

/* As find_group of known.c: tags, then a prefetch of every home, then the search. */
static size_t find_group(const struct wmbt_known_file *file, const uint8_t *keys, size_t count, uint32_t owner,
                         uint32_t *last) {
  struct wmbt_known_entry tags[group_most];
  uint32_t shards[group_most];
  for (size_t i = 0; i < count; i += 1) {
    shards[i] = wmbt_known_tag(&file->header->mix, owner, keys + i * key_bytes, &tags[i]);
  }
  for (size_t i = 0; i < count; i += 1) {
    const uint32_t log2 = log2_of(file, &file->heads[shards[i]]), mask = ((uint32_t)1 << log2) - 1;
    const struct wmbt_known_cell *home = &place_of(file, shards[i], log2)[tags[i].word[0] & mask];
    __builtin_prefetch(home);
    __builtin_prefetch(home + 3);
  }
  for (size_t i = 0; i < count; i += 1) {
    const uint32_t found = look(file, shards[i], &tags[i]);
    if (found == 0) return i;
    *last = found;
  }
  return count;
}

size_t wmbt_known_file_find_leading(const struct wmbt_known_file *file, const uint8_t *keys, size_t count,
                                    uint32_t owner, bool *is_marked) {
  uint32_t last = 0;
  size_t found = 0;
  while (found < count) {
    const size_t size = count - found < group_most ? count - found : group_most;
    const size_t known = find_group(file, keys + found * key_bytes, size, owner, &last);
    found += known;
    if (known < size) break;
  }
  *is_marked = (last & WMBT_KNOWN_MARK) != 0;
  return found;
}

bool wmbt_are_stored(const struct wmbt_index *index, const struct wmbt_known_file *known, const uint8_t *keys,
                     size_t count, struct wmbt_owners owners) {
  const bool is_in_index = owners.in_index != 0, is_known = known != NULL && owners.in_known != 0;
  size_t at = 0;
  for (;;) {
    const uint8_t *rest = keys + at * key_bytes;
    const size_t here = is_in_index ? wmbt_index_find_leading(index, rest, count - at, owners.in_index, NULL) : 0;
    at += here;
    if (at == count) return here > 0;
    if (!is_known) return false;
    bool is_certain = false;
    rest = keys + at * key_bytes;
    const size_t there = wmbt_known_file_find_leading(known, rest, count - at, owners.in_known, &is_certain);
    at += there;
    if (there == 0) return false;
    if (at < count) continue;
    /* A list may have outlived what it lists, so the store makes sure of the last one, unless it has that itself. */
    const uint8_t *last = keys + (count - 1) * key_bytes;
    return is_certain || (is_in_index && wmbt_index_find_leading(index, last, 1, owners.in_index, NULL) == 1);
  }
}
