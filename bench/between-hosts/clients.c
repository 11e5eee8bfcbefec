/*
 * Many clients in C of a daemon, in one process: each is a thread with a handle of its own, of the store that the
 * environment names. Reads orders from its input, a line each, and answers each with a line of numbers, nanoseconds
 * unless said otherwise:
 *
 *   fill COUNT BYTES      makes blocks under new names, puts them, and waits until they are uploaded: COUNT
 *   load CLIENTS MS       so many clients get all blocks over and over, for so long: bytes that came, and the time
 *   beside CLIENTS CALLS  lookups of all blocks while so many clients get them: median, 99th percentile, mean of a call
 *   saving CLIENTS CALLS  the same while so many clients put the same bytes under new names
 *   away CALLS            gets while the daemon is away; the first does not count: the longest
 *   back                  one get, which must succeed: its time
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>

#include <wombatkv.h>

#include "../one-host/timing.h"

enum { blocks_max = 80, clients_max = 16, rest_us = 2000, away_rest_us = 25000 };

typedef char hash[65];

/* What every client gets: written by fill alone. */
static wmbt_kv_handle_t *handle;
static hash names[blocks_max];
static const char *block_hashes[blocks_max];
static const uint8_t *payloads[blocks_max];
static size_t lens[blocks_max], block_count, batch_bytes;

static atomic_uint names_made;
static atomic_int is_moving, ready_count;
static atomic_ullong bytes_moved;

static const char *reason(void) {
  return wmbt_kv_last_error();
}

/* Names that no process has given to blocks before. */
static void name_blocks(hash digits[blocks_max]) {
  for (size_t i = 0; i < block_count; i += 1) {
    const uint32_t text[2] = {(uint32_t)getpid(), atomic_fetch_add(&names_made, 1)};
    wmbt_kv_blake3_64hex((const uint8_t *)text, sizeof text, digits[i]);
  }
}

/* Whether all blocks came. */
static int get_all(wmbt_kv_handle_t *from) {
  const uint8_t **bytes;
  const size_t *sizes;
  wmbt_kv_borrow_t *borrow;
  if (wmbt_kv_get_kv_blocks_borrowed(from, "", block_hashes, block_count, &bytes, &sizes, &borrow) != 1) return 0;
  wmbt_kv_release_borrow(borrow);
  return 1;
}

static void put_all(wmbt_kv_handle_t *to, const char *const *hashes) {
  check(wmbt_kv_put_kv_blocks(to, "", hashes, payloads, lens, block_count) == (int64_t)batch_bytes, "put");
}

static void fill(size_t count, size_t length) {
  check(count > 0 && count <= blocks_max && block_count == 0, "number of blocks");
  const struct block_memory memory = new_blocks(count, length);
  block_count = count;
  batch_bytes = count * length;
  name_blocks(names);
  for (size_t i = 0; i < count; i += 1) {
    lens[i] = length;
    payloads[i] = memory.payloads + i * length;
    block_hashes[i] = names[i];
  }
  put_all(handle, block_hashes);
  check(wmbt_kv_flush(handle, "", NULL) == 0, "flush");
  check(get_all(handle), "get");
  printf("%zu\n", count);
}

/* Its connections are made, and its memory is warm, before it is ready. */
static void *load_on(void *unused) {
  wmbt_kv_handle_t *own = wmbt_kv_init_from_env();
  check(own != NULL && get_all(own), "a client");
  atomic_fetch_add(&ready_count, 1);
  while (atomic_load(&is_moving)) {
    check(get_all(own), "get");
    atomic_fetch_add(&bytes_moved, batch_bytes);
  }
  wmbt_kv_free(own);
  return unused;
}

static void *save_on(void *unused) {
  hash digits[blocks_max];
  const char *hashes[blocks_max];
  for (size_t i = 0; i < block_count; i += 1) hashes[i] = digits[i];
  wmbt_kv_handle_t *own = wmbt_kv_init_from_env();
  check(own != NULL, "a client");
  atomic_fetch_add(&ready_count, 1);
  while (atomic_load(&is_moving)) {
    name_blocks(digits);
    put_all(own, hashes);
  }
  wmbt_kv_free(own);
  return unused;
}

static size_t client_count;
static pthread_t clients[clients_max];

/* Returns when all of them are ready. */
static void start_clients(size_t count, void *(*work)(void *)) {
  check(count > 0 && count <= clients_max, "number of clients");
  atomic_store(&is_moving, 1);
  atomic_store(&ready_count, 0);
  for (client_count = 0; client_count < count; client_count += 1) {
    check(pthread_create(&clients[client_count], NULL, work, NULL) == 0, "a thread");
  }
  while (atomic_load(&ready_count) < (int)count) usleep(1000);
}

static void stop_clients(void) {
  atomic_store(&is_moving, 0);
  for (size_t i = 0; i < client_count; i += 1) pthread_join(clients[i], NULL);
}

static void load_together(size_t count, size_t milliseconds) {
  start_clients(count, load_on);
  const int64_t start = now();
  atomic_store(&bytes_moved, 0);
  usleep((useconds_t)(milliseconds * 1000));
  stop_clients();
  printf("%llu %lld\n", (unsigned long long)atomic_load(&bytes_moved), (long long)(now() - start));
}

static void look_up_beside(size_t count, size_t calls, void *(*work)(void *)) {
  int64_t *times = new_times(calls);
  start_clients(count, work);
  for (size_t call = 0; call < calls; call += 1) {
    size_t matched = 0;
    const int64_t start = now();
    const int32_t rc = wmbt_kv_lookup_block_prefix(handle, "", block_hashes, block_count, &matched, NULL, 0);
    times[call] = now() - start;
    check(rc == 0 && matched == block_count, "lookup");
    usleep(rest_us);
  }
  stop_clients();
  print_times(times, calls);
}

static void fail_often(size_t calls) {
  int64_t longest = 0;
  check(!get_all(handle), "a daemon that was killed answers");
  for (size_t call = 0; call < calls; call += 1) {
    const int64_t start = now();
    check(!get_all(handle), "a daemon that was killed answers");
    const int64_t time = now() - start;
    longest = time > longest ? time : longest;
    /* So that attempts to reach it fall between the calls too. */
    usleep(away_rest_us);
  }
  printf("%lld\n", (long long)longest);
}

static void get_back(void) {
  const int64_t start = now();
  check(get_all(handle), "the first get when the daemon is back");
  printf("%lld\n", (long long)(now() - start));
}

static void obey(const char *order, size_t first, size_t second) {
  if (strcmp(order, "fill") == 0) return fill(first, second);
  if (strcmp(order, "load") == 0) return load_together(first, second);
  if (strcmp(order, "beside") == 0) return look_up_beside(first, second, load_on);
  if (strcmp(order, "saving") == 0) return look_up_beside(first, second, save_on);
  if (strcmp(order, "away") == 0) return fail_often(first);
  check(strcmp(order, "back") == 0, order);
  get_back();
}

int main(void) {
  handle = wmbt_kv_init_from_env();
  check(handle != NULL, "open");
  take_orders(obey);
  wmbt_kv_free(handle);
  return 0;
}
