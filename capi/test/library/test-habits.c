/*
 * What engines do beside their calls: timers that interrupt, closed standard descriptors, threads that are cancelled.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "processes.h"

static atomic_uint interruptions;

static void note_interruption(int number) {
  (void)number;
  atomic_fetch_add_explicit(&interruptions, 1, memory_order_relaxed);
}

/* Every call of the system that waits is broken off: nothing is restarted by the system. */
static void set_timer(long microseconds) {
  const struct itimerval timer = {{0, microseconds}, {0, microseconds}};
  if (setitimer(ITIMER_REAL, &timer, NULL) != 0) exit(2);
}

/* Of all kinds: small and large blocks, a miss, a tail. */
static void call_all(wmbt_kv_handle_t *handle, unsigned round) {
  char label[32];
  (void)snprintf(label, sizeof label, "habits-%u", round);
  struct batch batch = batch_of(label, 4, round % 2 == 0 ? 3000 : 400000);
  check_lookup(handle, "habits", &batch, 0);
  check_put(handle, "habits", &batch);
  check_lookup(handle, "habits", &batch, 4);
  check_get(handle, "habits", &batch, 0, 4);
  char err[200] = "";
  const int32_t put = wmbt_kv_put_raw_tail(handle, "habits", batch.hashes[3], batch.payloads[3], batch.lens[3], err,
                                           sizeof err);
  CHECK(put == 0, "the tail is not put: %s", err);
  const uint8_t *bytes = NULL;
  size_t length = 0;
  wmbt_kv_borrow_t *borrow = NULL;
  const int32_t got = wmbt_kv_get_raw_tail_borrowed(handle, "habits", batch.hashes[3], &bytes, &length, &borrow, err,
                                                    sizeof err);
  CHECK(got == 1 && length == batch.lens[3] && memcmp(bytes, batch.payloads[3], length) == 0, "the tail: %d %s", got,
        err);
  wmbt_kv_release_borrow(borrow);
  batch_free(&batch);
}

static void interrupted_calls(void) {
  enum { interruptions_min = 100, rounds_min = 6, rounds_max = 1000 };
  struct sigaction action = {.sa_handler = note_interruption}, before;
  (void)sigaction(SIGALRM, &action, &before);
  set_timer(1000);
  /* A store of its own is started under the timer, too. */
  wmbt_kv_handle_t *handle = open_handle();
  unsigned round = 0;
  while (round < rounds_min || (atomic_load(&interruptions) < interruptions_min && round < rounds_max)) {
    call_all(handle, round);
    round += 1;
  }
  set_timer(0);
  wmbt_kv_free(handle);
  (void)sigaction(SIGALRM, &before, NULL);
  CHECK(atomic_load(&interruptions) >= interruptions_min, "%u signals came in %u rounds", atomic_load(&interruptions),
        round);
}

/*
 * Between two payloads of a large save the library looks whether the daemon has said something. A signal that comes as
 * it looks is no word of the daemon: whoever waits for one then waits until the deadline.
 */
static void interrupted_saves(void) {
  enum { saves = 8, timer_us = 50 };
  struct sigaction action = {.sa_handler = note_interruption}, before;
  wmbt_kv_handle_t *handle = open_handle();
  (void)sigaction(SIGALRM, &action, &before);
  for (unsigned round = 0; round < saves; round += 1) {
    char label[32];
    (void)snprintf(label, sizeof label, "looks-%u", round);
    struct batch batch = batch_of(label, 300, 4000);
    set_timer(timer_us);
    check_put(handle, "habits", &batch);
    set_timer(0);
    check_get(handle, "habits", &batch, 0, batch.count);
    batch_free(&batch);
  }
  wmbt_kv_free(handle);
  (void)sigaction(SIGALRM, &before, NULL);
}

/* Parts of an exit status. */
enum { is_not_opened = 1, is_not_put = 2, is_not_got = 4, has_taken_a_number = 8 };

/*
 * As an engine that runs in the background: nothing stands under 0, 1 and 2, so the system gives these numbers first.
 */
static int without_standard_descriptors(const struct batch *batch) {
  for (int fd = 0; fd <= 2; fd += 1) (void)close(fd);
  wmbt_kv_handle_t *handle = wmbt_kv_init_from_env();
  if (handle == NULL) return is_not_opened;
  const uint8_t **payloads = NULL;
  const size_t *lens = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  int status = 0;
  const int64_t put = wmbt_kv_put_kv_blocks(handle, "habits", batch->hashes, batch_payloads(batch), batch->lens,
                                            batch->count);
  if (put < 0) status |= is_not_put;
  const int32_t got =
      wmbt_kv_get_kv_blocks_borrowed(handle, "habits", batch->hashes, batch->count, &payloads, &lens, &borrow);
  if (got != 1 || memcmp(payloads[0], batch->payloads[0], batch->lens[0]) != 0) status |= is_not_got;
  for (int fd = 0; fd <= 2; fd += 1) {
    if (fcntl(fd, F_GETFD) >= 0) status |= has_taken_a_number;
  }
  wmbt_kv_release_borrow(borrow);
  wmbt_kv_free(handle);
  return status;
}

static void closed_standard_descriptors(void) {
  struct batch batch = batch_of("in-the-background", 3, 300000);
  (void)fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) _exit(without_standard_descriptors(&batch));
  int status = -1;
  pid_t ended;
  do ended = waitpid(pid, &status, 0);
  while (ended < 0 && errno == EINTR);
  CHECK(pid > 0 && ended == pid && status == 0,
        "it ends with %x: 1 does not open, 2 does not put, 4 does not get, 8 has a descriptor below 3", status >> 8);
  batch_free(&batch);
}

