/*
 * The file of known keys by itself: what it answers beside an index, memory that may be anything, and a store that
 * adds, removes and grows all the time while many threads look. Every answer of those is checked: a key that was never
 * there, or that is not there meanwhile, is never found, and what is found is marked as it was. No daemon.
 */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../src/shared/known-file.h"

enum {
  log2_region = 9,
  owner = 5,
  other_owner = 6,
  index_owner = 257,
  key_bytes = 32,
  kept_count = 4000,
  churned_count = 24000,
  reader_count = 3,
  changes = 400000,
};

/* Bits of the last word that are no part of a tag. */
static const uint32_t marks = WMBT_KNOWN_MARK | WMBT_KNOWN_FOUND;
static const struct wmbt_known_mix mix = {{0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f}, {1, 2, 3, 4}};

static void fail(const char *what, size_t number) {
  (void)printf("not ok %s (%zu)\n", what, number);
  (void)fflush(stdout);
  _exit(1);
}

static void expect(bool is_so, const char *what, size_t number) {
  if (!is_so) fail(what, number);
}

static uint64_t next_of(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static void key_of(uint64_t number, uint8_t key[key_bytes]) {
  for (uint64_t i = 0; i < key_bytes / sizeof i; i += 1) {
    const uint64_t word = (number * 4 + i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    (void)memcpy(key + i * sizeof word, &word, sizeof word);
  }
}

/* The table as the store has it: its own copy of each shard, and the file. */
struct shard {
  struct wmbt_known_entry *entries;
  uint32_t log2, size;
};

static struct {
  uint8_t *memory;
  size_t length;
  struct wmbt_known_file file;
  struct shard shards[wmbt_known_shards];
} table;

static void make_table(void) {
  table.length = wmbt_known_file_bytes(log2_region);
  table.memory = calloc(1, table.length);
  if (table.memory == NULL || !wmbt_known_file_create(table.memory, table.length, log2_region, &mix) ||
      !wmbt_known_file_open(table.memory, table.length, &table.file)) {
    exit(2);
  }
  for (uint32_t number = 0; number < wmbt_known_shards; number += 1) {
    struct shard *shard = &table.shards[number];
    shard->log2 = wmbt_known_log2_least;
    shard->size = 0;
    shard->entries = calloc((size_t)1 << log2_region, sizeof *shard->entries);
    if (shard->entries == NULL) exit(2);
    wmbt_known_file_place(&table.file, number, shard->entries, shard->log2);
  }
}

static void free_table(void) {
  for (uint32_t number = 0; number < wmbt_known_shards; number += 1) free(table.shards[number].entries);
  free(table.memory);
}

static uint32_t mask_of(const struct shard *shard) { return ((uint32_t)1 << shard->log2) - 1; }

static uint32_t slot_of(const struct shard *shard, const struct wmbt_known_entry *tag) {
  uint32_t slot = tag->word[0] & mask_of(shard);
  for (; shard->entries[slot].word[3] != 0; slot = (slot + 1) & mask_of(shard)) {
    const struct wmbt_known_entry *entry = &shard->entries[slot];
    const bool is_begun = memcmp(entry->word, tag->word, 3 * sizeof tag->word[0]) == 0;
    if (is_begun && (entry->word[3] & ~marks) == tag->word[3]) break;
  }
  return slot;
}

static void put(uint32_t number, uint32_t slot, const struct wmbt_known_entry *entry) {
  table.shards[number].entries[slot] = *entry;
  wmbt_known_file_put(&table.file, number, slot, entry);
}

static void grow(uint32_t number) {
  struct shard *shard = &table.shards[number];
  struct wmbt_known_entry old[1 << log2_region];
  const uint32_t count = mask_of(shard) + 1;
  (void)memcpy(old, shard->entries, count * sizeof *old);
  (void)memset(shard->entries, 0, count * sizeof *old);
  shard->log2 += 1;
  for (uint32_t i = 0; i < count; i += 1) {
    struct wmbt_known_entry tag = old[i];
    tag.word[3] &= ~marks;
    if (old[i].word[3] != 0) shard->entries[slot_of(shard, &tag)] = old[i];
  }
  wmbt_known_file_place(&table.file, number, shard->entries, shard->log2);
}

static bool add(const uint8_t *key, uint32_t whose, bool is_marked) {
  struct wmbt_known_entry tag;
  const uint32_t number = wmbt_known_tag(&mix, whose, key, &tag);
  struct shard *shard = &table.shards[number];
  if (shard->size * 4 >= (mask_of(shard) + 1) * 3) {
    if (shard->log2 == log2_region) return false;
    grow(number);
  }
  const uint32_t slot = slot_of(shard, &tag);
  if (is_marked) tag.word[3] |= WMBT_KNOWN_MARK;
  put(number, slot, &tag);
  shard->size += 1;
  return true;
}

/* As TagShard.remove of src/catalog/tag-shard.ts: entries behind the gap move into it, one by one. */
static void take_out(const uint8_t *key, uint32_t whose) {
  static const struct wmbt_known_entry zeros;
  struct wmbt_known_entry tag;
  const uint32_t number = wmbt_known_tag(&mix, whose, key, &tag);
  struct shard *shard = &table.shards[number];
  const uint32_t mask = mask_of(shard);
  uint32_t gap = slot_of(shard, &tag);
  expect(shard->entries[gap].word[3] != 0, "what is removed is there", gap);
  for (uint32_t next = (gap + 1) & mask; shard->entries[next].word[3] != 0; next = (next + 1) & mask) {
    const uint32_t home = shard->entries[next].word[0] & mask;
    if (((next - home) & mask) < ((next - gap) & mask)) continue;
    put(number, gap, &shard->entries[next]);
    gap = next;
  }
  put(number, gap, &zeros);
  shard->size -= 1;
}

/* Even: the key is not there, until it changes. */
static _Atomic uint32_t versions[churned_count];
static _Atomic bool is_over;

static uint64_t churned(uint64_t index) { return 1000000 + index; }
static bool is_marked_one(uint64_t number) { return number % 3 == 0; }

/* The mark of what is found is that of the key. */
static bool look(const uint8_t *key, uint64_t number) {
  bool is_marked = false;
  if (wmbt_known_file_find_leading(&table.file, key, 1, owner, &is_marked) == 0) return false;
  expect(is_marked == is_marked_one(number), "what is found is marked as it was", number);
  return true;
}

static void look_for_churned(uint64_t index) {
  uint8_t key[key_bytes];
  key_of(churned(index), key);
  const uint32_t before = atomic_load_explicit(&versions[index], memory_order_acquire);
  const bool is_found = look(key, churned(index));
  const uint32_t after = atomic_load_explicit(&versions[index], memory_order_relaxed);
  expect(!is_found || before != after || (before & 1) != 0, "what is not there is not found", index);
}

struct tally {
  pthread_t thread;
  uint64_t dice, found, asked;
};

static void *read_on(void *argument) {
  struct tally *tally = argument;
  uint8_t keys[8 * key_bytes];
  while (!atomic_load(&is_over)) {
    const uint64_t thrown = next_of(&tally->dice);
    for (uint64_t i = 0; i < 8; i += 1) key_of((thrown + i) % kept_count, keys + i * key_bytes);
    bool is_marked;
    const size_t found = wmbt_known_file_find_leading(&table.file, keys, 8, owner, &is_marked);
    tally->found += found;
    if (found < 8) tally->asked += 1;
    key_of(UINT64_C(1) << 40 | thrown % 100000, keys);
    expect(!look(keys, 0), "what was never there is not found", (size_t)thrown);
    look_for_churned(thrown % churned_count);
  }
  return NULL;
}

static void change(uint64_t *dice) {
  const uint64_t index = next_of(dice) % churned_count;
  uint8_t key[key_bytes];
  key_of(churned(index), key);
  const uint32_t version = atomic_load_explicit(&versions[index], memory_order_relaxed);
  if ((version & 1) == 0) {
    atomic_store_explicit(&versions[index], version + 1, memory_order_relaxed);
    if (add(key, owner, is_marked_one(churned(index)))) return;
  } else {
    take_out(key, owner);
  }
  atomic_store_explicit(&versions[index], (version + 2) & ~UINT32_C(1), memory_order_release);
}

static void many_readers(void) {
  uint8_t key[key_bytes];
  make_table();
  for (uint64_t i = 0; i < kept_count; i += 1) {
    key_of(i, key);
    expect(add(key, owner, is_marked_one(i)), "there is room", i);
  }
  struct tally tallies[reader_count] = {0};
  for (unsigned i = 0; i < reader_count; i += 1) {
    tallies[i].dice = 88172645463325252u + i;
    if (pthread_create(&tallies[i].thread, NULL, read_on, &tallies[i]) != 0) exit(2);
  }
  uint64_t dice = 362436069362436069u, found = 0, asked = 0;
  for (unsigned i = 0; i < changes; i += 1) change(&dice);
  atomic_store(&is_over, true);
  for (unsigned i = 0; i < reader_count; i += 1) {
    (void)pthread_join(tallies[i].thread, NULL);
    found += tallies[i].found;
    asked += tallies[i].asked;
  }
  for (uint64_t i = 0; i < kept_count; i += 1) {
    key_of(i, key);
    expect(look(key, i), "what was kept is found at last", i);
  }
  for (uint64_t i = 0; i < churned_count; i += 1) {
    key_of(churned(i), key);
    expect(look(key, churned(i)) == ((atomic_load(&versions[i]) & 1) != 0), "at last all is as it was left", i);
  }
  (void)printf("found %llu, asked %llu\n", (unsigned long long)found, (unsigned long long)asked);
  free_table();
}

/* Two entries of which the one has what the other lacks of a key's tag, in turns at the key's place. */
static void *look_for_halves(void *argument) {
  struct tally *tally = argument;
  uint8_t key[key_bytes];
  key_of(3, key);
  while (!atomic_load(&is_over)) {
    bool is_marked;
    expect(wmbt_known_file_find_leading(&table.file, key, 1, owner, &is_marked) == 0, "no halves make a whole", 3);
    tally->asked += 1;
  }
  return NULL;
}

static void halves(void) {
  make_table();
  uint8_t key[key_bytes];
  struct wmbt_known_entry first, second;
  key_of(3, key);
  const uint32_t shard = wmbt_known_tag(&mix, owner, key, &first), slot = slot_of(&table.shards[shard], &first);
  second = first;
  first.word[0] ^= 1;
  second.word[1] ^= 1;
  second.word[2] ^= 1;
  struct tally tallies[reader_count] = {0};
  atomic_store(&is_over, false);
  for (unsigned i = 0; i < reader_count; i += 1) {
    if (pthread_create(&tallies[i].thread, NULL, look_for_halves, &tallies[i]) != 0) exit(2);
  }
  for (unsigned i = 0; i < 5 * changes; i += 1) put(shard, slot, i % 2 == 0 ? &first : &second);
  atomic_store(&is_over, true);
  for (unsigned i = 0; i < reader_count; i += 1) (void)pthread_join(tallies[i].thread, NULL);
  free_table();
}

/* A store that dies in the middle of a change, and one that has no memory for a shard. */
static void stopped_and_withdrawn(void) {
  make_table();
  uint8_t keys[2 * key_bytes];
  bool is_marked;
  key_of(1, keys);
  key_of(2, keys + key_bytes);
  expect(add(keys, owner, true) && add(keys + key_bytes, owner, true), "there is room", 2);
  struct wmbt_known_entry tag;
  const uint32_t shard = wmbt_known_tag(&mix, owner, keys + key_bytes, &tag);
  expect(wmbt_known_file_find_leading(&table.file, keys, 2, owner, &is_marked) == 2 && is_marked, "both are found", 2);
  expect(wmbt_known_file_find_leading(&table.file, keys, 2, other_owner, &is_marked) == 0, "owners are apart", 2);
  atomic_fetch_add(&table.file.heads[shard].sequence, 1);
  expect(wmbt_known_file_find_leading(&table.file, keys, 2, owner, &is_marked) == 1, "nobody waits for the dead", 1);
  atomic_fetch_add(&table.file.heads[shard].sequence, 1);
  wmbt_known_file_withdraw(&table.file, shard);
  expect(wmbt_known_file_find_leading(&table.file, keys, 2, owner, &is_marked) == 1, "what is withdrawn is not there",
         1);
  free_table();
}

static void names(void) {
  make_table();
  struct wmbt_known_file *file = &table.file;
  expect(wmbt_known_file_owner(file, "team", 4) == 0, "no name is there", 0);
  for (uint32_t i = 0; i < 3; i += 1) {
    static const char *const texts[] = {"team", "teams", "tea"};
    file->names[i].length = (uint32_t)strlen(texts[i]);
    (void)memcpy(file->names[i].text, texts[i], strlen(texts[i]));
    atomic_store(&file->names[i].owner, 7 + i);
  }
  atomic_store(&file->header->names, 2);
  expect(wmbt_known_file_owner(file, "team", 4) == 7, "a name has its number", 7);
  expect(wmbt_known_file_owner(file, "teams", 5) == 8, "and a longer one another", 8);
  expect(wmbt_known_file_owner(file, "tea", 3) == 0, "what is not counted is not there", 0);
  atomic_store(&file->names[0].owner, 0);
  expect(wmbt_known_file_owner(file, "team", 4) == 0, "a number can be taken away", 0);
  free_table();
}

static void refused(uint32_t at, uint32_t value) {
  uint32_t before;
  (void)memcpy(&before, table.memory + at, sizeof before);
  (void)memcpy(table.memory + at, &value, sizeof value);
  struct wmbt_known_file file;
  expect(!wmbt_known_file_open(table.memory, table.length, &file), "a foreign header is refused", at);
  (void)memcpy(table.memory + at, &before, sizeof before);
}

/* The memory is exactly as long as it says, so that a sanitizer sees any look beyond. */
static void hostile(void) {
  make_table();
  struct wmbt_known_file file;
  bool is_marked;
  for (size_t length = 0; length < table.length; length = length * 2 + 1) {
    uint8_t *copy = malloc(length + 1);
    if (copy == NULL) exit(2);
    (void)memcpy(copy, table.memory, length);
    expect(!wmbt_known_file_open(copy, length, &file), "a short file is refused", length);
    free(copy);
  }
  refused(0, 0);
  refused(4, 1);
  refused(8, 2);
  static const uint32_t regions[] = {0, 1, 7, 8, 10, 20, 21, 31, 32, 255, UINT32_MAX};
  for (size_t i = 0; i < sizeof regions / sizeof *regions; i += 1) refused(12, regions[i]);
  uint64_t dice = 5;
  for (unsigned run = 0; run < 200; run += 1) {
    for (size_t at = wmbt_known_names_at; at < table.length; at += sizeof dice) {
      const uint64_t word = run % 2 == 0 ? UINT64_MAX : next_of(&dice);
      if (run < 2 || word % 7 == 0) (void)memcpy(table.memory + at, &word, sizeof word);
    }
    /* Shards as large as they may be, and larger; all of them full. */
    for (uint32_t number = 0; number < wmbt_known_shards; number += 1) {
      atomic_store(&table.file.heads[number].sequence, 2);
      atomic_store(&table.file.heads[number].log2, number % 2 == 0 ? log2_region : (uint32_t)(next_of(&dice) % 40));
    }
    atomic_store(&table.file.header->names, UINT32_MAX);
    expect(wmbt_known_file_owner(&table.file, "default", 7) <= WMBT_KNOWN_OWNER_MOST, "an owner is a number", run);
    uint8_t keys[80 * key_bytes];
    for (uint64_t i = 0; i < 80; i += 1) key_of(next_of(&dice), keys + i * key_bytes);
    for (size_t i = 0; i < 80; i += 1) {
      const uint8_t *key = keys + i * key_bytes;
      expect(wmbt_known_file_find_leading(&table.file, key, 80 - i, owner, &is_marked) == 0, "chance finds nothing", i);
    }
  }
  free_table();
}

/* Letters say of each key where it lies: i index, k known, m known and marked, b both, - nowhere. */
static void answers(const char *places, bool expected) {
  const size_t length = wmbt_index_bytes(10), count = strlen(places);
  uint8_t *memory = calloc(1, length), keys[16 * key_bytes];
  struct wmbt_index index;
  if (memory == NULL || !wmbt_index_create(memory, length, 10, 1 << 20) || !wmbt_index_open(memory, length, &index)) {
    exit(2);
  }
  make_table();
  for (size_t i = 0; i < count; i += 1) {
    uint8_t *key = keys + i * key_bytes;
    key_of(i, key);
    uint64_t words[4];
    (void)memcpy(words, key, sizeof words);
    const struct wmbt_found found = {.location = UINT64_C(1) << 63, .facts = (uint64_t)index_owner << 32};
    const int64_t place = wmbt_index_place(&index, words, index_owner);
    if (strchr("ib", places[i]) != NULL) wmbt_index_publish(&index, (uint32_t)place, words, &found);
    if (strchr("kmb", places[i]) != NULL) (void)add(key, owner, places[i] == 'm');
  }
  const struct wmbt_owners both = {index_owner, owner}, foreign = {index_owner + 256, other_owner};
  const bool is_resident = strspn(places, "ib") == count && count > 0;
  expect(wmbt_are_stored(&index, &table.file, keys, count, both) == expected, places, count);
  expect(!wmbt_are_stored(&index, &table.file, keys, count, foreign), "namespaces are apart", count);
  expect(wmbt_are_stored(&index, NULL, keys, count, both) == is_resident, "without the file it is the index", count);
  const struct wmbt_owners nameless = {index_owner, 0};
  expect(wmbt_are_stored(&index, &table.file, keys, count, nameless) == is_resident, "so without a name", count);
  atomic_store(&index.header->state, wmbt_index_is_superseded);
  const bool is_known = strspn(places, "kmb") == count && count > 0 && places[count - 1] == 'm';
  expect(wmbt_are_stored(&index, &table.file, keys, count, both) == is_known, "what is superseded shows nothing",
         count);
  free_table();
  free(memory);
}

int main(void) {
  static const struct {
    const char *places;
    bool is_stored;
  } cases[] = {{"i", true},      {"m", true},     {"k", false},   {"b", true},     {"-", false},  {"iiii", true},
               {"mmmm", true},   {"kkkm", true},  {"mmmk", false}, {"iikm", true},  {"iikki", true}, {"kikim", true},
               {"ikikb", true},  {"i-m", false},  {"kk-m", false}, {"mm-", false},  {"-mm", false}, {"bbkkb", true},
               {"iiiik", false}, {"miiimkkkkm", true}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i += 1) answers(cases[i].places, cases[i].is_stored);
  names();
  stopped_and_withdrawn();
  hostile();
  many_readers();
  halves();
  return 0;
}
