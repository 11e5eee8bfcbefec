#include "shared-index.h"

#include <string.h>

#if defined(__SANITIZE_THREAD__) && defined(__GNUC__) && !defined(__clang__)
/* It knows no fences, and needs none: other processes write what they order, and every word here is atomic. */
#pragma GCC diagnostic ignored "-Wtsan"
#endif

/* A writer needs some tens of nanoseconds for an entry; whoever waits longer waits for one that was stopped. */
enum { tries_max = 200 };

/*
 * A store of the second version takes the memory of an index away that it has superseded, so that a reader which is
 * stopped there may be ended by the system; and it has stamps of loans where there may be no memory
 * (docs/decisions/0112).
 */
static const uint32_t version = 3, version_min = 3;

size_t wmbt_index_bytes(uint32_t log2_capacity) {
  return wmbt_index_header_bytes + wmbt_index_names_bytes +
         ((size_t)1 << log2_capacity) * sizeof(struct wmbt_index_entry);
}

bool wmbt_index_create(void *memory, size_t length, uint32_t log2_capacity, uint64_t segment_bytes) {
  if (log2_capacity > 30 || length != wmbt_index_bytes(log2_capacity)) return false;
  struct wmbt_index_header *header = memory;
  header->version = version;
  header->log2_capacity = log2_capacity;
  header->segment_bytes = segment_bytes;
  atomic_thread_fence(memory_order_release);
  header->magic = WMBT_INDEX_MAGIC;
  return true;
}

bool wmbt_index_open(void *memory, size_t length, struct wmbt_index *index) {
  struct wmbt_index_header *header = memory;
  if (length < wmbt_index_header_bytes || header->magic != WMBT_INDEX_MAGIC) return false;
  atomic_thread_fence(memory_order_acquire);
  const uint32_t log2_capacity = header->log2_capacity;
  if (header->version < version_min || header->version > version) return false;
  if (log2_capacity > 30 || length != wmbt_index_bytes(log2_capacity)) return false;
  index->header = header;
  index->entries = (void *)((uint8_t *)memory + wmbt_index_header_bytes + wmbt_index_names_bytes);
  index->mask = ((uint64_t)1 << log2_capacity) - 1;
  const uint32_t life_at = header->life_at;
  const bool shows_life = life_at >= offsetof(struct wmbt_index_header, life) && life_at % sizeof(uint32_t) == 0 &&
                          life_at <= wmbt_index_header_bytes - sizeof(uint32_t);
  index->life = shows_life ? (void *)((uint8_t *)memory + life_at) : NULL;
  return true;
}

/* The bits of the word by which the system tells waiters and the dead are above those of a thread's number. */
static const uint32_t thread_bits = 0x3fffffff;

enum wmbt_index_standing wmbt_index_standing(const struct wmbt_index *index) {
  /* An index that is superseded shows no life afterwards: whoever sees that sees why. */
  const uint32_t life = index->life == NULL ? 0 : atomic_load_explicit(index->life, memory_order_acquire);
  const uint32_t state = atomic_load_explicit(&index->header->state, memory_order_relaxed);
  if (state == wmbt_index_is_superseded) return wmbt_index_was_replaced;
  return state == wmbt_index_is_open && (life & thread_bits) != 0 ? wmbt_index_lives : wmbt_index_has_ended;
}

/* Keys are digests, so any bits of them are evenly spread; tenants with equal keys begin at different places. */
static uint64_t home_of(const uint64_t key[4], uint32_t owner) {
  return key[0] ^ (owner * UINT64_C(0x9e3779b97f4a7c15)) >> 20;
}

static bool has_key(const struct wmbt_index_entry *entry, const uint64_t key[4], uint32_t owner) {
  const uint64_t facts = atomic_load_explicit(&entry->facts, memory_order_relaxed);
  uint64_t difference = ((facts >> 32) & ~(uint64_t)WMBT_OWNER_MARKS) ^ owner;
  for (int i = 0; i < 4; i += 1) difference |= atomic_load_explicit(&entry->key[i], memory_order_relaxed) ^ key[i];
  return difference == 0;
}

int64_t wmbt_index_place(const struct wmbt_index *index, const uint64_t key[4], uint32_t owner) {
  const uint64_t home = home_of(key, owner);
  int64_t place = -1;
  for (uint64_t step = 0; step < wmbt_index_window && step <= index->mask; step += 1) {
    const uint64_t number = (home + step) & index->mask;
    const struct wmbt_index_entry *entry = &index->entries[number];
    const bool is_free = atomic_load_explicit(&entry->location, memory_order_relaxed) == 0;
    if (is_free && place < 0) place = (int64_t)number;
    if (!is_free && has_key(entry, key, owner)) return -1;
    if (atomic_load_explicit(&entry->sequence, memory_order_relaxed) == 0) break;
  }
  return place;
}