/*
 * The one that forks is the first: ThreadSanitizer lets no thread begin in the child of a process that has threads,
 * and one waits for the end of a store process behind the others.
 */
const struct test_case habit_tests[] = {
    {"an engine without standard input and output finds none of the library's descriptors in their places",
     closed_standard_descriptors},
    {"calls that a timer interrupts a thousand times a second succeed", interrupted_calls},
    {"saves of many payloads that a timer interrupts between any two of them succeed", interrupted_saves},
    {NULL, NULL},
};

enum { putting_count = 4, put_blocks = 8, put_bytes = 1024 * 1024, puts_max = 1000 };

struct putter {
  wmbt_kv_handle_t *handle;
  unsigned number;
};

static atomic_uint puts_made, puts_broken_off;

/* Puts what is new, so that bytes are under way, until one finds no daemon. */
static void *put_until_it_fails(void *argument) {
  const struct putter *putter = argument;
  bool is_there = true;
  for (unsigned i = 0; is_there && i < puts_max; i += 1) {
    char label[48];
    (void)snprintf(label, sizeof label, "broken-off-%u-%u", putter->number, i);
    struct batch batch = batch_of(label, put_blocks, put_bytes);
    const int64_t put = wmbt_kv_put_kv_blocks(putter->handle, "habits", batch.hashes, batch_payloads(&batch),
                                              batch.lens, batch.count);
    is_there = put >= 0 || wmbt_kv_last_error_code() != WMBT_KV_ERROR_UNAVAILABLE;
    atomic_fetch_add(is_there ? &puts_made : &puts_broken_off, 1);
    batch_free(&batch);
  }
  return NULL;
}

/* Who writes to a socket whose other end has gone is sent SIGPIPE, which ends this program (check.c). */
static void puts_that_break_off(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct putter putters[putting_count];
  pthread_t threads[putting_count];
  for (unsigned i = 0; i < putting_count; i += 1) {
    putters[i] = (struct putter){handle, i};
    if (pthread_create(&threads[i], NULL, put_until_it_fails, &putters[i]) != 0) exit(2);
  }
  while (atomic_load(&puts_made) < putting_count) pause_ms(1);
  tell_and_wait("kill");
  for (unsigned i = 0; i < putting_count; i += 1) (void)pthread_join(threads[i], NULL);
  CHECK(atomic_load(&puts_broken_off) == putting_count, "%u of %d puts failed", atomic_load(&puts_broken_off),
        putting_count);
  tell_and_wait("start");
  struct batch batch = batch_of("behind-the-end", 3, 300000);
  check_put(handle, "habits", &batch);
  check_get(handle, "habits", &batch, 0, 3);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

/* More than a handle has connections: some are in a call on the daemon, and others wait for them. */
enum { cancelled_count = 20, cancelled_limit_ms = 3000 };

static atomic_uint begun, returned;

static __attribute__((noinline)) void call_once(wmbt_kv_handle_t *handle) {
  struct batch batch = batch_of("cancelled", 3, 1000);
  atomic_fetch_add(&begun, 1);
  size_t matched = 0;
  (void)wmbt_kv_lookup_block_prefix(handle, "habits", batch.hashes, batch.count, &matched, NULL, 0);
  atomic_fetch_add(&returned, 1);
  batch_free(&batch);
}

static void *call_until_cancelled(void *argument) {
  call_once(argument);
  /* Here it may end: where nothing is on the stack, for a sanitizer does not see that a thread leaves its stack so. */
  pthread_testcancel();
  return argument;
}

static void cancelled_threads(void) {
  (void)setenv("WMBT_KV_LOOKUP_DEADLINE_MS", "3000", 1);
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("cancelled", 3, 1000);
  check_put(handle, "habits", &batch);
  tell_and_wait("stop");
  pthread_t threads[cancelled_count];
  for (unsigned i = 0; i < cancelled_count; i += 1) {
    if (pthread_create(&threads[i], NULL, call_until_cancelled, handle) != 0) exit(2);
  }
  while (atomic_load(&begun) < cancelled_count) pause_ms(1);
  /* In the midst of their calls, of which each takes longer than this. */
  pause_ms(cancelled_limit_ms / 10);
  for (unsigned i = 0; i < cancelled_count; i += 1) (void)pthread_cancel(threads[i]);
  unsigned cancelled = 0;
  for (unsigned i = 0; i < cancelled_count; i += 1) {
    void *result = NULL;
    (void)pthread_join(threads[i], &result);
    if (result == PTHREAD_CANCELED) cancelled += 1;
  }
  tell_and_wait("continue");
  CHECK(atomic_load(&returned) == cancelled_count, "%u of %d calls returned", atomic_load(&returned), cancelled_count);
  CHECK(cancelled == cancelled_count, "%u of %d threads were cancelled", cancelled, cancelled_count);
  size_t matched = 0;
  int32_t rc = -1;
  for (const int64_t end = now_ms() + 10000; rc != 0 && now_ms() < end;) {
    rc = wmbt_kv_lookup_block_prefix(handle, "habits", batch.hashes, 3, &matched, NULL, 0);
  }
  CHECK(rc == 0 && matched == 3, "the handle is of no use any more: %d, %zu", rc, matched);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

const struct test_case harsh_habit_tests[] = {
    {"puts that are under way when the daemon is killed fail, and no signal comes of it", puts_that_break_off},
    {"threads that are cancelled in a call end behind it, and leave a handle that works", cancelled_threads},
    {NULL, NULL},
};
