/* Blocks that are lent in the daemon's shared memory. Its memory tier has 16 MiB. The other side plays along. */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "shared.h"

enum { mebibyte = 1048576, thread_count = 8 };

bool lies_in_segment(const uint8_t *bytes) {
  FILE *maps = fopen("/proc/self/maps", "r");
  if (maps == NULL) exit(2);
  char line[4600];
  bool is_found = false;
  while (!is_found && fgets(line, sizeof line, maps) != NULL) {
    unsigned long long start, end;
    if (sscanf(line, "%llx-%llx", &start, &end) != 2 || strstr(line, "/segment-") == NULL) continue;
    is_found = (uintptr_t)bytes >= start && (uintptr_t)bytes < end;
  }
  (void)fclose(maps);
  return is_found;
}

struct loan borrow_blocks(wmbt_kv_handle_t *handle, const struct batch *batch) {
  struct loan loan = {0};
  const int32_t rc = wmbt_kv_get_kv_blocks_borrowed(handle, "", batch->hashes, batch->count, &loan.payloads, &loan.lens,
                                                    &loan.borrow);
  CHECK(rc == 1, "get gives %d: %s", rc, wmbt_kv_last_error() == NULL ? "no error" : wmbt_kv_last_error());
  if (rc != 1) loan.borrow = NULL;
  return loan;
}

bool were_in_memory(wmbt_kv_handle_t *handle, const struct batch *batch) {
  const wmbt_kv_payload_t *payloads = NULL;
  size_t count = 0;
  wmbt_kv_borrow_t *borrow = NULL;
  const int32_t rc = wmbt_kv_load(handle, "", batch->hashes, batch->count, NULL, &payloads, &count, &borrow);
  CHECK(rc == 1 && count == batch->count, "load gives %d and %zu blocks", rc, count);
  bool are_there = rc == 1;
  for (size_t i = 0; are_there && i < count; i += 1) {
    are_there = payloads[i].tier == WMBT_KV_TIER_MEMORY;
    const bool is_equal = payloads[i].length == batch->lens[i] &&
                          memcmp(payloads[i].bytes, batch->payloads[i], batch->lens[i]) == 0;
    CHECK(is_equal, "block %zu has other bytes", i);
  }
  if (borrow != NULL) wmbt_kv_release_borrow(borrow);
  return are_there;
}

bool is_lent(const struct loan *loan, size_t count) {
  for (size_t i = 0; i < count; i += 1) {
    if (loan->borrow == NULL || !lies_in_segment(loan->payloads[i])) return false;
  }
  return true;
}

struct loan lend_blocks(wmbt_kv_handle_t *handle, const struct batch *batch) {
  struct loan loan = {0};
  for (const int64_t end = now_ms() + 10000; now_ms() < end;) {
    loan = borrow_blocks(handle, batch);
    if (loan.borrow == NULL || is_lent(&loan, batch->count)) return loan;
    wmbt_kv_release_borrow(loan.borrow);
    loan.borrow = NULL;
    (void)usleep(20000);
  }
  FAIL("the blocks do not come to lie in shared memory");
  return loan;
}

void check_unchanged(const struct loan *loan, const struct batch *batch, const char *when) {
  for (size_t i = 0; loan->borrow != NULL && i < batch->count; i += 1) {
    const bool is_equal =
        loan->lens[i] == batch->lens[i] && memcmp(loan->payloads[i], batch->payloads[i], batch->lens[i]) == 0;
    CHECK(is_equal, "block %zu has changed %s", i, when);
  }
}

void fill_memory(wmbt_kv_handle_t *handle, const char *label) {
  char name[64];
  for (unsigned round = 0; round < 2; round += 1) {
    for (unsigned part = 0; part < 6; part += 1) {
      (void)snprintf(name, sizeof name, "%s-%u", label, part);
      struct batch batch = batch_of(name, 4, mebibyte);
      if (round == 0) check_put(handle, "", &batch);
      check_get(handle, "", &batch, 0, 4);
      batch_free(&batch);
    }
  }
}

static void lent_where_they_lie(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("lent", 6, 100000);
  batch.lens[2] = 0;
  batch.lens[4] = 17;
  check_put(handle, "", &batch);
  struct loan first = lend_blocks(handle, &batch), second = borrow_blocks(handle, &batch);
  check_unchanged(&first, &batch, "on its way");
  for (size_t i = 0; first.borrow != NULL && second.borrow != NULL && i < batch.count; i += 1) {
    CHECK(first.payloads[i] == second.payloads[i], "block %zu is lent at two places", i);
  }
  check_lookup(handle, "", &batch, batch.count);
  check_lookup(handle, "another", &batch, 0);
  wmbt_kv_release_borrow(second.borrow);
  wmbt_kv_release_borrow(first.borrow);
  wmbt_kv_free(handle);
  batch_free(&batch);
}

