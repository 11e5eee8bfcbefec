/* A store of one's own and a child that was forked from its owner. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "processes.h"

/* Waits for the child; its exit status says whether all was well. */
static void check_child(pid_t pid) {
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  CHECK(status == 0, "the child ends with %d", status);
}

static void forked_child_outlives(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("outlived", 3, 60000);
  check_put(handle, "own", &batch);
  int ends[2];
  if (pipe(ends) != 0) exit(2);
  (void)fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    char byte;
    (void)close(ends[1]);
    check_lookup(handle, "own", &batch, 3);
    /* Until the parent has freed its handle, and its store has ended. */
    if (read(ends[0], &byte, 1) != 1) _exit(3);
    size_t matched = 0;
    const int32_t rc = wmbt_kv_lookup_block_prefix(handle, "own", batch.hashes, 3, &matched, NULL, 0);
    if (rc != 0) fprintf(stderr, "the child: %s\n", wmbt_kv_last_error());
    pid_t pids[children_max];
    const bool has_own = children(pids) == 1;
    wmbt_kv_free(handle);
    await_no_child();
    _exit(rc == 0 && matched == 3 && has_own ? 0 : 1);
  }
  (void)close(ends[0]);
  wmbt_kv_free(handle);
  pid_t pids[children_max];
  const int64_t end = now_ms() + 30000;
  while (children(pids) > 1 && now_ms() < end) pause_ms(20);
  CHECK(children(pids) == 1, "the store stays while a forked child lives");
  CHECK(write(ends[1], "!", 1) == 1, "the child is not told: %s", strerror(errno));
  check_child(pid);
  (void)close(ends[1]);
  batch_free(&batch);
}

/* The store of the parent does not answer, and then it does: the child starts no other one. */
static int keep_to_the_parent(wmbt_kv_handle_t *handle, const struct batch *batch, pid_t store) {
  size_t matched = 9;
  pid_t pids[children_max];
  (void)kill(store, SIGSTOP);
  const bool has_failed =
      wmbt_kv_lookup_block_prefix(handle, "absent", batch->hashes, batch->count, &matched, NULL, 0) == -1;
  const unsigned started = children(pids);
  (void)kill(store, SIGCONT);
  const int64_t end = now_ms() + 20000;
  int32_t rc = -1;
  while (rc != 0 && now_ms() < end) {
    rc = wmbt_kv_lookup_block_prefix(handle, "own", batch->hashes, batch->count, &matched, NULL, 0);
  }
  const bool is_found = rc == 0 && matched == batch->count && children(pids) == 0;
  wmbt_kv_free(handle);
  return (has_failed ? 0 : 1) | (started == 0 ? 0 : 2) | (is_found ? 0 : 4);
}

static void living_store_is_kept(void) {
  /* Of a call to a store that is stopped; those that are answered end long before. */
  (void)setenv("WMBT_KV_LOOKUP_DEADLINE_MS", "1500", 1);
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("kept-store", 3, 60000);
  check_put(handle, "own", &batch);
  const pid_t store = only_child();
  (void)fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) _exit(keep_to_the_parent(handle, &batch, store));
  check_child(pid);
  check_lookup(handle, "own", &batch, 3);
  wmbt_kv_free(handle);
  (void)unsetenv("WMBT_KV_LOOKUP_DEADLINE_MS");
  batch_free(&batch);
  await_no_child();
}

/* Opens when the store of the parent, which the child knows of, has ended. */
static int open_anew(int told) {
  char byte;
  if (read(told, &byte, 1) != 1) return 3;
  wmbt_kv_handle_t *handle = wmbt_kv_init_from_env();
  if (handle == NULL) fprintf(stderr, "the child: %s\n", wmbt_kv_last_error());
  pid_t pids[children_max];
  const bool has_own = handle != NULL && children(pids) == 1;
  wmbt_kv_free(handle);
  await_no_child();
  return has_own ? 0 : 1;
}

static void opened_after_the_parent(void) {
  wmbt_kv_handle_t *handle = open_handle();
  int ends[2];
  if (pipe(ends) != 0) exit(2);
  const pid_t store = only_child();
  (void)fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    (void)close(ends[1]);
    _exit(open_anew(ends[0]));
  }
  (void)close(ends[0]);
  wmbt_kv_free(handle);
  await_end_of(store);
  CHECK(write(ends[1], "!", 1) == 1, "the child is not told: %s", strerror(errno));
  check_child(pid);
  (void)close(ends[1]);
}

const struct test_case embedded_fork_tests[] = {
    {"a forked child has a store of its own when that of its parent has ended", forked_child_outlives},
    {"a forked child keeps to the store of its parent while that lives, answering or not", living_store_is_kept},
    {"a forked child may open a handle when the store of its parent has ended", opened_after_the_parent},
    {NULL, NULL},
};
