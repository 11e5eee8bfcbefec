/*
 * The file of keys that a store knows: its header, names, what is said of shards, and their entries. An input lies over
 * a file that is right, in pieces: where, how long, the bytes. Reads stay in the file, which ends with its memory.
 */
#include <string.h>
#include <sys/mman.h>

#include "../../src/shared/known-file.h"
#include "../../src/shared/shared-index.h"
#include "fuzz.h"

enum { key_count = 40, indexed = 3, index_owner = 256 + 1, key_bytes = 32, head_bytes = 16, owner = 5 };
enum { log2_region = wmbt_known_log2_small + 1 };

static struct {
  uint8_t *bytes, *pristine;
  size_t length;
  uint8_t keys[key_count * key_bytes];
} store;

static struct {
  struct wmbt_index opened;
  uint8_t *bytes;
} blocks;

static const struct wmbt_known_mix mix = {{0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f}, {1, 2, 3, 4}};

static uint32_t log2_of(uint32_t shard) { return shard % 2 == 0 ? wmbt_known_log2_least : log2_region; }

/* Every second key is marked; each shard is there, every second one with as many places as there are. */
static void place_keys(const struct wmbt_known_file *file) {
  static struct wmbt_known_entry entries[1 << log2_region];
  for (uint32_t shard = 0; shard < wmbt_known_shards; shard += 1) {
    wmbt_known_file_place(file, shard, entries, log2_of(shard));
  }
  for (unsigned i = 0; i < key_count; i += 1) {
    struct wmbt_known_entry tag;
    uint8_t *key = store.keys + (size_t)i * key_bytes;
    for (unsigned k = 0; k < key_bytes; k += 1) key[k] = (uint8_t)(i * 37 + k * 11 + 1);
    const uint32_t shard = wmbt_known_tag(&mix, owner, key, &tag);
    if (i % 2 == 0) tag.word[3] |= WMBT_KNOWN_MARK;
    wmbt_known_file_put(file, shard, tag.word[0] & ((1U << log2_of(shard)) - 1), &tag);
  }
}

/* The first keys, and the last. */
static void make_index(void) {
  enum { log2_capacity = 5 };
  const size_t length = wmbt_index_bytes(log2_capacity);
  blocks.bytes = aligned_alloc(64, length);
  if (blocks.bytes == NULL) exit(2);
  (void)memset(blocks.bytes, 0, length);
  if (!wmbt_index_create(blocks.bytes, length, log2_capacity, 65536)) exit(2);
  if (!wmbt_index_open(blocks.bytes, length, &blocks.opened)) exit(2);
  for (unsigned i = 0; i <= indexed; i += 1) {
    uint64_t words[4];
    (void)memcpy(words, store.keys + (size_t)(i < indexed ? i : key_count - 1) * key_bytes, sizeof words);
    const int64_t place = wmbt_index_place(&blocks.opened, words, index_owner);
    const struct wmbt_found payload = {.location = UINT64_C(1) << 63 | i, .facts = (uint64_t)index_owner << 32};
    if (place < 0) exit(2);
    wmbt_index_publish(&blocks.opened, (uint32_t)place, words, &payload);
  }
}

static void make_store(void) {
  struct wmbt_known_file file;
  store.length = wmbt_known_file_bytes(log2_region);
  /* A read behind the file ends the process here. */
  uint8_t *memory = mmap(NULL, store.length + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, store.length, PROT_READ | PROT_WRITE) != 0) exit(2);
  store.bytes = memory;
  if (!wmbt_known_file_create(memory, store.length, log2_region, &mix)) exit(2);
  if (!wmbt_known_file_open(memory, store.length, &file)) exit(2);
  file.names[0].owner = owner;
  file.names[0].length = 1;
  file.names[0].text[0] = 'n';
  atomic_store(&file.header->names, 1);
  place_keys(&file);
  make_index();
  store.pristine = malloc(store.length);
  if (store.pristine == NULL) exit(2);
  (void)memcpy(store.pristine, store.bytes, store.length);
  bool is_marked = false;
  MUST(wmbt_known_file_find_leading(&file, store.keys, 1, owner, &is_marked) == 1 && is_marked);
}

/* What an input may change: a piece of it is put back afterwards, since the file is long. */
static const struct {
  size_t start, length;
} parts[] = {
    {0, 64},
    {wmbt_known_names_at, 3 * sizeof(struct wmbt_known_name)},
    {wmbt_known_heads_at, wmbt_known_shards * sizeof(struct wmbt_known_head)},
    {wmbt_known_small_at, 8 << 12},
};
enum { part_count = sizeof parts / sizeof parts[0] };

/* Two bytes say where the piece lies, one how long it is. */
static void lay_over(const uint8_t *data, size_t size) {
  while (size > 3) {
    const unsigned part = data[0] % part_count;
    const size_t offset = (data[0] / part_count + (size_t)data[1] * 64) % parts[part].length;
    size_t length = data[2] % 64;
    data += 3;
    size -= 3;
    if (length > size) length = size;
    if (length > parts[part].length - offset) length = parts[part].length - offset;
    (void)memcpy(store.bytes + parts[part].start + offset, data, length);
    data += length;
    size -= length;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct wmbt_known_file file;
  bool is_marked = false;
  if (store.bytes == NULL) make_store();
  for (unsigned i = 0; i < part_count; i += 1) {
    (void)memcpy(store.bytes + parts[i].start, store.pristine + parts[i].start, parts[i].length);
  }
  lay_over(data, size);
  if (!wmbt_known_file_open(store.bytes, store.length, &file)) return 0;
  MUST(file.log2_region == log2_region);
  const uint32_t named = wmbt_known_file_owner(&file, "n", 1);
  MUST(named <= WMBT_KNOWN_OWNER_MOST);
  MUST(wmbt_known_file_owner(&file, (const char *)data, size) <= WMBT_KNOWN_OWNER_MOST);
  MUST(wmbt_known_file_find_leading(&file, store.keys, key_count, named, &is_marked) <= key_count);
  (void)wmbt_are_stored(NULL, &file, store.keys, key_count, (struct wmbt_owners){.in_known = named});
  /* The first keys lie in an index, which is right, and what follows them in the file. */
  const struct wmbt_owners owners = {.in_index = index_owner, .in_known = named};
  MUST(wmbt_are_stored(&blocks.opened, &file, store.keys, indexed, owners));
  (void)wmbt_are_stored(&blocks.opened, &file, store.keys, key_count, owners);
  return 0;
}
