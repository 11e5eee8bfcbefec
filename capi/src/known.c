#include "known.h"

#include <stdbool.h>
#include <string.h>

enum { words_of_key = 8, bytes_of_key = 32 };

/* Keys that are looked for together: their misses overlap (docs/decisions/0101). */
enum { group_most = 128 };

/* Spreads the numbers of owners, which count up, over all bits. */
static const uint32_t owner_step = UINT32_C(0x9e3779b1);

/* Spreads every bit over all: lanes multiply, which moves bits up only. */
static uint32_t finish(uint32_t lane) {
  uint32_t word = (lane ^ lane >> 16) * UINT32_C(0x21f0aaad);
  word = (word ^ word >> 15) * UINT32_C(0x735a2d97);
  return word ^ word >> 15;
}

/* Words of a key are numbers whose first digit counts most. */
static uint32_t word_at(const uint8_t *key, size_t at) {
  uint32_t word;
  (void)memcpy(&word, key + at * sizeof word, sizeof word);
  return __builtin_bswap32(word);
}

uint32_t wmbt_known_tag(const struct wmbt_known_mix *mix, uint32_t owner, const uint8_t key[32],
                        struct wmbt_known_entry *tag) {
  /* Many owners may have the one key: each has another home for it. */
  const uint32_t offset = owner * owner_step;
  const uint32_t *multipliers = mix->multipliers, *starts = mix->starts;
  uint32_t a = starts[0] ^ offset, b = starts[1], c = starts[2], d = starts[3] ^ offset;
  for (size_t i = 0; i < words_of_key; i += 1) {
    const uint32_t word = word_at(key, i);
    a = (a ^ word) * multipliers[0];
    b = (b ^ word) * multipliers[1];
    c = (c ^ word) * multipliers[2];
    d = (d ^ word) * multipliers[3];
    a ^= a >> 15;
    b ^= b >> 13;
    c ^= c >> 17;
    d ^= d >> 14;
  }
  const uint32_t last = finish(d);
  *tag = (struct wmbt_known_entry){{finish(a), finish(b), finish(c), (last & UINT32_C(0xff000000)) | owner}};
  return last & (wmbt_known_shards - 1);
}

static bool find(const struct wmbt_known_shard *shard, const struct wmbt_known_entry *tag) {
  for (uint32_t slot = tag->word[0] & shard->mask;; slot = (slot + 1) & shard->mask) {
    struct wmbt_known_entry *entry = &shard->entries[slot];
    const uint32_t word = entry->word[3];
    if (word == 0) return false;
    const uint32_t difference = (entry->word[0] ^ tag->word[0]) | (entry->word[1] ^ tag->word[1]) |
                                (entry->word[2] ^ tag->word[2]) |
                                ((word & ~(WMBT_KNOWN_MARK | WMBT_KNOWN_FOUND)) ^ tag->word[3]);
    if (difference != 0) continue;
    /* Whole for other processes, which may read it (shared/known-file.h). */
    if ((word & WMBT_KNOWN_FOUND) == 0) __atomic_store_n(&entry->word[3], word | WMBT_KNOWN_FOUND, __ATOMIC_RELAXED);
    return true;
  }
}

/*
 * Makes the tags of a group, then fetches where each begins, and searches last: a processor waits for many loads at
 * once when they follow each other closely, and making a tag takes longer than it looks ahead.
 */
static size_t find_group(const struct wmbt_known_table *table, const uint8_t *keys, size_t count, uint32_t owner) {
  struct wmbt_known_entry tags[group_most];
  const struct wmbt_known_shard *shards[group_most];
  const struct wmbt_known_entry *homes[group_most];
  for (size_t i = 0; i < count; i += 1) {
    shards[i] = &table->shards[wmbt_known_tag(&table->mix, owner, keys + i * bytes_of_key, &tags[i])];
    homes[i] = &shards[i]->entries[tags[i].word[0] & shards[i]->mask];
  }
  for (size_t i = 0; i < count; i += 1) {
    __builtin_prefetch(homes[i]);
    /* Of four entries in a line most keys lie within three of their home. Behind the last it is harmless. */
    __builtin_prefetch(homes[i] + 3);
  }
  for (size_t i = 0; i < count; i += 1) {
    if (!find(shards[i], &tags[i])) return i;
  }
  return count;
}

size_t wmbt_known_find_leading(const struct wmbt_known_table *table, const uint8_t *keys, size_t count,
                               uint32_t owner) {
  for (size_t start = 0; start < count; start += group_most) {
    const size_t size = count - start < group_most ? count - start : group_most;
    const size_t known = find_group(table, keys + start * bytes_of_key, size, owner);
    if (known < size) return start + known;
  }
  return count;
}
