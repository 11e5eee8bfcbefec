/*
 * Holds every kernel that this processor has to an independent implementation: `kernels-test SEED VECTORS`. Prints
 * what it tried and what failed; its exit status is 1 when something did.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/chain.h"
#include "../src/crc32c.h"
#include "../src/hex.h"
#include "../src/known.h"
#include "../src/planes.h"
#include "reference-blake3.h"

#if defined(__x86_64__)
/* The official code's own dispatch, opened by BLAKE3_TESTING: bits of what it may use. */
extern _Atomic int g_cpu_features;
int get_cpu_features(void);
#endif

enum { memory_bytes = 1024 * 1024 + 512, digits = wmbt_digest_digits };

static uint8_t *memory, *other;
static uint64_t random_state;
static unsigned failures;

static uint64_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state * UINT64_C(0x2545f4914f6cdd1d) >> 11;
}

static size_t below(size_t bound) { return (size_t)(next_random() % bound); }

static void expect(int holds, const char *what, const char *by, size_t length, size_t start) {
  if (holds) return;
  failures += 1;
  printf("FAILED: %s by %s, %zu bytes from %zu\n", what, by, length, start);
}

/* The definition: one bit at a time. */
static uint32_t crc_by_bits(uint32_t crc, const uint8_t *in, size_t length) {
  uint32_t state = ~crc;
  for (size_t i = 0; i < length; i += 1) {
    state ^= in[i];
    for (int bit = 0; bit < 8; bit += 1) state = (state >> 1) ^ ((state & 1) != 0 ? 0x82f63b78 : 0);
  }
  return ~state;
}

/* Short lengths are the most common; every eighth is up to the whole memory. */
static size_t random_length(void) {
  static const size_t bounds[8] = {40, 300, 1100, 4000, 30000, 60000, 300, memory_bytes - 512};
  return below(bounds[below(8)]);
}

/* Of test/golden/keys-v1/vectors.txt, which the tests of the other language read too. */
enum { vectors_max = 32 };

static struct {
  uint8_t in[64];
  size_t length;
  uint32_t crc;
} crc_vectors[vectors_max];

static struct {
  size_t length;
  char digest[digits + 1];
} blake3_vectors[vectors_max];

static size_t crc_count, blake3_count, key_count;
static char seed_input[128], seed[digits + 1], chain_of_vectors[vectors_max * digits];

/* Bytes of hexadecimal text, "-" for none; gives how many there are. */
static size_t bytes_of(const char *text, uint8_t *bytes, size_t most) {
  size_t count = 0;
  unsigned byte;
  for (; count < most && sscanf(text + 2 * count, "%2x", &byte) == 1; count += 1) bytes[count] = (uint8_t)byte;
  return count;
}

static int read_vector(const char *kind, const char *first, const char *second) {
  if (strcmp(kind, "crc32c") == 0 && crc_count < vectors_max) {
    crc_vectors[crc_count].length = bytes_of(first, crc_vectors[crc_count].in, sizeof crc_vectors[0].in);
    crc_vectors[crc_count++].crc = (uint32_t)strtoul(second, NULL, 16);
    return 1;
  }
  if (strlen(second) != digits) return 0;
  if (strcmp(kind, "blake3") == 0 && blake3_count < vectors_max) {
    blake3_vectors[blake3_count].length = strtoul(first, NULL, 10);
    memcpy(blake3_vectors[blake3_count++].digest, second, digits + 1);
    return 1;
  }
  if (strcmp(kind, "seed") == 0 && strlen(first) < sizeof seed_input) {
    memcpy(seed_input, first, strlen(first) + 1);
    memcpy(seed, second, digits + 1);
    return 1;
  }
  if (strcmp(kind, "key") != 0 || key_count == vectors_max) return 0;
  memcpy(chain_of_vectors + digits * key_count++, second, digits);
  return 1;
}

/* False when a line is none that is known, or a kind is missing. */
static int read_vectors(const char *path) {
  char kind[16], first[256], second[256];
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  int is_sound = 1, count;
  while (is_sound && (count = fscanf(file, "%15s %255s %255s", kind, first, second)) != EOF) {
    is_sound = count == 3 && read_vector(kind, first, second);
  }
  fclose(file);
  return is_sound && crc_count > 0 && blake3_count > 0 && key_count > 0 && seed[0] != '\0';
}

