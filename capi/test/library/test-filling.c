/*
 * Puts into memory that the daemon lends. Its memory tier has 16 MiB, of which half can be lent at a time. The other
 * side plays along.
 */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "processes.h"
#include "shared.h"

enum { mebibyte = 1048576, thread_count = 6 };

/* Whether this process maps a daemon's segment to write to it. */
static bool writes_to_segments(void) {
  FILE *maps = fopen("/proc/self/maps", "r");
  if (maps == NULL) exit(2);
  char line[4600];
  bool is_found = false;
  while (!is_found && fgets(line, sizeof line, maps) != NULL) {
    is_found = strstr(line, " rw-s ") != NULL && strstr(line, "/segment-") != NULL;
  }
  (void)fclose(maps);
  return is_found;
}

static struct batch numbered(const char *label, unsigned first, unsigned second, size_t count, size_t length) {
  char name[64];
  (void)snprintf(name, sizeof name, "%s-%u-%u", label, first, second);
  return batch_of(name, count, length);
}

static void put_and_get(wmbt_kv_handle_t *handle, const char *ns, const char *label, unsigned number) {
  struct batch batch = numbered(label, number, 0, 4, 900000);
  check_put(handle, ns, &batch);
  check_get(handle, ns, &batch, 0, 4);
  batch_free(&batch);
}

static void filled_where_lent(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch small = batch_of("filled-small", 4, 65535), whole = batch_of("filled", 6, 600000);
  check_put(handle, "", &small);
  CHECK(!writes_to_segments(), "payloads below 64 KiB are filled");
  whole.lens[1] = 65536;
  whole.lens[4] = 65537;
  check_put(handle, "", &whole);
  CHECK(writes_to_segments(), "nothing is filled");
  struct loan loan = lend_blocks(handle, &whole);
  check_unchanged(&loan, &whole, "on its way");
  wmbt_kv_release_borrow(loan.borrow);
  /* A group with a payload below 64 KiB goes over the socket; of one that is there nothing goes. */
  struct batch longer = batch_of("filled", 9, 600000);
  longer.lens[1] = 65536;
  longer.lens[4] = 65537;
  longer.lens[7] = 0;
  check_put(handle, "", &longer);
  check_get(handle, "", &longer, 0, 9);
  wmbt_kv_free(handle);
  CHECK(!writes_to_segments(), "a handle that is freed has left its mappings");
  batch_free(&small);
  batch_free(&whole);
  batch_free(&longer);
}

static void filled_tails(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch tail = batch_of("filled-tail", 1, 2 * mebibyte);
  const int32_t put = wmbt_kv_put_raw_tail(handle, "", tail.hashes[0], tail.payloads[0], tail.lens[0], NULL, 0);
  CHECK(put == 0 && writes_to_segments(), "the put of a tail gives %d, or fills nothing", put);
  const uint8_t *got = NULL;
  size_t length = 0;
  wmbt_kv_borrow_t *borrow = NULL;
  const int32_t rc = wmbt_kv_get_raw_tail_borrowed(handle, "", tail.hashes[0], &got, &length, &borrow, NULL, 0);
  const bool is_equal = rc == 1 && length == tail.lens[0] && memcmp(got, tail.payloads[0], length) == 0;
  CHECK(is_equal, "the get of a tail gives %d and %zu bytes, or other ones", rc, length);
  if (rc == 1) wmbt_kv_release_borrow(borrow);
  wmbt_kv_free(handle);
  batch_free(&tail);
}

struct worker {
  wmbt_kv_handle_t *handle;
  unsigned number;
  atomic_bool *is_over;
  /* Batches that the daemon has accepted. */
  unsigned accepted;
};

static void *put_some(void *argument) {
  struct worker *worker = argument;
  for (unsigned round = 0; round < 8; round += 1) {
    struct batch batch = numbered("side-by-side", worker->number, round, 3, 200000 + 100000 * worker->number);
    check_put(worker->handle, "", &batch);
    check_get(worker->handle, "", &batch, 0, batch.count);
    batch_free(&batch);
  }
  return NULL;
}

static void threads_fill(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct worker workers[thread_count];
  pthread_t threads[thread_count];
  for (unsigned i = 0; i < thread_count; i += 1) {
    workers[i] = (struct worker){.handle = handle, .number = i};
    if (pthread_create(&threads[i], NULL, put_some, &workers[i]) != 0) exit(2);
  }
  for (unsigned i = 0; i < thread_count; i += 1) (void)pthread_join(threads[i], NULL);
  CHECK(writes_to_segments(), "nothing is filled");
  for (unsigned i = 0; i < thread_count; i += 1) {
    struct batch batch = numbered("side-by-side", i, 7, 3, 200000 + 100000 * i);
    check_get(handle, "", &batch, 0, batch.count);
    batch_free(&batch);
  }
  wmbt_kv_free(handle);
}

