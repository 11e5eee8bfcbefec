/* Blocks that are read while the daemon builds its index anew. Its memory tier has 4 MiB, so that it often does. */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "shared.h"

enum { block_count = 40, block_bytes = 1500, reader_count = 3, loans_max = 3, batches_max = 1200 };

/* What readers read: the batch that was saved last, by its number; below zero: nothing more. */
static atomic_int newest;

static struct batch numbered_batch(int number) {
  char label[32];
  (void)snprintf(label, sizeof label, "rebuilt-%d", number);
  return batch_of(label, block_count, block_bytes);
}

/* The file that is the daemon's index now. */
static ino_t index_now(void) {
  char path[4200], directory[4096];
  const char *run = getenv("WMBT_KV_RUNTIME_DIR"), *prefix = getenv("WMBT_KV_REMOTE_PREFIX");
  (void)snprintf(path, sizeof path, "%s/%s.sock.shm", run == NULL ? "" : run, prefix == NULL ? "" : prefix);
  FILE *announcement = fopen(path, "r");
  if (announcement == NULL || fgets(directory, sizeof directory, announcement) == NULL) exit(2);
  (void)fclose(announcement);
  directory[strcspn(directory, "\n")] = '\0';
  (void)snprintf(path, sizeof path, "%s/index", directory);
  struct stat status;
  if (stat(path, &status) != 0) exit(2);
  return status.st_ino;
}

/* How many indexes this process has mapped. */
static unsigned mapped_indexes(void) {
  FILE *maps = fopen("/proc/self/maps", "r");
  if (maps == NULL) exit(2);
  char line[4600];
  unsigned count = 0;
  while (fgets(line, sizeof line, maps) != NULL) count += strstr(line, "/index") != NULL;
  (void)fclose(maps);
  return count;
}

/* Saves batches until the index was built anew so often; gives the number behind the last one. */
static int save_until_rebuilt(wmbt_kv_handle_t *handle, int number, unsigned times) {
  ino_t index = index_now();
  for (const int end = number + batches_max; times > 0 && number < end; number += 1) {
    struct batch batch = numbered_batch(number);
    check_put(handle, "", &batch);
    batch_free(&batch);
    atomic_store(&newest, number);
    const ino_t now = index_now();
    if (now != index) times -= 1;
    index = now;
  }
  CHECK(times == 0, "the index is not built anew in %d batches", batches_max);
  return number;
}

struct held {
  struct batch batch;
  struct loan loan;
};

static void let_go(struct held *held) {
  check_unchanged(&held->loan, &held->batch, "while the index changed");
  wmbt_kv_release_borrow(held->loan.borrow);
  batch_free(&held->batch);
}

/* Gets the newest batch again and again, and looks at the bytes at once and when some more were got. */
static void *read_on(void *argument) {
  struct held held[loans_max];
  unsigned count = 0;
  for (int number; (number = atomic_load(&newest)) >= 0; count += 1) {
    struct held *one = &held[count % loans_max];
    if (count >= loans_max) let_go(one);
    one->batch = numbered_batch(number);
    check_lookup(argument, "", &one->batch, block_count);
    one->loan = borrow_blocks(argument, &one->batch);
    check_unchanged(&one->loan, &one->batch, "on its way");
  }
  CHECK(count > 0, "nothing was read");
  for (unsigned i = 0; i < loans_max && i < count; i += 1) let_go(&held[i]);
  return NULL;
}

static void every_byte(void) {
  wmbt_kv_handle_t *writer = open_handle(), *handle = open_handle();
  pthread_t threads[reader_count];
  struct batch first = numbered_batch(0);
  check_put(writer, "", &first);
  atomic_store(&newest, 0);
  for (unsigned i = 0; i < reader_count; i += 1) {
    if (pthread_create(&threads[i], NULL, read_on, handle) != 0) exit(2);
  }
  const int last = save_until_rebuilt(writer, 1, 4) - 1;
  atomic_store(&newest, -1);
  for (unsigned i = 0; i < reader_count; i += 1) (void)pthread_join(threads[i], NULL);
  /* Both handles have followed, and kept nothing. */
  struct batch batch = numbered_batch(last);
  for (unsigned i = 0; i < 2; i += 1) {
    struct loan loan = lend_blocks(i == 0 ? writer : handle, &batch);
    check_unchanged(&loan, &batch, "at last");
    wmbt_kv_release_borrow(loan.borrow);
  }
  CHECK(mapped_indexes() == 2, "two handles have %u indexes mapped", mapped_indexes());
  batch_free(&batch);
  batch_free(&first);
  wmbt_kv_free(handle);
  wmbt_kv_free(writer);
}

/* The parent has made no call since its index was superseded, and lets go of what it borrowed. */
static void forked_child(void) {
  wmbt_kv_handle_t *writer = open_handle(), *handle = open_handle();
  struct batch batch = batch_of("rebuilt-forked", block_count, block_bytes);
  check_put(handle, "", &batch);
  struct loan loan = lend_blocks(handle, &batch);
  const int next = save_until_rebuilt(writer, 5000, 1);
  int pipes[2];
  if (pipe(pipes) != 0) exit(2);
  const pid_t child = fork();
  if (child == 0) {
    char go;
    (void)close(pipes[1]);
    bool is_same = read(pipes[0], &go, 1) == 1;
    for (size_t i = 0; i < block_count; i += 1) {
      is_same = is_same && memcmp(loan.payloads[i], batch.payloads[i], batch.lens[i]) == 0;
    }
    _exit(is_same ? 0 : 1);
  }
  (void)close(pipes[0]);
  wmbt_kv_release_borrow(loan.borrow);
  (void)save_until_rebuilt(writer, next, 1);
  int status = -1;
  CHECK(write(pipes[1], "g", 1) == 1 && waitpid(child, &status, 0) == child, "the child is gone");
  CHECK(status == 0, "what the child has borrowed has changed: %d", status);
  (void)close(pipes[1]);
  batch_free(&batch);
  wmbt_kv_free(handle);
  wmbt_kv_free(writer);
}

const struct test_case rebuilt_tests[] = {
    {"every byte that is lent is the saved one while the index is built anew", every_byte},
    {"a forked child keeps what its parent had borrowed before the index was built anew", forked_child},
    {NULL, NULL},
};
