/*
 * An engine in C on the daemon's host, and a copy of the same bytes by memcpy (M): the store that the environment
 * names, one thread. Reads orders from its input, a line each, and answers each with a line of numbers, nanoseconds
 * unless said otherwise:
 *
 *   hashes COUNT          makes the hashes of bench/one-host/index-memory.ts, and keeps those that are found: how many
 *   lookup CALLS          lookups of 80 of them, other ones each time: median, 99th percentile and mean of a call
 *   marked CALLS          lookups and gets of such hashes, getppid() before and after them: CALLS
 *   fill COUNT BYTES      makes blocks under new names, and puts none: COUNT
 *   blocks COUNT BYTES    the same, puts them, and gets them until they lie in shared memory: COUNT
 *   get CALLS             all blocks in one get, and their release: median, 99th percentile and mean of a call
 *   touch CALLS           the same, and a byte of each page is read before the release
 *   one CALLS             one block in a get, and its release: mean of a call
 *   out CALLS             all blocks in one get, copied out: as of get
 *   copy CALLS            the same bytes copied from memory of its own: as of get
 *   put CALLS             all blocks in one put, under new names in each: as of get
 *   again CALLS           all blocks in one put, under the names they have: as of get
 *   known CALLS           lookups of 80 of the blocks that were put last, other ones each time: as of get
 *   settle                waits for all uploads; gets what was put last and compares it: how many blocks
 *   drop                  deletes what was put last: how many blocks
 */
#define _GNU_SOURCE
#include <sys/syscall.h>

#include <wombatkv.h>

#include "timing.h"

enum { chain_blocks = 80, blocks_max = 4096, part_blocks = 400, tries_max = 500 };

typedef char hash[65];

static wmbt_kv_handle_t *handle;
static hash *hashes;
static size_t hash_count;
static hash names[blocks_max];
static const char *block_hashes[blocks_max];
static uint8_t *payloads[blocks_max], *target;
static size_t lens[blocks_max], block_count;
static const char *reason(void) {
  return wmbt_kv_last_error();
}