/* The stores between the two are seen by nobody who reads the same even number before and after his loads. */
static uint64_t begin_writing(struct wmbt_index_entry *entry) {
  const uint64_t sequence = atomic_load_explicit(&entry->sequence, memory_order_relaxed);
  atomic_store_explicit(&entry->sequence, sequence + 1, memory_order_relaxed);
  atomic_thread_fence(memory_order_release);
  return sequence + 2;
}

void wmbt_index_publish(const struct wmbt_index *index, uint32_t number, const uint64_t key[4],
                        const struct wmbt_found *payload) {
  struct wmbt_index_entry *entry = &index->entries[number & index->mask];
  const uint64_t after = begin_writing(entry);
  for (int i = 0; i < 4; i += 1) atomic_store_explicit(&entry->key[i], key[i], memory_order_relaxed);
  atomic_store_explicit(&entry->location, payload->location, memory_order_relaxed);
  atomic_store_explicit(&entry->extent, payload->extent, memory_order_relaxed);
  atomic_store_explicit(&entry->facts, payload->facts, memory_order_relaxed);
  /* Whoever reads this number reads the payload's bytes too, which were written before. */
  atomic_store_explicit(&entry->sequence, after, memory_order_release);
}

void wmbt_index_retire(const struct wmbt_index *index, uint32_t number) {
  struct wmbt_index_entry *entry = &index->entries[number & index->mask];
  const uint64_t after = begin_writing(entry);
  atomic_store_explicit(&entry->location, 0, memory_order_relaxed);
  atomic_store_explicit(&entry->sequence, after, memory_order_release);
}

int64_t wmbt_index_carry(const struct wmbt_index *from, uint32_t number, const struct wmbt_index *to) {
  const struct wmbt_index_entry *entry = &from->entries[number & from->mask];
  uint64_t key[4];
  for (int i = 0; i < 4; i += 1) key[i] = atomic_load_explicit(&entry->key[i], memory_order_relaxed);
  const struct wmbt_found payload = {
      .location = atomic_load_explicit(&entry->location, memory_order_relaxed),
      .extent = atomic_load_explicit(&entry->extent, memory_order_relaxed),
      .facts = atomic_load_explicit(&entry->facts, memory_order_relaxed),
  };
  const uint32_t owner = (uint32_t)(payload.facts >> 32) & ~WMBT_OWNER_MARKS;
  const int64_t place = payload.location == 0 ? -1 : wmbt_index_place(to, key, owner);
  if (place >= 0) wmbt_index_publish(to, (uint32_t)place, key, &payload);
  return place;
}

/* 1: this entry is the key's. 0: it is not. -1: the probe ends here. */
static int look(const struct wmbt_index_entry *entry, const uint64_t key[4], uint32_t owner,
                struct wmbt_found *found) {
  for (int tries = 0; tries < tries_max; tries += 1) {
    const uint64_t sequence = atomic_load_explicit(&entry->sequence, memory_order_acquire);
    if (sequence == 0) return -1;
    if ((sequence & 1) != 0) continue;
    const bool is_same = has_key(entry, key, owner);
    found->sequence = sequence;
    found->location = atomic_load_explicit(&entry->location, memory_order_relaxed);
    found->extent = atomic_load_explicit(&entry->extent, memory_order_relaxed);
    found->facts = atomic_load_explicit(&entry->facts, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&entry->sequence, memory_order_relaxed) != sequence) continue;
    return is_same && found->location != 0;
  }
  return 0;
}

bool wmbt_index_find(const struct wmbt_index *index, const uint64_t key[4], uint32_t owner,
                     struct wmbt_found *found) {
  if (atomic_load_explicit(&index->header->state, memory_order_relaxed) != wmbt_index_is_open) return false;
  const uint64_t home = home_of(key, owner);
  for (uint64_t step = 0; step < wmbt_index_window && step <= index->mask; step += 1) {
    const uint64_t number = (home + step) & index->mask;
    const int outcome = look(&index->entries[number], key, owner, found);
    if (outcome < 0) return false;
    if (outcome == 0) continue;
    found->entry = (uint32_t)number;
    return true;
  }
  return false;
}

struct words {
  uint64_t word[4];
};

static struct words words_at(const uint8_t *keys, size_t at) {
  struct words words;
  (void)memcpy(&words, keys + at * sizeof words, sizeof words);
  return words;
}

