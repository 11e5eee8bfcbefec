/*
 * An engine in C on the daemon's host, and a copy of the same bytes by memcpy (M): the store that the environment
 * names, one thread. Reads orders from its input, a line each, and answers each with a line of numbers, nanoseconds
 * unless said otherwise:
 *
 *   hashes COUNT          makes the hashes of bench/one-host/index-memory.ts, and keeps those that are found: how many
 *   lookup CALLS          lookups of 80 of them, other ones each time: median and 99th percentile of a call
 *   marked CALLS          lookups and gets of such hashes, getppid() before and after them: CALLS
 *   blocks COUNT BYTES    puts blocks and gets them until they lie in shared memory: COUNT
 *   get CALLS             all blocks in one get, and their release: median and 99th percentile
 *   one CALLS             one block in a get, and its release: mean of a call
 *   out CALLS             all blocks in one get, copied out: median
 *   copy CALLS            the same bytes copied from memory of its own: median
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <wombatkv.h>

enum { chain_blocks = 80, blocks_max = 4096, part_blocks = 400, times_max = 100000, tries_max = 500 };

typedef char hash[65];

static wmbt_kv_handle_t *handle;
static hash *hashes;
static size_t hash_count;
static hash names[blocks_max];
static const char *block_hashes[blocks_max];
static uint8_t *payloads[blocks_max], *target;
static size_t lens[blocks_max], block_count;
static uint64_t state = 88172645463325252u;

static void check(int is_well, const char *what) {
  if (is_well) return;
  const char *why = wmbt_kv_last_error();
  fprintf(stderr, "%s: %s\n", what, why == NULL ? "no error" : why);
  exit(1);
}

static uint64_t next_random(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static void hash_of(char kind, uint32_t number, hash digits) {
  const uint8_t text[5] = {(uint8_t)kind, (uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16),
                           (uint8_t)(number >> 24)};
  wmbt_kv_blake3_64hex(text, sizeof text, digits);
}

static int compare(const void *one, const void *other) {
  const int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
  return (a > b) - (a < b);
}

/* Prints the median and the 99th percentile. */
static void print_times(int64_t *times, size_t count) {
  qsort(times, count, sizeof *times, compare);
  printf("%lld %lld\n", (long long)times[count / 2], (long long)times[count - 1 - count / 100]);
}

/* For any number of calls the same: it would be counted among the calls to the system. */
static int64_t *new_times(size_t count) {
  static int64_t times[times_max];
  check(count > 0 && count <= times_max, "number of calls");
  return times;
}

static void make_hashes(size_t count) {
  hashes = malloc(count * sizeof *hashes);
  check(hashes != NULL, "memory for hashes");
  for (size_t i = 0; i < count; i += 1) {
    hash_of('i', (uint32_t)i, hashes[hash_count]);
    const char *key = hashes[hash_count];
    size_t matched = 0;
    check(wmbt_kv_lookup_block_prefix(handle, "", &key, 1, &matched, NULL, 0) == 0, "lookup");
    /* A few find no place in the index: the daemon is asked for them, and this one knows none. */
    hash_count += matched;
  }
  printf("%zu\n", hash_count);
}

/* The texts of a call are in the cache, as those that an engine has just computed; nothing else of it is. */
static void choose(const char *keys[chain_blocks]) {
  static hash chain[chain_blocks];
  for (size_t i = 0; i < chain_blocks; i += 1) {
    memcpy(chain[i], hashes[next_random() % hash_count], sizeof chain[i]);
    keys[i] = chain[i];
  }
}

static void look_up(size_t calls) {
  int64_t *times = new_times(calls);
  const char *keys[chain_blocks];
  for (size_t call = 0; call < calls; call += 1) {
    choose(keys);
    size_t matched = 0;
    const int64_t start = now();
    const int32_t rc = wmbt_kv_lookup_block_prefix(handle, "", keys, chain_blocks, &matched, NULL, 0);
    times[call] = now() - start;
    check(rc == 0 && matched == chain_blocks, "lookup");
  }
  print_times(times, calls);
}

struct loan {
  const uint8_t **bytes;
  const size_t *lens;
  wmbt_kv_borrow_t *borrow;
};

static struct loan borrow_from(size_t first, size_t count) {
  struct loan loan = {0};
  check(wmbt_kv_get_kv_blocks_borrowed(handle, "", block_hashes + first, count, &loan.bytes, &loan.lens,
                                       &loan.borrow) == 1,
        "get");
  return loan;
}

