/*
 * Small puts that are left in a ring of the daemon's shared memory, of which it has enough for several. The other side
 * plays along.
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
#include <sys/wait.h>
#include <unistd.h>

#include "processes.h"
#include "shared.h"

enum { thread_count = 4, many = 400, small_bytes = 4096 };

/* Whether this process maps a ring. */
static bool has_ring(void) {
  FILE *maps = fopen("/proc/self/maps", "r");
  if (maps == NULL) exit(2);
  char line[4600];
  bool is_found = false;
  while (!is_found && fgets(line, sizeof line, maps) != NULL) {
    is_found = strstr(line, " rw-s ") != NULL && strstr(line, "/ring-") != NULL;
  }
  (void)fclose(maps);
  return is_found;
}

/* As a handle asks for a ring at most once a second: puts until it has one. */
static void await_ring(wmbt_kv_handle_t *handle, const char *label) {
  for (unsigned i = 0; i < 400 && !has_ring(); i += 1) {
    char name[64];
    (void)snprintf(name, sizeof name, "%s-waits-%u", label, i);
    struct batch batch = batch_of(name, 1, 100);
    check_put(handle, "", &batch);
    batch_free(&batch);
    pause_ms(50);
  }
  CHECK(has_ring(), "%s: there is no ring", label);
}

static void put_one_by_one(wmbt_kv_handle_t *handle, const struct batch *batch) {
  const uint8_t *const *payloads = batch_payloads(batch);
  for (size_t i = 0; i < batch->count; i += 1) {
    const int64_t rc = wmbt_kv_put_kv_blocks(handle, "", batch->hashes + i, payloads + i, batch->lens + i, 1);
    CHECK(rc == (int64_t)batch->lens[i], "put %zu gives %lld: %s", i, (long long)rc,
          wmbt_kv_last_error() == NULL ? "no error" : wmbt_kv_last_error());
  }
}

static void check_each(wmbt_kv_handle_t *handle, const struct batch *batch) {
  for (size_t i = 0; i < batch->count; i += 1) check_get(handle, "", batch, i, 1);
}

static void left_and_read(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("left", many, small_bytes), whole = batch_of("left-whole", 40, small_bytes);
  /* As blocks of a small model, of which one entry holds sixty. */
  struct batch full = batch_of("left-full", 60, 16384);
  batch.lens[1] = 0;
  batch.lens[2] = 1;
  batch.lens[3] = 4095;
  await_ring(handle, "left");
  put_one_by_one(handle, &batch);
  check_each(handle, &batch);
  check_put(handle, "", &whole);
  check_get(handle, "", &whole, 0, whole.count);
  check_put(handle, "", &full);
  check_get(handle, "", &full, 0, full.count);
  /* What lies there already, and what no ring takes. */
  check_put(handle, "", &whole);
  struct batch longer = batch_of("left-longer", 3, 200000);
  check_put(handle, "", &longer);
  check_get(handle, "", &longer, 0, 3);
  check_lookup(handle, "left-elsewhere", &whole, 0);
  check_put(handle, "left-elsewhere", &whole);
  check_get(handle, "left-elsewhere", &whole, 0, whole.count);
  wmbt_kv_free(handle);
  batch_free(&batch);
  batch_free(&whole);
  batch_free(&full);
  batch_free(&longer);
}

static void read_by_others(void) {
  wmbt_kv_handle_t *handle = open_handle(), *other = open_handle();
  await_ring(handle, "others");
  struct batch batch = batch_of("others", 30, 3000);
  for (size_t i = 0; i < batch.count; i += 1) {
    const uint8_t *const *payloads = batch_payloads(&batch);
    (void)wmbt_kv_put_kv_blocks(handle, "", batch.hashes + i, payloads + i, batch.lens + i, 1);
    check_get(other, "", &batch, i, 1);
  }
  wmbt_kv_free(handle);
  wmbt_kv_free(other);
  batch_free(&batch);
}

