/*
 * An engine in C that knows the fifteen functions of ABI 1.0 alone, linked to one library of them or another, with the
 * store that the environment names; one thread. Reads orders from its input, a line each, and answers each with a line
 * of numbers, nanoseconds unless said otherwise:
 *
 *   open                   opens the store
 *   fill COUNT BYTES       makes blocks, half of each random and half zeros: COUNT
 *   name SEED              gives them names and first bytes that follow from the seed: COUNT
 *   put CALLS              all blocks in one put, under the names they have: median, 99th percentile and mean of a call
 *   found                  a lookup of all blocks: its time, and how many are found
 *   lookup CALLS           lookups of all blocks, which are there: as of put
 *   get CALLS              all blocks in one get, and their release: as of put
 *   out CALLS              all blocks in one get, copied out: as of put
 *   copy CALLS             the same bytes copied from memory of its own: as of put
 *   verify                 gets all blocks and compares them: its time without the comparison, and COUNT
 *   tail BYTES SEED        puts a tail and gets it; compares it: the time of both, and of the put
 *   small-put CALLS SEED   blocks of 4 KiB, one in a put, under new names: mean of a call
 *   small-get CALLS        one of those in a get, and its release: mean of a call
 *   settle                 waits until nothing of what was put is under way, where the library can: 1, else 0
 */
#define _GNU_SOURCE
#include "../../capi/test/programs/contract.h"
#include "../one-host/timing.h"

enum { blocks_max = 512, small_bytes = 4096, small_max = 20000 };

static const char space[] = "default";

/* Of ABI 1.1; NULL with a library that has 1.0 alone, whose puts return when all is done. */
extern int32_t wmbt_kv_flush(wmbt_kv_handle_t *handle, const char *ns, const void *call) __attribute__((weak));

static wmbt_kv_handle_t *handle;
static char names[blocks_max][65], small_names[small_max][65];
static const char *hashes[blocks_max];
static const uint8_t *payloads[blocks_max];
static struct block_memory memory;
static size_t lens[blocks_max], block_count, block_bytes, small_count;

static const char *reason(void) {
  return wmbt_kv_last_error();
}

static void name_of(char kind, uint32_t seed, uint32_t number, char digits[65]) {
  const uint32_t text[3] = {(uint32_t)kind, seed, number};
  check(wmbt_kv_blake3_64hex((const uint8_t *)text, sizeof text, digits) == 0, "hash");
}

static void open_store(void) {
  const int64_t start = now();
  handle = wmbt_kv_init_from_env();
  const int64_t time = now() - start;
  check(handle != NULL, "open");
  printf("%lld\n", (long long)time);
}

static void fill_blocks(size_t count, size_t length) {
  check(count > 0 && count <= blocks_max && length >= 16 && block_count == 0, "number of blocks");
  memory = new_blocks(count, length);
  block_count = count;
  block_bytes = length;
  for (size_t i = 0; i < count; i += 1) {
    memset(memory.payloads + i * length + length / 2, 0, length - length / 2);
    payloads[i] = memory.payloads + i * length;
    hashes[i] = names[i];
    lens[i] = length;
  }
  printf("%zu\n", count);
}

/* Bytes of another name never pass for those of this one. */
static void name_blocks(uint32_t seed) {
  for (size_t i = 0; i < block_count; i += 1) {
    name_of('b', seed, (uint32_t)i, names[i]);
    const uint32_t mark[2] = {seed, (uint32_t)i};
    memcpy(memory.payloads + i * block_bytes, mark, sizeof mark);
  }
  printf("%zu\n", block_count);
}

static void put_blocks(size_t calls) {
  int64_t *times = new_times(calls);
  for (size_t call = 0; call < calls; call += 1) {
    const int64_t start = now();
    const int64_t bytes = wmbt_kv_put_kv_blocks(handle, space, hashes, payloads, lens, block_count);
    times[call] = now() - start;
    check(bytes == (int64_t)(block_count * block_bytes), "put");
  }
  print_times(times, calls);
}

static size_t look_up(int64_t *time) {
  size_t matched = 0;
  const int64_t start = now();
  const int32_t rc = wmbt_kv_lookup_block_prefix(handle, space, hashes, block_count, &matched, NULL, 0);
  *time = now() - start;
  check(rc == 0, "lookup");
  return matched;
}

static void find_blocks(void) {
  int64_t time;
  const size_t matched = look_up(&time);
  printf("%lld %zu\n", (long long)time, matched);
}

static void look_up_often(size_t calls) {
  int64_t *times = new_times(calls);
  for (size_t call = 0; call < calls; call += 1) check(look_up(times + call) == block_count, "blocks are not found");
  print_times(times, calls);
}

struct loan {
  const uint8_t **bytes;
  const size_t *lens;
  wmbt_kv_borrow_t *borrow;
};

static struct loan borrow_blocks(const char *const *which, size_t count) {
  struct loan loan = {0};
  const int32_t rc =
      wmbt_kv_get_kv_blocks_borrowed(handle, space, which, count, &loan.bytes, &loan.lens, &loan.borrow);
  check(rc == 1, "get");
  return loan;
}