/* Lets the processor fetch where a key is looked for. */
static void prefetch(const struct wmbt_index *index, const uint8_t *keys, size_t at, uint32_t owner) {
  const struct words key = words_at(keys, at);
  const struct wmbt_index_entry *home = &index->entries[home_of(key.word, owner) & index->mask];
  __builtin_prefetch(home);
  /* In an index that is half full, every third key is in the next one, or further. Behind the last it is harmless. */
  __builtin_prefetch(home + 1);
}

/*
 * Lets the misses of many keys overlap, as many as a processor has under way: a lookup of 80 keys of 500,000 takes a
 * third of the time (bench/one-host).
 */
enum { prefetch_window = 16 };

size_t wmbt_index_find_leading(const struct wmbt_index *index, const uint8_t *keys, size_t count, uint32_t owner,
                               struct wmbt_found *found) {
  struct wmbt_found one;
  for (size_t i = 0; i < prefetch_window && i < count; i += 1) prefetch(index, keys, i, owner);
  for (size_t i = 0; i < count; i += 1) {
    if (i + prefetch_window < count) prefetch(index, keys, i + prefetch_window, owner);
    const struct words key = words_at(keys, i);
    if (!wmbt_index_find(index, key.word, owner, found == NULL ? &one : &found[i])) return i;
  }
  return count;
}

void wmbt_pin_announce(struct wmbt_client *client, uint32_t hazard, uint64_t location) {
  uint32_t end = atomic_load_explicit(&client->hazards_end, memory_order_relaxed);
  while (hazard >= end && !atomic_compare_exchange_weak_explicit(&client->hazards_end, &end, hazard + 1,
                                                                 memory_order_relaxed, memory_order_relaxed)) {
    /* Another thread of the client was first: `end` is what it left. */
  }
  atomic_store_explicit(&client->hazards[hazard], location, memory_order_relaxed);
}

/*
 * The reader stores a hazard and then loads the sequence; the writer stores the sequence and then loads hazards
 * (wmbt_clients_hold). With a full fence between the two on both sides at least one sees what the other stored.
 */
void wmbt_pin_fence(void) { atomic_thread_fence(memory_order_seq_cst); }

bool wmbt_pin_fence_in(const struct wmbt_index *index) {
  wmbt_pin_fence();
  /* The same once more for all entries together: in an index that is superseded their numbers stay as they are. */
  return atomic_load_explicit(&index->header->state, memory_order_acquire) == wmbt_index_is_open;
}

bool wmbt_pin_confirm(const struct wmbt_index *index, struct wmbt_client *client, uint32_t hazard,
                      const struct wmbt_found *found) {
  const struct wmbt_index_entry *entry = &index->entries[found->entry & index->mask];
  if (atomic_load_explicit(&entry->sequence, memory_order_acquire) == found->sequence) return true;
  wmbt_pin_release(client, hazard);
  return false;
}

void wmbt_pin_release(struct wmbt_client *client, uint32_t hazard) {
  /* The loads of the payload come before. */
  atomic_store_explicit(&client->hazards[hazard], 0, memory_order_release);
}

int wmbt_clients_hold(const struct wmbt_client *clients, uint64_t location) {
  atomic_thread_fence(memory_order_seq_cst);
  for (int number = 0; number < wmbt_client_slots; number += 1) {
    const struct wmbt_client *client = &clients[number];
    if (atomic_load_explicit(&client->is_active, memory_order_acquire) == 0) continue;
    uint32_t end = atomic_load_explicit(&client->hazards_end, memory_order_relaxed);
    /* A client may have written anything there. */
    if (end > wmbt_client_hazards) end = wmbt_client_hazards;
    for (uint32_t hazard = 0; hazard < end; hazard += 1) {
      const uint64_t pinned = atomic_load_explicit(&client->hazards[hazard], memory_order_acquire);
      if ((pinned & ~WMBT_LOCATION_SKIP) == location) return number;
    }
  }
  return -1;
}

void wmbt_client_clear(struct wmbt_client *client) {
  atomic_store_explicit(&client->is_active, 0, memory_order_relaxed);
  atomic_store_explicit(&client->owner, 0, memory_order_relaxed);
  atomic_store_explicit(&client->oldest_index, 0, memory_order_relaxed);
  for (int i = 0; i < wmbt_client_hazards; i += 1) {
    atomic_store_explicit(&client->hazards[i], 0, memory_order_relaxed);
  }
  atomic_store_explicit(&client->hazards_end, 0, memory_order_release);
}