static void freed_at_once(void) {
  wmbt_kv_handle_t *handle = open_handle();
  await_ring(handle, "freed");
  struct batch batch = batch_of("freed", many, small_bytes);
  put_one_by_one(handle, &batch);
  wmbt_kv_free(handle);
  CHECK(!has_ring(), "the ring stays mapped");
  handle = open_handle();
  check_each(handle, &batch);
  wmbt_kv_free(handle);
  batch_free(&batch);
}

struct putter {
  wmbt_kv_handle_t *handle;
  struct batch batch;
};

static void *put_all(void *argument) {
  const struct putter *putter = argument;
  put_one_by_one(putter->handle, &putter->batch);
  return NULL;
}

/* The same, and ends when it is told to: of a thread that has ended, a child of this process would seem to leak it. */
static atomic_bool may_end;

static void *put_all_and_wait(void *argument) {
  (void)put_all(argument);
  while (!atomic_load(&may_end)) pause_ms(5);
  return NULL;
}

static void threads_leave(void) {
  wmbt_kv_handle_t *handle = open_handle();
  await_ring(handle, "threads");
  struct putter putters[thread_count];
  pthread_t threads[thread_count];
  for (unsigned i = 0; i < thread_count; i += 1) {
    char label[32];
    (void)snprintf(label, sizeof label, "thread-%u", i);
    /* Together more than the ring holds. */
    putters[i] = (struct putter){handle, batch_of(label, 900, 3000 + 100 * i)};
    if (pthread_create(&threads[i], NULL, put_all, &putters[i]) != 0) exit(2);
  }
  for (unsigned i = 0; i < thread_count; i += 1) {
    (void)pthread_join(threads[i], NULL);
    check_each(handle, &putters[i].batch);
    batch_free(&putters[i].batch);
  }
  wmbt_kv_free(handle);
}

static int leave_in_child(wmbt_kv_handle_t *handle, unsigned number) {
  char label[32];
  (void)snprintf(label, sizeof label, "child-%u", number);
  struct batch batch = batch_of(label, 50, 2000);
  const bool is_parents = has_ring();
  const uint8_t *const *payloads = batch_payloads(&batch);
  int status = 0;
  for (size_t i = 0; i < batch.count; i += 1) {
    if (wmbt_kv_put_kv_blocks(handle, "", batch.hashes + i, payloads + i, batch.lens + i, 1) != 2000) status |= 1;
  }
  return status | (is_parents ? 0 : 2);
}

static void forked_children_leave(void) {
  wmbt_kv_handle_t *handle = open_handle();
  await_ring(handle, "forks");
  struct putter putter = {handle, batch_of("parent", 2000, 1000)};
  pthread_t thread;
  if (pthread_create(&thread, NULL, put_all_and_wait, &putter) != 0) exit(2);
  (void)fflush(stdout);
  for (unsigned i = 0; i < 4; i += 1) {
    const pid_t pid = fork();
    if (pid < 0) exit(2);
    if (pid == 0) _exit(leave_in_child(handle, i));
    int status = -1;
    while (waitpid(pid, &status, 0) < 0) {}
    CHECK(status == 0, "child %u ends with %x: 1 cannot put, 2 had no ring to inherit", i, (unsigned)status >> 8);
    char label[32];
    (void)snprintf(label, sizeof label, "child-%u", i);
    struct batch batch = batch_of(label, 50, 2000);
    check_each(handle, &batch);
    batch_free(&batch);
  }
  atomic_store(&may_end, true);
  (void)pthread_join(thread, NULL);
  check_each(handle, &putter.batch);
  batch_free(&putter.batch);
  wmbt_kv_free(handle);
}

static void killed_behind_them(void) {
  for (unsigned round = 0; round < 4; round += 1) {
    wmbt_kv_handle_t *handle = open_handle();
    char label[32];
    (void)snprintf(label, sizeof label, "killed-%u", round);
    await_ring(handle, label);
    struct batch batch = batch_of(label, many, small_bytes), next = batch_of("next", 3, small_bytes);
    put_one_by_one(handle, &batch);
    tell_and_wait("kill");
    tell_and_wait("start");
    check_each(handle, &batch);
    check_put(handle, "", &next);
    check_get(handle, "", &next, 0, 3);
    wmbt_kv_free(handle);
    batch_free(&batch);
    batch_free(&next);
  }
}