static void partly_lent(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch whole = batch_of("partly", 6, 50000), start = whole, missing = whole;
  start.count = 3;
  missing.count = 5;
  check_put(handle, "", &missing);
  struct loan loan = lend_blocks(handle, &start);
  wmbt_kv_release_borrow(loan.borrow);
  check_get(handle, "", &whole, 0, 5);
  check_lookup(handle, "", &whole, 5);
  const uint8_t **payloads = NULL;
  const size_t *lens = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  const int32_t rc = wmbt_kv_get_kv_blocks_borrowed(handle, "", whole.hashes, 6, &payloads, &lens, &borrow);
  CHECK(rc == 0 && payloads == NULL && lens == NULL && borrow == NULL, "a get with a hole gives %d", rc);
  check_put(handle, "", &whole);
  check_get(handle, "", &whole, 0, 6);
  batch_free(&whole);
  wmbt_kv_free(handle);
}

static void *release_elsewhere(void *argument) {
  wmbt_kv_release_borrow(argument);
  return NULL;
}

static void pinned_across_evictions(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch kept[3];
  struct loan loans[3];
  for (unsigned i = 0; i < 3; i += 1) {
    char label[32];
    (void)snprintf(label, sizeof label, "kept-%u", i);
    kept[i] = batch_of(label, 1, mebibyte);
    check_put(handle, "", &kept[i]);
    loans[i] = lend_blocks(handle, &kept[i]);
  }
  fill_memory(handle, "pinned");
  for (unsigned i = 0; i < 3; i += 1) check_unchanged(&loans[i], &kept[i], "while other blocks came and went");
  wmbt_kv_free(handle);
  for (unsigned i = 0; i < 3; i += 1) check_unchanged(&loans[i], &kept[i], "after the handle was freed");
  /* In another order than they were lent, and by other threads. */
  static const unsigned order[3] = {1, 2, 0};
  for (unsigned i = 0; i < 3; i += 1) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, release_elsewhere, loans[order[i]].borrow) != 0) exit(2);
    (void)pthread_join(thread, NULL);
  }
  for (unsigned i = 0; i < 3; i += 1) batch_free(&kept[i]);
}