static void test_append(const struct wmbt_crc32c_kernel *kernel) {
  for (size_t i = 0; i < crc_count; i += 1) {
    const uint32_t crc = wmbt_crc32c_append_by(kernel, 0, crc_vectors[i].in, crc_vectors[i].length);
    expect(crc == crc_vectors[i].crc, "CRC32C of a vector", kernel->name, crc_vectors[i].length, 0);
  }
  for (int run = 0; run < 300; run += 1) {
    const size_t start = below(256), length = random_length();
    const uint32_t crc = (uint32_t)next_random();
    const uint32_t expected = crc_by_bits(crc, memory + start, length);
    const uint32_t actual = wmbt_crc32c_append_by(kernel, crc, memory + start, length);
    expect(actual == expected, "CRC32C", kernel->name, length, start);
  }
}

/* A copy must be whole, and must leave the bytes around it alone. */
static void test_copy(const struct wmbt_crc32c_kernel *kernel) {
  for (int run = 0; run < 200; run += 1) {
    const size_t start = below(256), place = 64 + below(128);
    const size_t length = run % 4 == 0 ? WMBT_STREAM_BYTES_MIN - 100 + below(500000) : random_length();
    memset(other, 0xa5, place);
    memset(other + place + length, 0xa5, 64);
    const uint32_t crc = (uint32_t)next_random();
    const uint32_t expected = wmbt_crc32c_append_by(&wmbt_crc32c_portable, crc, memory + start, length);
    const uint32_t actual = wmbt_crc32c_copy_by(kernel, crc, other + place, memory + start, length);
    expect(actual == expected, "CRC32C of a copy", kernel->name, length, start);
    expect(memcmp(other + place, memory + start, length) == 0, "copy", kernel->name, length, start);
    for (size_t i = 0; i < 64; i += 1) {
      const int is_untouched = other[place - 1 - i] == 0xa5 && other[place + length + i] == 0xa5;
      expect(is_untouched, "bytes beside a copy", kernel->name, length, start);
    }
  }
}

static void test_crc(void) {
  size_t count;
  const struct wmbt_crc32c_kernel *const *kernels = wmbt_crc32c_kernels(&count);
  for (size_t i = 0; i < count; i += 1) {
    const int is_here = kernels[i]->is_supported();
    printf("crc32c %s: %s\n", kernels[i]->name, is_here ? "tested" : "not on this processor");
    if (!is_here) continue;
    test_append(kernels[i]);
    test_copy(kernels[i]);
  }
  printf("crc32c in use: %s\n", wmbt_crc32c_kernel_in_use()->name);
}

static void test_combine(void) {
  for (int run = 0; run < 300; run += 1) {
    const size_t length = random_length(), cut = below(length + 1);
    const uint32_t whole = wmbt_crc32c_append(0, memory, length);
    const uint32_t first = wmbt_crc32c_append(0, memory, cut);
    const uint32_t second = wmbt_crc32c_append(0, memory + cut, length - cut);
    expect(wmbt_crc32c_append(first, memory + cut, length - cut) == whole, "append", "two parts", length, cut);
    expect(wmbt_crc32c_combine(first, second, length - cut) == whole, "combine", "two parts", length, cut);
    const uint32_t bound = wmbt_crc32c_bind(other, other + 32, whole, length);
    const uint32_t behind = crc_by_bits(crc_by_bits(0, other, 64), memory, length);
    expect(bound == behind, "bind", "namespace and key", length, 0);
  }
  /* Lengths beyond 32 bits, where zeros are combined by halves. */
  for (int run = 0; run < 100; run += 1) {
    const uint64_t a = next_random() << 8, b = next_random() << 8;
    const uint32_t crc = (uint32_t)next_random();
    const uint32_t by_halves = wmbt_crc32c_combine(wmbt_crc32c_combine(crc, 0, a), 0, b);
    expect(wmbt_crc32c_combine(crc, 0, a + b) == by_halves, "combine", "long lengths", (size_t)(a + b), 0);
  }
}

static void test_hex(void) {
  unsigned count;
  const struct wmbt_hex_parser *parsers = wmbt_hex_parsers(&count);
  for (unsigned i = 0; i < count; i += 1) {
    const int is_here = parsers[i].is_supported();
    printf("hex %s: %s\n", parsers[i].name, is_here ? "tested" : "not on this processor");
    for (int run = 0; is_here && run < 2000; run += 1) {
      char text[digits + 1];
      uint8_t digest[wmbt_digest_bytes];
      const uint8_t *from = memory + below(memory_bytes - 64);
      const char *form = below(2) == 0 ? "%02x" : "%02X";
      for (int k = 0; k < wmbt_digest_bytes; k += 1) snprintf(text + 2 * k, 3, form, from[k]);
      expect(parsers[i].parse(text, digest), "hex is accepted", parsers[i].name, digits, 0);
      expect(memcmp(digest, from, sizeof digest) == 0, "hex", parsers[i].name, digits, 0);
      /* Any other byte in any place is refused. */
      const size_t place = below(digits);
      const int byte = (int)(uint8_t)(run % 256);
      const int is_digit = byte != 0 && strchr("0123456789abcdefABCDEF", byte) != NULL;
      text[place] = (char)byte;
      expect(parsers[i].parse(text, digest) == is_digit, "hex with another byte", parsers[i].name, digits, place);
    }
  }
  expect(wmbt_hex_parse("00112233445566778899aAbBcCdDeEfF00112233445566778899AABBCCDDEEFF", other), "hex",
         "the parser in use", digits, 0);
}