static atomic_uint accepted_puts;

/* Waits until so many more puts are accepted than now: a daemon that is killed then has something to lose. */
static void await_accepted(unsigned more) {
  const unsigned before = atomic_load(&accepted_puts);
  for (const int64_t end = now_ms() + 20000; atomic_load(&accepted_puts) - before < more && now_ms() < end;) {
    pause_ms(2);
  }
}

/* Puts while the daemon is killed and started; how many were accepted, from the first one on. */
static void *put_on(void *argument) {
  struct putter *putter = argument;
  const uint8_t *const *payloads = batch_payloads(&putter->batch);
  for (size_t i = 0; i < putter->batch.count; i += 1) {
    const int64_t rc = wmbt_kv_put_kv_blocks(putter->handle, "", putter->batch.hashes + i, payloads + i,
                                             putter->batch.lens + i, 1);
    /* Said not to be accepted: it may be there or not. */
    if (rc < 0) putter->batch.lens[i] = 0;
    if (rc >= 0) atomic_fetch_add(&accepted_puts, 1);
    if (i % 8 == 0) pause_ms(1);
  }
  return NULL;
}

static void killed_meanwhile(void) {
  wmbt_kv_handle_t *handle = open_handle();
  await_ring(handle, "meanwhile");
  struct putter putter = {handle, batch_of("meanwhile", 12000, 1500)};
  pthread_t thread;
  if (pthread_create(&thread, NULL, put_on, &putter) != 0) exit(2);
  for (unsigned round = 0; round < 3; round += 1) {
    await_accepted(400);
    tell_and_wait("kill");
    pause_ms(20);
    tell_and_wait("start");
  }
  (void)pthread_join(thread, NULL);
  unsigned accepted = 0;
  for (size_t i = 0; i < putter.batch.count; i += 1) {
    if (putter.batch.lens[i] == 0) continue;
    check_get(handle, "", &putter.batch, i, 1);
    accepted += 1;
  }
  CHECK(accepted > 1000, "%u puts were accepted", accepted);
  wmbt_kv_free(handle);
  batch_free(&putter.batch);
}

enum { lent_blocks = 6, lent_bytes = 300000, renewal_ms = 120 };

/* Puts for which the daemon lends memory ahead of need, from the second one on, and a rest behind each. */
static void put_lent(wmbt_kv_handle_t *handle, const struct batch *batch) {
  check_put(handle, "", batch);
  pause_ms(renewal_ms);
}

static void lent_and_read(void) {
  wmbt_kv_handle_t *handle = open_handle(), *other = open_handle();
  await_ring(handle, "lent");
  for (unsigned round = 0; round < 12; round += 1) {
    char label[32];
    (void)snprintf(label, sizeof label, "lent-%u", round);
    struct batch batch = batch_of(label, lent_blocks, lent_bytes);
    put_lent(handle, &batch);
    check_get(handle, "", &batch, 0, lent_blocks);
    check_get(other, "", &batch, 0, lent_blocks);
    batch_free(&batch);
  }
  /* The first half is there, and the rest goes to memory that was lent for as many blocks. */
  struct batch grown = batch_of("lent-grown", lent_blocks, lent_bytes), half = grown;
  half.count = lent_blocks / 2;
  put_lent(handle, &half);
  put_lent(handle, &grown);
  check_lookup(other, "", &grown, lent_blocks);
  check_get(other, "", &grown, 0, lent_blocks);
  batch_free(&grown);
  wmbt_kv_free(handle);
  wmbt_kv_free(other);
}

static void lengths_change(void) {
  wmbt_kv_handle_t *handle = open_handle();
  await_ring(handle, "lengths");
  for (unsigned round = 0; round < 24; round += 1) {
    char label[32];
    (void)snprintf(label, sizeof label, "lengths-%u", round);
    struct batch batch = batch_of(label, 2 + round % 3, round % 8 < 4 ? 40000 : 90000 + 1000 * (round % 2));
    check_put(handle, "", &batch);
    pause_ms(30);
    check_get(handle, "", &batch, 0, batch.count);
    batch_free(&batch);
  }
  wmbt_kv_free(handle);
}