/* Puts until it is over, and counts what is accepted; a put that fails is left. */
static void *put_on(void *argument) {
  struct worker *worker = argument;
  while (!atomic_load(worker->is_over)) {
    struct batch batch = numbered("on-and-on", worker->number, worker->accepted, 3, 500000);
    const int64_t rc = wmbt_kv_put_kv_blocks(worker->handle, "", batch.hashes, batch_payloads(&batch), batch.lens, 3);
    if (rc == 1500000) worker->accepted += 1;
    batch_free(&batch);
  }
  return NULL;
}

/* 1: its own put fills nothing; 2: what it inherited has changed. Failures of a check end it with 4. */
static int fill_in_child(wmbt_kv_handle_t *handle, const struct loan *loan, const struct batch *kept, unsigned number) {
  struct batch batch = numbered("child", number, 0, 4, 700000);
  const int64_t rc = wmbt_kv_put_kv_blocks(handle, "", batch.hashes, batch_payloads(&batch), batch.lens, 4);
  const bool is_equal = memcmp(loan->payloads[0], kept->payloads[0], kept->lens[0]) == 0;
  const int status = (rc == 2800000 ? 0 : 4) | (writes_to_segments() ? 0 : 1) | (is_equal ? 0 : 2);
  wmbt_kv_release_borrow(loan->borrow);
  wmbt_kv_free(handle);
  return status;
}

static void forked_children_fill(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch kept = batch_of("kept-in-fork", 1, 300000);
  check_put(handle, "", &kept);
  struct loan loan = lend_blocks(handle, &kept);
  atomic_bool is_over = false;
  struct worker worker = {.handle = handle, .number = 0, .is_over = &is_over};
  pthread_t thread;
  if (pthread_create(&thread, NULL, put_on, &worker) != 0) exit(2);
  (void)fflush(stdout);
  for (unsigned i = 0; i < 6; i += 1) {
    const pid_t pid = fork();
    if (pid < 0) exit(2);
    if (pid == 0) _exit(fill_in_child(handle, &loan, &kept, i));
    int status = -1;
    while (waitpid(pid, &status, 0) < 0) {}
    CHECK(status == 0, "child %u ends with %x: 1 fills nothing, 2 has other bytes, 4 cannot put", i,
          (unsigned)status >> 8);
    struct batch batch = numbered("child", i, 0, 4, 700000);
    check_get(handle, "", &batch, 0, 4);
    batch_free(&batch);
  }
  atomic_store(&is_over, true);
  (void)pthread_join(thread, NULL);
  CHECK(worker.accepted > 0, "the parent has put nothing meanwhile");
  check_unchanged(&loan, &kept, "for the parent");
  wmbt_kv_release_borrow(loan.borrow);
  wmbt_kv_free(handle);
  batch_free(&kept);
}

/* What was accepted is there, whatever became of the daemon that accepted it. */
static void check_accepted(wmbt_kv_handle_t *handle, const struct worker *worker) {
  for (unsigned i = 0; i < worker->accepted; i += 1) {
    struct batch batch = numbered("on-and-on", worker->number, i, 3, 500000);
    check_get(handle, "", &batch, 0, 3);
    batch_free(&batch);
  }
}

static void killed_while_filled(void) {
  wmbt_kv_handle_t *handle = open_handle();
  atomic_bool is_over = false;
  struct worker workers[2];
  pthread_t threads[2];
  for (unsigned i = 0; i < 2; i += 1) {
    workers[i] = (struct worker){.handle = handle, .number = i + 1, .is_over = &is_over};
    if (pthread_create(&threads[i], NULL, put_on, &workers[i]) != 0) exit(2);
  }
  for (unsigned round = 0; round < 3; round += 1) {
    pause_ms(200);
    tell_and_wait("kill");
    tell_and_wait("start");
  }
  atomic_store(&is_over, true);
  for (unsigned i = 0; i < 2; i += 1) (void)pthread_join(threads[i], NULL);
  put_and_get(handle, "", "after-kills", 0);
  for (unsigned i = 0; i < 2; i += 1) {
    CHECK(workers[i].accepted > 0, "thread %u has put nothing", i);
    check_accepted(handle, &workers[i]);
  }
  /* The memory of the daemon that is there now is looked for a second later at the latest. */
  pause_ms(1100);
  put_and_get(handle, "", "after-kills", 1);
  CHECK(writes_to_segments(), "the memory of the next daemon is not filled");
  wmbt_kv_free(handle);
}

/* 1: a put fails; 2: it fills without a descriptor; 4: it does not fill when there are some again. */
static int put_without_descriptor(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batches[2] = {batch_of("no-descriptor", 4, mebibyte), batch_of("descriptors-again", 4, mebibyte)};
  const int first_free = dup(0);
  struct rlimit limit;
  if (first_free < 0 || close(first_free) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0) return 8;
  const struct rlimit none = {(rlim_t)first_free, limit.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &none) != 0) return 8;
  int64_t rc = wmbt_kv_put_kv_blocks(handle, "", batches[0].hashes, batch_payloads(&batches[0]), batches[0].lens, 4);
  int status = rc == 4 * mebibyte ? 0 : 1;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return 8;
  status |= writes_to_segments() ? 2 : 0;
  pause_ms(1100);
  rc = wmbt_kv_put_kv_blocks(handle, "", batches[1].hashes, batch_payloads(&batches[1]), batches[1].lens, 4);
  status |= rc == 4 * mebibyte ? 0 : 1;
  status |= writes_to_segments() ? 0 : 4;
  wmbt_kv_free(handle);
  for (unsigned i = 0; i < 2; i += 1) batch_free(&batches[i]);
  return status;
}

