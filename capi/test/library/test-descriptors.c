/* Processes without a free descriptor: that of the engine, and that of the store, whose limit is set from here. */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"
#include "load.h"
#include "processes.h"

enum {
  block_count = 3,
  saves_max = 12,
  rounds_max = 20,
  call_limit_ms = 4000,
  /* What no call reaches on a busy machine. */
  call_most_ms = 3 * call_limit_ms,
};
static const char *const call_limit_text = "4000";

/* Long and short payloads: they go different ways. */
static const size_t lengths[] = {4000, 300000};
enum { length_count = sizeof lengths / sizeof lengths[0] };

/* Descriptors that a process has, that of the look itself included when it is this one. */
static unsigned descriptors_of(pid_t pid) {
  char path[64];
  unsigned count = 0;
  (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
  DIR *directory = opendir(path);
  if (directory == NULL) return 0;
  while (readdir(directory) != NULL) count += 1;
  (void)closedir(directory);
  return count;
}

/* The least number that is free in this process. */
static rlim_t first_free(pid_t pid) {
  char path[64], target[8];
  for (unsigned fd = 0; fd < 65536; fd += 1) {
    (void)snprintf(path, sizeof path, "/proc/%d/fd/%u", (int)pid, fd);
    if (readlink(path, target, sizeof target) < 0) return fd;
  }
  return 65536;
}

/* Takes all descriptors of a process that are free; gives the limit that it had. */
static struct rlimit exhaust(pid_t pid) {
  struct rlimit before = {0, 0};
  if (prlimit(pid, RLIMIT_NOFILE, NULL, &before) != 0) exit(2);
  const struct rlimit none = {first_free(pid), before.rlim_max};
  if (prlimit(pid, RLIMIT_NOFILE, &none, NULL) != 0) exit(2);
  return before;
}

static void relieve(pid_t pid, const struct rlimit *before) {
  if (prlimit(pid, RLIMIT_NOFILE, before, NULL) != 0) exit(2);
}

static struct batch save_of(const char *label, unsigned number) {
  char name[48];
  (void)snprintf(name, sizeof name, "%s-%u", label, number);
  return batch_of(name, block_count, lengths[number % length_count]);
}

/* Calls of each kind. What fails says that something is not to be had; what is accepted is noted. */
static unsigned call_all(wmbt_kv_handle_t *handle, const char *label, bool accepted[saves_max]) {
  unsigned failed = 0;
  for (unsigned i = 0; i < saves_max; i += 1) {
    struct batch batch = save_of(label, i);
    int64_t sum = 0;
    for (size_t k = 0; k < block_count; k += 1) sum += (int64_t)batch.lens[k];
    const int64_t began = now_ms();
    const int64_t put =
        wmbt_kv_put_kv_blocks(handle, "few", batch.hashes, batch_payloads(&batch), batch.lens, block_count);
    accepted[i] = put == sum;
    CHECK(put == sum || put == -1, "a put gives %lld", (long long)put);
    if (put == -1) check_text(wmbt_kv_last_error(), "unavailable", "a put");
    size_t matched = 99;
    const int32_t found =
        wmbt_kv_lookup_block_prefix(handle, "few", batch.hashes, block_count, &matched, NULL, 0);
    CHECK((found == 0 && matched == (accepted[i] ? block_count : matched)) || (found == -1 && matched == 99),
          "a lookup gives %d and %zu", found, matched);
    if (found == -1) check_text(wmbt_kv_last_error(), "unavailable", "a lookup");
    const uint8_t **payloads = NULL;
    const size_t *lens = NULL;
    wmbt_kv_borrow_t *borrow = NULL;
    const int32_t got =
        wmbt_kv_get_kv_blocks_borrowed(handle, "few", batch.hashes, block_count, &payloads, &lens, &borrow);
    CHECK(got == 1 || (payloads == NULL && lens == NULL && borrow == NULL), "a failed get touched a result");
    if (got == 1) {
      CHECK(memcmp(payloads[2], batch.payloads[2], batch.lens[2]) == 0, "a block has other bytes");
      wmbt_kv_release_borrow(borrow);
    }
    if (got == -1) check_text(wmbt_kv_last_error(), "unavailable", "a get");
    failed += (put != sum ? 1U : 0U) + (found != 0 ? 1U : 0U) + (got != 1 ? 1U : 0U);
    CHECK(now_ms() - began < 3 * call_most_ms, "three calls took %lld ms", (long long)(now_ms() - began));
    batch_free(&batch);
  }
  return failed;
}

static void check_accepted(wmbt_kv_handle_t *handle, const char *label, const bool accepted[saves_max]) {
  for (unsigned i = 0; i < saves_max; i += 1) {
    struct batch batch = save_of(label, i);
    if (accepted[i]) check_lookup(handle, "few", &batch, block_count);
    if (accepted[i]) check_get(handle, "few", &batch, 0, block_count);
    batch_free(&batch);
  }
}

/* The very first call after it. */
static void check_works(wmbt_kv_handle_t *handle, const char *label) {
  struct batch batch = batch_of(label, block_count, 200000);
  check_put(handle, "few", &batch);
  check_lookup(handle, "few", &batch, block_count);
  check_get(handle, "few", &batch, 0, block_count);
  batch_free(&batch);
}

static wmbt_kv_handle_t *open_with_limit(void) {
  (void)setenv("WMBT_KV_REMOTE_CALL_TIMEOUT_MS", call_limit_text, 1);
  return open_handle();
}

/* Opens and frees handles until the first ones of a process have left what stays. */
static unsigned settled_descriptors(void) {
  wmbt_kv_handle_t *handle = open_with_limit();
  check_works(handle, "settled");
  wmbt_kv_free(handle);
  await_no_child();
  return descriptors_of(getpid());
}

static void engine_without_descriptors(void) {
  bool accepted[saves_max];
  const unsigned before = settled_descriptors();
  wmbt_kv_handle_t *handle = open_with_limit();
  /* One that has no connection yet, and one that has. */
  for (unsigned round = 0; round < 2; round += 1) {
    const char *const label = round == 0 ? "engine-new" : "engine-used";
    const struct rlimit limit = exhaust(getpid());
    CHECK(dup(0) == -1 && errno == EMFILE, "there is a descriptor");
    (void)call_all(handle, label, accepted);
    relieve(getpid(), &limit);
    check_works(handle, round == 0 ? "engine-new-after" : "engine-used-after");
    check_accepted(handle, label, accepted);
  }
  wmbt_kv_free(handle);
  await_no_child();
  CHECK(descriptors_of(getpid()) <= before, "%u descriptors instead of %u", descriptors_of(getpid()), before);
}

/* A handle that is opened without one is there or not; its calls say why they fail. */
static void opened_without_descriptors(void) {
  bool accepted[saves_max];
  const unsigned before = descriptors_of(getpid());
  const struct rlimit limit = exhaust(getpid());
  wmbt_kv_handle_t *handle = wmbt_kv_init_from_env();
  if (handle == NULL) CHECK(wmbt_kv_last_error() != NULL, "a handle is refused without a word");
  else CHECK(call_all(handle, "opened", accepted) > 0, "all calls work without a descriptor");
  relieve(getpid(), &limit);
  if (handle == NULL) handle = open_with_limit();
  else check_works(handle, "opened-after");
  check_works(handle, "opened-again");
  wmbt_kv_free(handle);
  await_no_child();
  CHECK(descriptors_of(getpid()) <= before, "%u descriptors instead of %u", descriptors_of(getpid()), before);
}

/* Threads that call on while a process has no descriptor, before their first call or behind some. */
static void call_beside(pid_t pid, wmbt_kv_handle_t *handle, bool is_new) {
  struct load load = {.handle = handle, .ns = is_new ? "new" : "used", .block_bytes = 20000};
  struct rlimit limit;
  if (is_new) limit = exhaust(pid);
  load_begin(&load);
  if (!is_new) load_recover(&load, "before the descriptors are gone");
  if (!is_new) limit = exhaust(pid);
  load_go_on(&load, "without descriptors");
  relieve(pid, &limit);
  load_recover(&load, "when there are descriptors again");
  load_end(&load);
}

static void engine_threads_without_descriptors(void) {
  const unsigned before = settled_descriptors();
  wmbt_kv_handle_t *handle = open_with_limit();
  call_beside(getpid(), handle, true);
  call_beside(getpid(), handle, false);
  wmbt_kv_free(handle);
  await_no_child();
  CHECK(descriptors_of(getpid()) <= before, "%u descriptors instead of %u", descriptors_of(getpid()), before);
}

const struct test_case engine_descriptor_tests[] = {
    {"an engine without descriptors gets answers or reasons, and all of it when it has some again",
     engine_without_descriptors},
    {"an engine opens the library without descriptors, or is told why not", opened_without_descriptors},
    {"8 threads without descriptors get answers or reasons, and go on when there are some again",
     engine_threads_without_descriptors},
    {NULL, NULL},
};

static pid_t store_process(void) {
  const char *daemon = getenv("WMBT_TEST_DAEMON");
  return daemon == NULL ? only_child() : (pid_t)strtol(daemon, NULL, 10);
}

/*
 * One that has to be let in, and is not: what the store closes of its own it may use again, so that is taken too, until
 * there is nothing. NULL when there is not even a handle.
 */
static wmbt_kv_handle_t *let_in_vain(pid_t pid, bool accepted[saves_max]) {
  for (unsigned round = 0; round < rounds_max; round += 1) {
    (void)exhaust(pid);
    wmbt_kv_handle_t *other = wmbt_kv_init_from_env();
    if (other == NULL) {
      CHECK(wmbt_kv_last_error() != NULL, "a handle is refused without a word");
      return NULL;
    }
    if (call_all(other, "other", accepted) > 0) return other;
    wmbt_kv_free(other);
    pause_ms(100);
  }
  FAIL("a store without descriptors lets everybody in");
  return NULL;
}

static void store_without_descriptors(void) {
  bool accepted[saves_max], of_others[saves_max];
  wmbt_kv_handle_t *handle = open_with_limit();
  check_works(handle, "store-before");
  const pid_t pid = store_process();
  const struct rlimit limit = exhaust(pid);
  (void)call_all(handle, "store", accepted);
  wmbt_kv_handle_t *other = let_in_vain(pid, of_others);
  relieve(pid, &limit);
  check_works(handle, "store-after");
  check_accepted(handle, "store", accepted);
  if (other != NULL) check_works(other, "other-after");
  if (other != NULL) check_accepted(other, "other", of_others);
  CHECK(wmbt_kv_flush(handle, "", NULL) == 0, "flush: %s", wmbt_kv_last_error());
  CHECK(store_process() == pid, "the store process is another one");
  wmbt_kv_free(other);
  wmbt_kv_free(handle);
}

static void threads_of_a_store_without_descriptors(void) {
  wmbt_kv_handle_t *handle = open_with_limit();
  check_works(handle, "store-threads");
  call_beside(store_process(), handle, true);
  call_beside(store_process(), handle, false);
  wmbt_kv_free(handle);
}

const struct test_case store_descriptor_tests[] = {
    {"a store without descriptors answers or is refused with a reason, and loses nothing", store_without_descriptors},
    {"8 threads of an engine go on when their store has descriptors again", threads_of_a_store_without_descriptors},
    {NULL, NULL},
};