/* By the definition, and without a byte beside what is written. */
static void test_planes(void) {
  for (int run = 0; run < 300; run += 1) {
    const size_t start = below(64), count = random_length() / 3, place = 64 + below(64);
    const uint8_t *lows = memory + start, *highs = memory + start + count + below(64);
    memset(other, 0xa5, place);
    memset(other + place + 2 * count, 0xa5, 64);
    wmbt_merge_planes(other + place, lows, highs, count);
    int is_merged = 1, is_untouched = 1;
    for (size_t i = 0; i < count; i += 1) {
      is_merged &= other[place + 2 * i] == lows[i] && other[place + 2 * i + 1] == highs[i];
    }
    for (size_t i = 0; i < 64; i += 1) {
      is_untouched &= other[place - 1 - i] == 0xa5 && other[place + 2 * count + i] == 0xa5;
    }
    expect(is_merged, "merged planes", "this processor", count, start);
    expect(is_untouched, "bytes beside merged planes", "this processor", count, start);
  }
  printf("planes: tested\n");
}

static void digest_text(const uint8_t digest[32], char text[digits + 1]) {
  for (int k = 0; k < 32; k += 1) snprintf(text + 2 * k, 3, "%02x", digest[k]);
}

static void test_blake3(const char *by) {
  char text[digits + 1], expected[digits + 1] = {0};
  uint8_t digest[32];
  for (size_t i = 0; i < memory_bytes; i += 1) other[i] = (uint8_t)(i % 251);
  for (size_t i = 0; i < blake3_count; i += 1) {
    wmbt_blake3_hex(other, blake3_vectors[i].length, text);
    expect(memcmp(text, blake3_vectors[i].digest, digits) == 0, "BLAKE3", by, blake3_vectors[i].length, 0);
  }
  for (int run = 0; run < 100; run += 1) {
    const size_t start = below(64), length = below(run % 10 == 0 ? 100000 : 3000);
    reference_blake3(memory + start, length, digest);
    digest_text(digest, expected);
    wmbt_blake3_hex(memory + start, length, text);
    expect(memcmp(text, expected, digits) == 0, "BLAKE3", by, length, start);
  }
}

static void test_chain(const char *by) {
  enum { tokens_of_block = 128, tokens_max = vectors_max * tokens_of_block };
  int32_t tokens[tokens_max];
  char keys[40 * digits];
  for (int i = 0; i < tokens_max; i += 1) tokens[i] = i;
  wmbt_blake3_hex((const uint8_t *)seed_input, strlen(seed_input), keys);
  expect(memcmp(keys, seed, digits) == 0, "seed of the contract", by, strlen(seed_input), 0);
  wmbt_chain_keys(seed, (const uint8_t *)tokens, tokens_of_block, key_count, keys);
  expect(memcmp(keys, chain_of_vectors, key_count * digits) == 0, "chain of the contract", by, key_count, 0);
  for (int run = 0; run < 20; run += 1) {
    const size_t block_tokens = 128 * (1 + below(4)), count = below(40), start = below(64);
    const size_t block_bytes = 4 * block_tokens;
    uint8_t input[digits + 4 * 512], digest[32];
    char tip[digits + 1] = {0};
    memcpy(tip, seed, digits);
    wmbt_chain_keys(seed, memory + start, block_tokens, count, keys);
    for (size_t block = 0; block < count; block += 1) {
      memcpy(input, tip, digits);
      memcpy(input + digits, memory + start + block * block_bytes, block_bytes);
      reference_blake3(input, digits + block_bytes, digest);
      digest_text(digest, tip);
      expect(memcmp(keys + block * digits, tip, digits) == 0, "key", by, block_bytes, block);
    }
  }
}

static void test_hashes(void) {
#if defined(__x86_64__)
  /* SSE2, SSSE3, SSE4.1, AVX, AVX2, AVX-512F, AVX-512VL, each with all before it. */
  static const char *const names[] = {"portable", "sse2", "ssse3", "sse41", "avx", "avx2", "avx512f", "avx512"};
  const int here = get_cpu_features();
  for (int level = 0; level < 8; level += 1) {
    const int features = (1 << level) - 1;
    const int is_here = (here & features) == features;
    printf("blake3 %s: %s\n", names[level], is_here ? "tested" : "not on this processor");
    if (!is_here) continue;
    g_cpu_features = features;
    test_blake3(names[level]);
    test_chain(names[level]);
  }
  g_cpu_features = here;
#else
  printf("blake3 of this processor: tested\n");
  test_blake3("this processor");
  test_chain("this processor");
#endif
}