static void lent_and_killed(void) {
  for (unsigned round = 0; round < 3; round += 1) {
    wmbt_kv_handle_t *handle = open_handle();
    char label[32], first_label[32];
    (void)snprintf(label, sizeof label, "lent-killed-%u", round);
    (void)snprintf(first_label, sizeof first_label, "lent-first-%u", round);
    await_ring(handle, label);
    struct batch first = batch_of(first_label, lent_blocks, lent_bytes);
    struct batch batch = batch_of(label, lent_blocks, lent_bytes);
    put_lent(handle, &first);
    check_put(handle, "", &batch);
    tell_and_wait("kill");
    tell_and_wait("start");
    check_get(handle, "", &first, 0, lent_blocks);
    check_get(handle, "", &batch, 0, lent_blocks);
    wmbt_kv_free(handle);
    batch_free(&first);
    batch_free(&batch);
  }
}

static void *put_lent_on(void *argument) {
  struct putter *putter = argument;
  const uint8_t *const *payloads = batch_payloads(&putter->batch);
  for (size_t i = 0; i < putter->batch.count; i += 2) {
    const int64_t rc = wmbt_kv_put_kv_blocks(putter->handle, "", putter->batch.hashes + i, payloads + i,
                                             putter->batch.lens + i, 2);
    /* Said not to be accepted: they may be there or not. Some are left for when the daemon is back. */
    if (rc < 0) putter->batch.lens[i] = putter->batch.lens[i + 1] = 0;
    if (rc >= 0) atomic_fetch_add(&accepted_puts, 1);
    pause_ms(rc < 0 ? 40 : 4);
  }
  return NULL;
}

static void lent_killed_meanwhile(void) {
  wmbt_kv_handle_t *handle = open_handle();
  await_ring(handle, "lent-meanwhile");
  struct putter putters[2] = {{handle, batch_of("lent-meanwhile", 600, 30000)},
                              {handle, batch_of("lent-beside", 600, 30000)}};
  pthread_t threads[2];
  for (unsigned i = 0; i < 2; i += 1) {
    if (pthread_create(&threads[i], NULL, put_lent_on, &putters[i]) != 0) exit(2);
  }
  for (unsigned round = 0; round < 2; round += 1) {
    await_accepted(40);
    tell_and_wait("kill");
    pause_ms(20);
    tell_and_wait("start");
  }
  unsigned accepted = 0;
  for (unsigned i = 0; i < 2; i += 1) {
    (void)pthread_join(threads[i], NULL);
    const struct batch *batch = &putters[i].batch;
    for (size_t at = 0; at < batch->count; at += 1) {
      if (batch->lens[at] == 0) continue;
      check_get(handle, "", batch, at, 1);
      accepted += 1;
    }
    batch_free(&putters[i].batch);
  }
  CHECK(accepted > 100, "%u blocks were accepted", accepted);
  wmbt_kv_free(handle);
}

const struct test_case lent_tests[] = {
    {"longer payloads go to memory that is lent ahead of need, and are read as they were put", lent_and_read},
    {NULL, NULL},
};

const struct test_case left_tests[] = {
    {"small payloads are left in a ring, and read as they were put", left_and_read},
    {NULL, NULL},
};

const struct test_case ring_tests[] = {
    {"whoever else gets them has them at once", read_by_others},
    {"they are there when their handle is freed behind the put", freed_at_once},
    {"threads leave more than the ring holds on one handle", threads_leave},
    {"forked children leave theirs elsewhere than their parent", forked_children_leave},
    {"what was left is there when the daemon is killed behind the last put", killed_behind_them},
    {"what was accepted is there when daemons are killed meanwhile", killed_meanwhile},
    {"payloads of several lengths come back as they were put", lengths_change},
    {"what lies in lent memory is there when the daemon is killed behind the last put", lent_and_killed},
    {"the same when daemons are killed while two threads put", lent_killed_meanwhile},
    {NULL, NULL},
};