static void get_often(size_t calls) {
  int64_t *times = new_times(calls);
  for (size_t call = 0; call < calls; call += 1) {
    const int64_t start = now();
    wmbt_kv_release_borrow(borrow_blocks(hashes, block_count).borrow);
    times[call] = now() - start;
  }
  print_times(times, calls);
}

static void copy_often(size_t calls, int is_store) {
  int64_t *times = new_times(calls);
  for (size_t call = 0; call < calls; call += 1) {
    const int64_t start = now();
    struct loan loan = {.bytes = payloads, .lens = lens};
    if (is_store) loan = borrow_blocks(hashes, block_count);
    uint8_t *to = memory.target;
    for (size_t i = 0; i < block_count; i += 1, to += lens[i]) memcpy(to, loan.bytes[i], lens[i]);
    if (is_store) wmbt_kv_release_borrow(loan.borrow);
    times[call] = now() - start;
  }
  print_times(times, calls);
}

static void verify_blocks(void) {
  const int64_t start = now();
  const struct loan loan = borrow_blocks(hashes, block_count);
  const int64_t time = now() - start;
  for (size_t i = 0; i < block_count; i += 1) {
    check(loan.lens[i] == lens[i] && memcmp(loan.bytes[i], payloads[i], lens[i]) == 0,
          "a block comes back otherwise than it was put");
  }
  wmbt_kv_release_borrow(loan.borrow);
  printf("%lld %zu\n", (long long)time, block_count);
}

static void put_and_get_tail(size_t length, uint32_t seed) {
  uint8_t *bytes = malloc(length);
  check(bytes != NULL, "memory");
  fill_random(bytes, length);
  char tip[65];
  name_of('t', seed, 0, tip);
  const uint8_t *found = NULL;
  size_t found_length = 0;
  wmbt_kv_borrow_t *borrow = NULL;
  const int64_t start = now();
  check(wmbt_kv_put_raw_tail(handle, space, tip, bytes, length, NULL, 0) == 0, "put of a tail");
  const int64_t put_time = now() - start;
  const int32_t rc = wmbt_kv_get_raw_tail_borrowed(handle, space, tip, &found, &found_length, &borrow, NULL, 0);
  const int64_t time = now() - start;
  check(rc == 1 && found_length == length && memcmp(found, bytes, length) == 0,
        "a tail comes back otherwise than it was put");
  wmbt_kv_release_borrow(borrow);
  free(bytes);
  printf("%lld %lld\n", (long long)time, (long long)put_time);
}

static void put_small(size_t calls, uint32_t seed) {
  static uint8_t bytes[small_bytes];
  static const uint8_t *const list[] = {bytes};
  static const size_t length[] = {small_bytes};
  check(calls > 0 && calls <= small_max, "number of calls");
  small_count = calls;
  for (size_t i = 0; i < calls; i += 1) name_of('s', seed, (uint32_t)i, small_names[i]);
  fill_random(bytes, sizeof bytes / 2);
  const int64_t start = now();
  for (size_t i = 0; i < calls; i += 1) {
    const char *const name[] = {small_names[i]};
    check(wmbt_kv_put_kv_blocks(handle, space, name, list, length, 1) == small_bytes, "put of a small block");
  }
  printf("%.1f\n", (double)(now() - start) / (double)calls);
}

static void get_small(size_t calls) {
  check(calls > 0 && small_count > 0, "number of calls");
  const int64_t start = now();
  for (size_t i = 0; i < calls; i += 1) {
    const char *const name[] = {small_names[next_random() % small_count]};
    wmbt_kv_release_borrow(borrow_blocks(name, 1).borrow);
  }
  printf("%.1f\n", (double)(now() - start) / (double)calls);
}

static void settle(void) {
  if (wmbt_kv_flush != NULL) check(wmbt_kv_flush(handle, space, NULL) == 0, "flush");
  printf("%d\n", wmbt_kv_flush != NULL);
}

static void obey(const char *order, size_t number, size_t other) {
  if (strcmp(order, "open") == 0) return open_store();
  if (strcmp(order, "fill") == 0) return fill_blocks(number, other);
  if (strcmp(order, "name") == 0) return name_blocks((uint32_t)number);
  check(handle != NULL, "a store must be opened first");
  if (strcmp(order, "put") == 0) return put_blocks(number);
  if (strcmp(order, "found") == 0) return find_blocks();
  if (strcmp(order, "lookup") == 0) return look_up_often(number);
  if (strcmp(order, "get") == 0) return get_often(number);
  if (strcmp(order, "out") == 0) return copy_often(number, 1);
  if (strcmp(order, "copy") == 0) return copy_often(number, 0);
  if (strcmp(order, "verify") == 0) return verify_blocks();
  if (strcmp(order, "tail") == 0) return put_and_get_tail(number, (uint32_t)other);
  if (strcmp(order, "small-put") == 0) return put_small(number, (uint32_t)other);
  if (strcmp(order, "small-get") == 0) return get_small(number);
  check(strcmp(order, "settle") == 0, order);
  settle();
}

int main(void) {
  take_orders(obey);
  wmbt_kv_free(handle);
  return 0;
}