/* The same 200 blocks again and again, until the 1,016 hazards of a client are taken, and beyond. */
static void more_than_hazards(void) {
  enum { block_count = 200, loan_count = 7 };
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("hazards", block_count, 512);
  struct loan loans[loan_count];
  check_put(handle, "", &batch);
  loans[0] = lend_blocks(handle, &batch);
  for (unsigned i = 1; i < loan_count; i += 1) loans[i] = borrow_blocks(handle, &batch);
  static const size_t expected[loan_count] = {200, 200, 200, 200, 200, 16, 0};
  for (unsigned i = 0; i < loan_count; i += 1) {
    check_unchanged(&loans[i], &batch, "on its way");
    size_t lent = 0;
    while (loans[i].borrow != NULL && lent < block_count && lies_in_segment(loans[i].payloads[lent])) lent += 1;
    CHECK(lent == expected[i], "%zu blocks of get %u are lent", lent, i);
  }
  wmbt_kv_release_borrow(loans[3].borrow);
  loans[3] = borrow_blocks(handle, &batch);
  CHECK(is_lent(&loans[3], block_count), "hazards that were given back are not used again");
  for (unsigned i = 0; i < loan_count; i += 1) wmbt_kv_release_borrow(loans[i].borrow);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

/* A daemon takes 64 clients; the others are served by the socket. */
static void more_than_clients(void) {
  enum { handle_count = 66 };
  wmbt_kv_handle_t *handles[handle_count];
  struct batch batch = batch_of("clients", 1, 30000);
  unsigned lent = 0;
  for (unsigned i = 0; i < handle_count; i += 1) {
    handles[i] = open_handle();
    if (i == 0) check_put(handles[0], "", &batch);
    struct loan loan = i == 0 ? lend_blocks(handles[0], &batch) : borrow_blocks(handles[i], &batch);
    check_unchanged(&loan, &batch, "on its way");
    if (is_lent(&loan, 1)) lent += 1;
    wmbt_kv_release_borrow(loan.borrow);
  }
  CHECK(lent == 64, "%u handles of 66 read the memory", lent);
  for (unsigned i = 1; i < handle_count; i += 1) wmbt_kv_free(handles[i]);
  wmbt_kv_handle_t *again = open_handle();
  struct loan loan = borrow_blocks(again, &batch);
  CHECK(is_lent(&loan, 1), "a place that was given back is not taken again");
  wmbt_kv_release_borrow(loan.borrow);
  wmbt_kv_free(again);
  wmbt_kv_free(handles[0]);
  batch_free(&batch);
}

struct storm {
  wmbt_kv_handle_t *handle;
  atomic_bool is_over;
  atomic_uint lookups, gets, failures, wrong;
};

static void *look_up_and_get(void *argument) {
  struct storm *storm = argument;
  struct batch batch = batch_of("storm", 12, 60000);
  while (!atomic_load(&storm->is_over)) {
    size_t matched = 0;
    const int32_t looked =
        wmbt_kv_lookup_block_prefix(storm->handle, "", batch.hashes, batch.count, &matched, NULL, 0);
    if (looked == 0) atomic_fetch_add(matched == batch.count ? &storm->lookups : &storm->wrong, 1);
    const uint8_t **payloads;
    const size_t *lens;
    wmbt_kv_borrow_t *borrow = NULL;
    const int32_t rc = wmbt_kv_get_kv_blocks_borrowed(storm->handle, "", batch.hashes, batch.count, &payloads, &lens,
                                                      &borrow);
    for (size_t i = 0; rc == 1 && i < batch.count; i += 1) {
      if (lens[i] != 60000 || memcmp(payloads[i], batch.payloads[i], 60000) != 0) atomic_fetch_add(&storm->wrong, 1);
    }
    atomic_fetch_add(rc == 1 ? &storm->gets : &storm->failures, 1);
    if (rc == 1) wmbt_kv_release_borrow(borrow);
  }
  batch_free(&batch);
  return NULL;
}

static void killed_while_threads_look(void) {
  struct storm storm = {.handle = open_handle()};
  struct batch batch = batch_of("storm", 12, 60000), held = batch_of("held", 4, mebibyte);
  check_put(storm.handle, "", &batch);
  check_put(storm.handle, "", &held);
  struct loan first = lend_blocks(storm.handle, &batch);
  wmbt_kv_release_borrow(first.borrow);
  struct loan kept = lend_blocks(storm.handle, &held);
  pthread_t threads[thread_count];
  for (unsigned i = 0; i < thread_count; i += 1) {
    if (pthread_create(&threads[i], NULL, look_up_and_get, &storm) != 0) exit(2);
  }
  for (unsigned round = 0; round < 3; round += 1) {
    tell_and_wait("kill");
    check_unchanged(&kept, &held, "when the daemon died");
    size_t matched = 7;
    CHECK(wmbt_kv_lookup_block_prefix(storm.handle, "", batch.hashes, 1, &matched, NULL, 0) == -1 && matched == 7,
          "a dead daemon's memory is read");
    tell_and_wait("start");
    /* The first call after it is back, and soon from the memory of the new one. */
    check_lookup(storm.handle, "", &batch, batch.count);
    struct loan again = lend_blocks(storm.handle, &batch);
    check_unchanged(&again, &batch, "in the memory of the next daemon");
    wmbt_kv_release_borrow(again.borrow);
  }
  atomic_store(&storm.is_over, true);
  for (unsigned i = 0; i < thread_count; i += 1) (void)pthread_join(threads[i], NULL);
  CHECK(atomic_load(&storm.wrong) == 0, "%u answers were wrong", atomic_load(&storm.wrong));
  CHECK(atomic_load(&storm.lookups) > 0 && atomic_load(&storm.gets) > 0, "nothing was found");
  CHECK(atomic_load(&storm.failures) > 0, "no call failed, so no daemon was missed");
  wmbt_kv_free(storm.handle);
  check_unchanged(&kept, &held, "after the handle was freed");
  wmbt_kv_release_borrow(kept.borrow);
  batch_free(&batch);
  batch_free(&held);
}

static void stopped_daemon(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("stopped", 3, 70000);
  check_put(handle, "", &batch);
  struct loan loan = lend_blocks(handle, &batch);
  wmbt_kv_release_borrow(loan.borrow);
  tell_and_wait("stop");
  check_lookup(handle, "", &batch, 3);
  loan = borrow_blocks(handle, &batch);
  CHECK(is_lent(&loan, 3), "what is in memory is not lent");
  check_unchanged(&loan, &batch, "in a stopped daemon's memory");
  wmbt_kv_release_borrow(loan.borrow);
  /* What is there is saved already. The daemon is told that it is used, and nobody waits for that. */
  for (unsigned i = 0; i < 2; i += 1) check_put(handle, "", &batch);
  tell_and_wait("continue");
  check_lookup(handle, "", &batch, 3);
  wmbt_kv_stats_t stats = WMBT_KV_STATS_INIT;
  wmbt_kv_borrow_t *borrow = NULL;
  CHECK(wmbt_kv_stats(handle, "", NULL, &stats, &borrow) == 0, "no statistics");
  CHECK(stats.found_blocks == 6, "%llu blocks were found", (unsigned long long)stats.found_blocks);
  wmbt_kv_release_borrow(borrow);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

const struct test_case shared_tests[] = {
    {"blocks in memory are lent where they lie", lent_where_they_lie},
    {"what is not in memory is added by the socket, all or nothing", partly_lent},
    {"what is lent stays while other blocks come and go, whoever releases it in whatever order",
     pinned_across_evictions},
    {"gets of more blocks than a client can pin are served", more_than_hazards},
    {"more clients than a daemon takes are served", more_than_clients},
    {"what is in a stopped daemon's memory is lent, and need not be saved", stopped_daemon},
    {"a daemon is killed while threads look, and nobody sees other bytes", killed_while_threads_look},
    {NULL, NULL},
};