/* 1: a put fails; 2: memory of another's was written to. */
static int put_after_closing(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch first = batch_of("before-closing", 3, 700000), second = batch_of("after-closing", 3, 700000);
  struct batch theirs = batch_of("beside-closing", 3, 700000);
  check_put(handle, "", &first);
  for (int fd = 3; fd < 1024; fd += 1) (void)close(fd);
  /* Takes the place that is free now, and its hazards by the same numbers. */
  wmbt_kv_handle_t *other = open_handle();
  check_put(other, "", &theirs);
  struct loan loan = lend_blocks(other, &theirs);
  const int64_t rc = wmbt_kv_put_kv_blocks(handle, "", second.hashes, batch_payloads(&second), second.lens, 3);
  fill_memory(handle, "after-closing");
  bool is_equal = loan.borrow != NULL;
  for (size_t i = 0; is_equal && i < 3; i += 1) is_equal = memcmp(loan.payloads[i], theirs.payloads[i], 700000) == 0;
  wmbt_kv_release_borrow(loan.borrow);
  wmbt_kv_free(handle);
  wmbt_kv_free(other);
  return (rc == 2100000 ? 0 : 1) | (is_equal ? 0 : 2);
}

static void expect_of_child(int (*run)(void), const char *meaning) {
  (void)fflush(stdout);
  const pid_t pid = fork();
  int status = -1;
  if (pid < 0) exit(2);
  if (pid == 0) {
    status = run();
    (void)fflush(stdout);
    _exit(status);
  }
  while (waitpid(pid, &status, 0) < 0) {}
  CHECK(status == 0, "it ends with %x: %s", (unsigned)status >> 8, meaning);
}

static void without_descriptor(void) {
  expect_of_child(put_without_descriptor, "1 cannot put, 2 fills all the same, 4 never fills again");
}

static void closed_descriptors(void) {
  expect_of_child(put_after_closing, "1 cannot put, 2 writes where another has pinned");
}

const struct test_case filling_tests[] = {
    {"payloads of 64 KiB and more are written where the daemon lends memory", filled_where_lent},
    {"so are tails", filled_tails},
    {"threads fill side by side on one handle", threads_fill},
    {"forked children fill by themselves while their parent does", forked_children_fill},
    {"where memory cannot be mapped payloads go over the socket, and later into memory again", without_descriptor},
    {"an engine that has closed all descriptors writes nothing where another has its place now", closed_descriptors},
    {"a daemon is killed while it is filled, and what it accepted is there", killed_while_filled},
    {NULL, NULL},
};

/* One put, of a name that the other side gives, and a get of it. */
static void one_put(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *label = getenv("WMBT_TEST_LABEL");
  struct batch batch = batch_of(label == NULL ? "one" : label, 8, mebibyte);
  check_put(handle, "", &batch);
  check_get(handle, "", &batch, 0, batch.count);
  wmbt_kv_free(handle);
  batch_free(&batch);
}

static uint64_t lent_blocks_of(wmbt_kv_handle_t *handle) {
  wmbt_kv_stats_t stats = WMBT_KV_STATS_INIT;
  wmbt_kv_borrow_t *borrow = NULL;
  CHECK(wmbt_kv_stats(handle, "", NULL, &stats, &borrow) == 0, "no statistics");
  wmbt_kv_release_borrow(borrow);
  return stats.lent_blocks;
}

/* The same blocks, which the daemon has on its disk, so that they have to be brought. */
static void one_get(void) {
  const bool is_borrowed = getenv("WMBT_TEST_BORROWED") != NULL;
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("one", 8, mebibyte);
  struct loan loan = borrow_blocks(handle, &batch);
  check_unchanged(&loan, &batch, "when they were brought");
  CHECK(is_lent(&loan, 8) == is_borrowed, "the blocks are %s", is_borrowed ? "copied" : "lent");
  wmbt_kv_release_borrow(loan.borrow);
  CHECK(lent_blocks_of(handle) == 0, "the store counts what it brings");
  loan = borrow_blocks(handle, &batch);
  CHECK(!is_borrowed || lent_blocks_of(handle) == 8, "it knows nothing of what is borrowed without it");
  wmbt_kv_release_borrow(loan.borrow);
  wmbt_kv_free(handle);
  batch_free(&batch);
}

const struct test_case one_get_tests[] = {
    {"a get of 8 MiB is read as it was put", one_get},
    {NULL, NULL},
};

const struct test_case one_put_tests[] = {
    {"a put of 8 MiB is read as it was put", one_put},
    {NULL, NULL},
};