static void look_up_and_get(size_t calls) {
  const char *keys[chain_blocks];
  for (size_t call = 0; call < calls; call += 1) {
    choose(keys);
    size_t matched = 0;
    struct loan loan;
    check(wmbt_kv_lookup_block_prefix(handle, "", keys, chain_blocks, &matched, NULL, 0) == 0, "lookup");
    check(wmbt_kv_get_kv_blocks_borrowed(handle, "", keys, chain_blocks, &loan.bytes, &loan.lens, &loan.borrow) == 1,
          "get");
    wmbt_kv_release_borrow(loan.borrow);
  }
}

/* What has to be mapped is mapped by the first calls. */
static void look_up_marked(size_t calls) {
  look_up_and_get(calls);
  syscall(SYS_getppid);
  look_up_and_get(calls);
  syscall(SYS_getppid);
  printf("%zu\n", calls);
}

/* Two gets of what is lent give the same place; of what is copied they do not. */
static int are_lent(void) {
  int are = 1;
  /* A client borrows at most 1,016 blocks at once. */
  for (size_t first = 0; first < block_count; first += part_blocks) {
    const size_t count = block_count - first < part_blocks ? block_count - first : part_blocks;
    struct loan one = borrow_from(first, count), other = borrow_from(first, count);
    for (size_t i = 0; i < count; i += 1) are = are && one.bytes[i] == other.bytes[i];
    wmbt_kv_release_borrow(one.borrow);
    wmbt_kv_release_borrow(other.borrow);
  }
  return are;
}

static void make_blocks(size_t count, size_t length) {
  static uint32_t made;
  check(count <= blocks_max, "number of blocks");
  check(block_count == 0, "blocks are made once");
  uint8_t *memory = malloc(count * length);
  target = malloc(count * length);
  check(target != NULL && memory != NULL, "memory");
  memset(target, 1, count * length);
  for (size_t i = 0; i < count; i += 1) {
    hash_of('b', made++, names[i]);
    block_hashes[i] = names[i];
    lens[i] = length;
    payloads[i] = memory + i * length;
    for (size_t at = 0; at < length; at += 8) {
      const uint64_t word = next_random();
      memcpy(payloads[i] + at, &word, length - at < 8 ? length - at : 8);
    }
  }
  block_count = count;
  check(wmbt_kv_put_kv_blocks(handle, "", block_hashes, (const uint8_t *const *)payloads, lens, count) ==
            (int64_t)(count * length),
        "put");
  int tries = 0;
  for (; !are_lent(); tries += 1) {
    check(tries < tries_max, "the blocks do not come to lie in shared memory");
    usleep(10000);
  }
  printf("%zu\n", count);
}

static void get_all(size_t calls) {
  int64_t *times = new_times(calls);
  for (size_t call = 0; call < calls; call += 1) {
    const int64_t start = now();
    const struct loan loan = borrow_from(0, block_count);
    wmbt_kv_release_borrow(loan.borrow);
    times[call] = now() - start;
  }
  print_times(times, calls);
}

static void get_one(size_t calls) {
  const int64_t start = now();
  for (size_t call = 0; call < calls; call += 1) {
    const struct loan loan = borrow_from(next_random() % block_count, 1);
    wmbt_kv_release_borrow(loan.borrow);
  }
  printf("%.1f\n", (double)(now() - start) / (double)calls);
}

static void copy_out(size_t calls, int is_store) {
  int64_t *times = new_times(calls);
  for (size_t call = 0; call < calls; call += 1) {
    const int64_t start = now();
    struct loan loan = {.bytes = (const uint8_t **)payloads, .lens = lens};
    if (is_store) loan = borrow_from(0, block_count);
    uint8_t *to = target;
    for (size_t i = 0; i < block_count; i += 1, to += lens[i]) memcpy(to, loan.bytes[i], lens[i]);
    if (is_store) wmbt_kv_release_borrow(loan.borrow);
    times[call] = now() - start;
  }
  print_times(times, calls);
}

int main(void) {
  handle = wmbt_kv_init_from_env();
  check(handle != NULL, "open");
  char line[128], order[16];
  while (fgets(line, sizeof line, stdin) != NULL) {
    size_t number = 0, length = 0;
    check(sscanf(line, "%15s %zu %zu", order, &number, &length) >= 2, line);
    if (strcmp(order, "hashes") == 0) make_hashes(number);
    if (strcmp(order, "lookup") == 0) look_up(number);
    if (strcmp(order, "marked") == 0) look_up_marked(number);
    if (strcmp(order, "blocks") == 0) make_blocks(number, length);
    if (strcmp(order, "get") == 0) get_all(number);
    if (strcmp(order, "one") == 0) get_one(number);
    if (strcmp(order, "out") == 0) copy_out(number, 1);
    if (strcmp(order, "copy") == 0) copy_out(number, 0);
    fflush(stdout);
  }
  wmbt_kv_free(handle);
  return 0;
}
