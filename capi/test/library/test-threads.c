/* Many threads on one handle, and processes that are forked. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { thread_count = 24, rounds = 12 };

struct worker {
  wmbt_kv_handle_t *handle;
  char ns[40];
  unsigned number;
};

/* Blocks of its own, and some that all put. */
static void *work(void *argument) {
  const struct worker *worker = argument;
  char label[64];
  struct batch shared = batch_of("shared", 6, 40000);
  for (unsigned round = 0; round < rounds; round += 1) {
    (void)snprintf(label, sizeof label, "own-%u-%u", worker->number, round);
    struct batch own = batch_of(label, 3, 20000 + 60000 * (round % 3));
    check_put(worker->handle, worker->ns, &own);
    check_put(worker->handle, worker->ns, &shared);
    check_lookup(worker->handle, worker->ns, &own, 3);
    check_get(worker->handle, worker->ns, &own, 0, 3);
    check_get(worker->handle, worker->ns, &shared, 0, 6);
    CHECK(wmbt_kv_put_kv_blocks(NULL, "", NULL, NULL, NULL, 0) == -1, "without a handle");
    check_text(wmbt_kv_last_error(), "handle is NULL", "the last error of this thread");
    batch_free(&own);
  }
  batch_free(&shared);
  return NULL;
}

static void storm(wmbt_kv_handle_t *handle, const char *name) {
  pthread_t threads[thread_count];
  struct worker workers[thread_count];
  for (unsigned i = 0; i < thread_count; i += 1) {
    workers[i] = (struct worker){.handle = handle, .number = i};
    (void)snprintf(workers[i].ns, sizeof workers[i].ns, "%s-%lld", name, (long long)now_ms() / 60000);
    if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0) exit(2);
  }
  for (unsigned i = 0; i < thread_count; i += 1) (void)pthread_join(threads[i], NULL);
}

enum { descriptors_max = 1024 };

/* Marks the open ones; gives their number. */
static unsigned open_descriptors(bool is_open[descriptors_max]) {
  unsigned count = 0;
  for (int fd = 0; fd < descriptors_max; fd += 1) {
    is_open[fd] = fcntl(fd, F_GETFD) >= 0;
    count += is_open[fd] ? 1 : 0;
  }
  return count;
}

static void many_threads(void) {
  bool was_open[descriptors_max], is_open[descriptors_max];
  const unsigned before = open_descriptors(was_open);
  wmbt_kv_handle_t *handle = open_handle();
  storm(handle, "storm");
  const unsigned during = open_descriptors(is_open);
  /* Connections, one of shared memory, and the bond to a store of its own. */
  const bool has_daemon = getenv("WMBT_KV_REMOTE_PREFIX") != NULL || getenv("WMBT_KV_TCP_ADDR") != NULL;
  const unsigned most = has_daemon ? 13 : 14;
  CHECK(during > before && during - before <= most, "%u descriptors are open", during - before);
  for (int fd = 0; fd < descriptors_max; fd += 1) {
    if (!is_open[fd] || was_open[fd]) continue;
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0, "descriptor %d stays open on exec", fd);
  }
  wmbt_kv_free(handle);
  CHECK(open_descriptors(is_open) == before, "descriptors are left");
}

/* Puts through the handle that it has from its parent. Its exit status says whether all was well. */
static int child(wmbt_kv_handle_t *handle, const struct batch *batch, const uint8_t *borrowed) {
  size_t matched = 0;
  const bool is_found =
      wmbt_kv_lookup_block_prefix(handle, "fork", batch->hashes, batch->count, &matched, NULL, 0) == 0 &&
      matched == batch->count;
  struct batch own = batch_of("child", 2, 150000);
  const bool is_put =
      wmbt_kv_put_kv_blocks(handle, "fork", own.hashes, batch_payloads(&own), own.lens, own.count) == 300000;
  const bool is_kept = memcmp(borrowed, batch->payloads[0], batch->lens[0]) == 0;
  wmbt_kv_free(handle);
  return is_found && is_put && is_kept ? 0 : 1;
}

/* What the thread beside the forks does until they are over: one that has ended would be the child's to join. */
static atomic_bool are_forks_over;

static void *call_on(void *argument) {
  const struct worker *worker = argument;
  struct batch batch = batch_of("beside-fork", 4, 90000);
  while (!atomic_load(&are_forks_over)) {
    check_put(worker->handle, worker->ns, &batch);
    check_get(worker->handle, worker->ns, &batch, 0, 4);
  }
  batch_free(&batch);
  return NULL;
}

static void forked_children(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("parent", 3, 100000);
  check_put(handle, "fork", &batch);
  const uint8_t **payloads;
  const size_t *lens;
  wmbt_kv_borrow_t *borrow = NULL;
  CHECK(wmbt_kv_get_kv_blocks_borrowed(handle, "fork", batch.hashes, 1, &payloads, &lens, &borrow) == 1, "no borrow");
  struct worker worker = {.handle = handle, .ns = "fork-beside"};
  pthread_t thread;
  if (pthread_create(&thread, NULL, call_on, &worker) != 0) exit(2);
  (void)fflush(stdout);
  for (unsigned i = 0; i < 5; i += 1) {
    const pid_t pid = fork();
    if (pid == 0) _exit(child(handle, &batch, payloads[0]));
    if (pid < 0) {
      FAIL("fork: %s", strerror(errno));
      break;
    }
    int status = -1;
    pid_t ended;
    do ended = waitpid(pid, &status, 0);
    while (ended < 0 && errno == EINTR);
    CHECK(ended == pid, "waiting for a child: %s", strerror(errno));
    CHECK(status == 0, "a child ends with %d", status);
    check_get(handle, "fork", &batch, 0, 3);
  }
  atomic_store(&are_forks_over, true);
  (void)pthread_join(thread, NULL);
  struct batch theirs = batch_of("child", 2, 150000);
  check_get(handle, "fork", &theirs, 0, 2);
  wmbt_kv_release_borrow(borrow);
  batch_free(&theirs);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

static void *open_and_fail(void *argument) {
  (void)argument;
  (void)wmbt_kv_open_tcp("nowhere");
  return NULL;
}

static void errors_of_threads_are_apart(void) {
  (void)wmbt_kv_put_kv_blocks(NULL, "", NULL, NULL, NULL, 0);
  pthread_t thread;
  if (pthread_create(&thread, NULL, open_and_fail, NULL) != 0) exit(2);
  (void)pthread_join(thread, NULL);
  check_text(wmbt_kv_last_error(), "handle is NULL", "the error of this thread");
}

const struct test_case thread_tests[] = {
    {"24 threads share a handle and its limited connections", many_threads},
    {"forked children use their parent's handle, and do not disturb it", forked_children},
    {"the last error is that of the thread", errors_of_threads_are_apart},
    {NULL, NULL},
};