static void hash_of(char kind, uint32_t number, hash digits) {
  const uint8_t text[5] = {(uint8_t)kind, (uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16),
                           (uint8_t)(number >> 24)};
  wmbt_kv_blake3_64hex(text, sizeof text, digits);
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
static void choose_of(hash *all, size_t count, const char *keys[chain_blocks]) {
  static hash chain[chain_blocks];
  for (size_t i = 0; i < chain_blocks; i += 1) {
    memcpy(chain[i], all[next_random() % count], sizeof chain[i]);
    keys[i] = chain[i];
  }
}

static void choose(const char *keys[chain_blocks]) { choose_of(hashes, hash_count, keys); }

/* Of so many of those hashes. */
static void look_up_of(hash *all, size_t count, size_t calls) {
  int64_t *times = new_times(calls);
  const char *keys[chain_blocks];
  for (size_t call = 0; call < calls; call += 1) {
    choose_of(all, count, keys);
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

/* Names that no process has given to blocks before. */
static void name_blocks(void) {
  static uint32_t made;
  for (size_t i = 0; i < block_count; i += 1) {
    const uint32_t text[2] = {(uint32_t)getpid(), made++};
    wmbt_kv_blake3_64hex((const uint8_t *)text, sizeof text, names[i]);
    block_hashes[i] = names[i];
  }
}

static void fill_blocks(size_t count, size_t length) {
  check(count <= blocks_max, "number of blocks");
  check(block_count == 0, "blocks are made once");
  const struct block_memory memory = new_blocks(count, length);
  target = memory.target;
  for (size_t i = 0; i < count; i += 1) {
    lens[i] = length;
    payloads[i] = memory.payloads + i * length;
  }
  block_count = count;
  name_blocks();
}

static void put_from(size_t first, size_t count) {
  int64_t bytes = 0;
  for (size_t i = first; i < first + count; i += 1) bytes += (int64_t)lens[i];
  check(wmbt_kv_put_kv_blocks(handle, "", block_hashes + first, (const uint8_t *const *)payloads + first, lens + first,
                              count) == bytes,
        "put");
}

static void put_all(void) { put_from(0, block_count); }

static void make_blocks(size_t count, size_t length) {
  fill_blocks(count, length);
  /* A machine that does other things besides takes longer for all at once than a put may. */
  for (size_t first = 0; first < count; first += part_blocks) {
    put_from(first, count - first < part_blocks ? count - first : part_blocks);
  }
  for (int tries = 0; !are_lent(); tries += 1) {
    check(tries < tries_max, "the blocks do not come to lie in shared memory");
    usleep(10000);
  }
  printf("%zu\n", count);
}

/* Hashes are made before the clock runs, as an engine has them for its lookup. */
static void put_often(size_t calls, int is_new) {
  int64_t *times = new_times(calls);
  for (size_t call = 0; call < calls; call += 1) {
    if (is_new) name_blocks();
    const int64_t start = now();
    put_all();
    times[call] = now() - start;
  }
  print_times(times, calls);
}

/* After this nothing of what was put is under way; what was put last is read back and compared. */
static void settle(void) {
  check(wmbt_kv_flush(handle, "", NULL) == 0, "flush");
  for (size_t first = 0; first < block_count; first += part_blocks) {
    const size_t count = block_count - first < part_blocks ? block_count - first : part_blocks;
    const struct loan loan = borrow_from(first, count);
    for (size_t i = 0; i < count; i += 1) {
      check(loan.lens[i] == lens[first + i] && memcmp(loan.bytes[i], payloads[first + i], loan.lens[i]) == 0,
            "a block comes back otherwise than it was put");
    }
    wmbt_kv_release_borrow(loan.borrow);
  }
  printf("%zu\n", block_count);
}

static void drop(void) {
  check(wmbt_kv_delete(handle, "", WMBT_KV_DELETE_BLOCKS, block_hashes, block_count, NULL, NULL) == 0, "delete");
  printf("%zu\n", block_count);
}

static void get_all(size_t calls, int is_touched) {
  int64_t *times = new_times(calls);
  for (size_t call = 0; call < calls; call += 1) {
    const int64_t start = now();
    const struct loan loan = borrow_from(0, block_count);
    for (size_t i = 0; is_touched && i < block_count; i += 1) touch(loan.bytes[i], loan.lens[i]);
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

static void obey(const char *order, size_t number, size_t length) {
  if (strcmp(order, "hashes") == 0) return make_hashes(number);
  if (strcmp(order, "lookup") == 0) return look_up_of(hashes, hash_count, number);
  if (strcmp(order, "known") == 0) return look_up_of(names, block_count, number);
  if (strcmp(order, "marked") == 0) return look_up_marked(number);
  if (strcmp(order, "blocks") == 0) return make_blocks(number, length);
  if (strcmp(order, "get") == 0) return get_all(number, 0);
  if (strcmp(order, "touch") == 0) return get_all(number, 1);
  if (strcmp(order, "one") == 0) return get_one(number);
  if (strcmp(order, "out") == 0) return copy_out(number, 1);
  if (strcmp(order, "copy") == 0) return copy_out(number, 0);
  if (strcmp(order, "put") == 0) return put_often(number, 1);
  if (strcmp(order, "again") == 0) return put_often(number, 0);
  if (strcmp(order, "settle") == 0) return settle();
  if (strcmp(order, "drop") == 0) return drop();
  check(strcmp(order, "fill") == 0, order);
  fill_blocks(number, length);
  printf("%zu\n", block_count);
}

int main(void) {
  handle = wmbt_kv_init_from_env();
  check(handle != NULL, "open");
  take_orders(obey);
  wmbt_kv_free(handle);
  return 0;
}