enum { known_keys = 3000, known_slots = 32 };

/* By the definition: every entry of the shard is looked at. */
static struct wmbt_known_entry *known_entry(struct wmbt_known_table *table, uint32_t owner, const uint8_t *key) {
  struct wmbt_known_entry tag;
  const struct wmbt_known_shard *shard = &table->shards[wmbt_known_tag(&table->mix, owner, key, &tag)];
  for (size_t slot = 0; slot <= shard->mask; slot += 1) {
    struct wmbt_known_entry entry = shard->entries[slot];
    entry.word[3] &= ~(WMBT_KNOWN_FOUND | WMBT_KNOWN_MARK);
    if (memcmp(&entry, &tag, sizeof tag) == 0) return &shard->entries[slot];
  }
  return NULL;
}

static void add_known(struct wmbt_known_table *table, uint32_t owner, const uint8_t *key) {
  struct wmbt_known_entry tag;
  const struct wmbt_known_shard *shard = &table->shards[wmbt_known_tag(&table->mix, owner, key, &tag)];
  size_t taken = 0;
  for (size_t slot = 0; slot <= shard->mask; slot += 1) taken += shard->entries[slot].word[3] != 0;
  if (taken * 4 >= 3 * ((size_t)shard->mask + 1)) return;
  uint32_t slot = tag.word[0] & shard->mask;
  while (shard->entries[slot].word[3] != 0) slot = (slot + 1) & shard->mask;
  if (below(2) == 0) tag.word[3] |= WMBT_KNOWN_MARK;
  shard->entries[slot] = tag;
}

static void test_known(void) {
  struct wmbt_known_table table;
  for (size_t i = 0; i < wmbt_known_lanes; i += 1) {
    table.mix.multipliers[i] = (uint32_t)next_random() | 1;
    table.mix.starts[i] = (uint32_t)next_random();
  }
  for (size_t i = 0; i < wmbt_known_shards; i += 1) {
    /* Each by itself, so that a look behind its end is seen. */
    table.shards[i].entries = calloc(known_slots, sizeof(struct wmbt_known_entry));
    table.shards[i].mask = known_slots - 1;
    if (table.shards[i].entries == NULL) abort();
  }
  for (size_t i = 0; i < known_keys; i += 1) {
    if (i % 100 != 0) add_known(&table, 1 + (uint32_t)(i & 1), memory + 32 * i);
  }
  for (int run = 0; run < 2000; run += 1) {
    const size_t first = below(known_keys), count = below(run % 10 == 0 ? known_keys - first + 1 : 4);
    const uint32_t owner = 1 + (uint32_t)below(2);
    /* Of one owner every other key is there: keys of a run are two apart. */
    size_t expected = 0, size = 0;
    for (size_t i = first; i < known_keys && size < count; i += 2) memcpy(other + 32 * size++, memory + 32 * i, 32);
    while (expected < size && known_entry(&table, owner, other + 32 * expected) != NULL) expected += 1;
    const size_t known = wmbt_known_find_leading(&table, other, size, owner);
    expect(known == expected, "leading known keys", "the table", size, first);
    for (size_t i = 0; i < known; i += 1) {
      const struct wmbt_known_entry *entry = known_entry(&table, owner, other + 32 * i);
      expect((entry->word[3] & WMBT_KNOWN_FOUND) != 0, "marks of found keys", "the table", size, i);
    }
  }
  for (size_t i = 0; i < wmbt_known_shards; i += 1) free(table.shards[i].entries);
}

int main(int argc, char **argv) {
  if (argc != 3 || !read_vectors(argv[2])) {
    fprintf(stderr, "usage: kernels-test SEED VECTORS\n");
    return 2;
  }
  const uint64_t start = strtoull(argv[1], NULL, 10);
  random_state = start * UINT64_C(0x9e3779b97f4a7c15) + 1;
  memory = malloc(memory_bytes);
  other = malloc(memory_bytes);
  if (memory == NULL || other == NULL) return 2;
  for (size_t i = 0; i < memory_bytes; i += 1) memory[i] = (uint8_t)next_random();
  memcpy(other, memory, memory_bytes);
  test_crc();
  test_combine();
  test_hex();
  test_planes();
  test_hashes();
  test_known();
  printf("seed %llu: %u failed\n", (unsigned long long)start, failures);
  free(memory);
  free(other);
  return failures == 0 ? 0 : 1;
}
