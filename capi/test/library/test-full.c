/*
 * Places that are full: the disk of a store, or its shared memory. The other side fills one and empties it again, and
 * kills and starts a daemon; the store of a program's own is killed here.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "load.h"
#include "processes.h"

enum {
  block_count = 4,
  block_bytes = 200000,
  /* Together twice what the memory tier of 16 MiB takes. */
  saves_max = 44,
  kept_max = 3 * saves_max,
  tail_bytes = 100000,
  /* Of a call, in a store that has nowhere to put anything; and what no call reaches on a busy machine. */
  call_limit_ms = 4000,
  call_most_ms = 3 * call_limit_ms,
};
static const char *const call_limit_text = "4000";

/* Saves that a store accepted, by their labels. */
struct kept {
  unsigned count;
  unsigned refused;
  char labels[kept_max][24];
};

static wmbt_kv_handle_t *open_with_limit(void) {
  (void)setenv("WMBT_KV_REMOTE_CALL_TIMEOUT_MS", call_limit_text, 1);
  return open_handle();
}

static void check_took(int64_t began, const char *what) {
  CHECK(now_ms() - began < call_most_ms, "%s took %lld ms", what, (long long)(now_ms() - began));
}

/* A refusal says that the store is busy, or that what it needs cannot be had. */
static void check_refusal(const char *what) {
  const char *error = wmbt_kv_last_error();
  const bool is_told = error != NULL && (strstr(error, "busy") != NULL || strstr(error, "unavailable") != NULL);
  CHECK(is_told, "%s is refused: %s", what, error == NULL ? "no error" : error);
}

/* One save, and a tail with it; noted when it was accepted. */
static void save(wmbt_kv_handle_t *handle, struct kept *kept, const char *label) {
  struct batch batch = batch_of(label, block_count, block_bytes);
  int64_t began = now_ms();
  const int64_t put =
      wmbt_kv_put_kv_blocks(handle, "full", batch.hashes, batch_payloads(&batch), batch.lens, block_count);
  check_took(began, "a put");
  CHECK(put == (int64_t)block_count * block_bytes || put == -1, "a put gives %lld", (long long)put);
  if (put == -1) {
    check_refusal("a put");
    kept->refused += 1;
  } else {
    (void)snprintf(kept->labels[kept->count], sizeof kept->labels[0], "%s", label);
    kept->count += 1;
    check_lookup(handle, "full", &batch, block_count);
  }
  batch_free(&batch);
}

static void save_many(wmbt_kv_handle_t *handle, struct kept *kept, const char *phase) {
  for (unsigned i = 0; i < saves_max && kept->count < kept_max; i += 1) {
    char label[24];
    (void)snprintf(label, sizeof label, "%s-%u", phase, i);
    save(handle, kept, label);
  }
}

/* All that was accepted, byte for byte. */
static void check_kept(wmbt_kv_handle_t *handle, const struct kept *kept) {
  for (unsigned i = 0; i < kept->count; i += 1) {
    struct batch batch = batch_of(kept->labels[i], block_count, block_bytes);
    const int64_t began = now_ms();
    check_lookup(handle, "full", &batch, block_count);
    check_get(handle, "full", &batch, 0, block_count);
    check_took(began, "a lookup and a get");
    batch_free(&batch);
  }
}

/* Whether the tail of the label is taken. */
static bool save_tail(wmbt_kv_handle_t *handle, const char *label) {
  struct batch tail = batch_of(label, 1, tail_bytes);
  char err[400] = "";
  const int64_t began = now_ms();
  const int32_t rc =
      wmbt_kv_put_raw_tail(handle, "full", tail.hashes[0], tail.payloads[0], tail_bytes, err, sizeof err);
  check_took(began, "a tail");
  CHECK(rc == 0 || (rc == -1 && err[0] != '\0'), "a tail gives %d: %s", rc, err);
  batch_free(&tail);
  return rc == 0;
}

static void check_tail(wmbt_kv_handle_t *handle, const char *label) {
  struct batch tail = batch_of(label, 1, tail_bytes);
  const uint8_t *bytes = NULL;
  size_t length = 0;
  wmbt_kv_borrow_t *borrow = NULL;
  char err[400] = "";
  const int32_t rc =
      wmbt_kv_get_raw_tail_borrowed(handle, "full", tail.hashes[0], &bytes, &length, &borrow, err, sizeof err);
  const bool is_equal = rc == 1 && length == tail_bytes && memcmp(bytes, tail.payloads[0], tail_bytes) == 0;
  CHECK(is_equal, "the get of a tail gives %d and %zu bytes, or other ones: %s", rc, length, err);
  if (rc == 1) wmbt_kv_release_borrow(borrow);
  batch_free(&tail);
}

/* SIGKILL for whoever stores, which starts again by itself or is told to. */
static void kill_store(void) {
  if (getenv("WMBT_KV_REMOTE_PREFIX") != NULL || getenv("WMBT_KV_TCP_ADDR") != NULL ||
      getenv("WMBT_KV_HTTP_ADDR") != NULL) {
    tell_and_wait("kill");
    return;
  }
  const pid_t pid = only_child();
  if (pid <= 0) return;
  (void)kill(pid, SIGKILL);
  await_end_of(pid);
}

/* What is kept before, while a place is full, and when it has room again. */
static void fill_and_empty(bool is_killed, struct kept *kept) {
  const char *const phase = is_killed ? "killed" : "kept";
  char label[24];
  wmbt_kv_handle_t *handle = open_with_limit();
  (void)snprintf(label, sizeof label, "%s-before", phase);
  save(handle, kept, label);
  CHECK(kept->count == 1 && save_tail(handle, label), "nothing is kept before it is full");
  tell_and_wait("fill");
  check_kept(handle, kept);
  check_tail(handle, label);
  save_many(handle, kept, phase);
  char full_label[24];
  (void)snprintf(full_label, sizeof full_label, "%s-full", phase);
  const bool is_tail_kept = save_tail(handle, full_label);
  check_kept(handle, kept);
  if (is_killed) kill_store();
  tell_and_wait("empty");
  if (is_killed) tell_and_wait("start");
  /* The next call works. */
  char after[24];
  (void)snprintf(after, sizeof after, "%s-after", phase);
  const unsigned refused = kept->refused;
  save(handle, kept, after);
  CHECK(kept->refused == refused, "the first put after it is refused: %s", wmbt_kv_last_error());
  check_kept(handle, kept);
  check_tail(handle, label);
  if (is_tail_kept) check_tail(handle, full_label);
  CHECK(wmbt_kv_flush(handle, "", NULL) == 0, "flush: %s", wmbt_kv_last_error());
  check_kept(handle, kept);
  wmbt_kv_free(handle);
  printf("note %s: %u saves accepted, %u refused\n", phase, kept->count, kept->refused);
}

static void full_disk(void) {
  static struct kept kept;
  fill_and_empty(false, &kept);
  CHECK(kept.refused > 0, "nothing was refused, so nothing was full");
}

static void killed_on_full_disk(void) {
  static struct kept kept;
  fill_and_empty(true, &kept);
  CHECK(kept.refused > 0, "nothing was refused, so nothing was full");
}

/* Threads that call on while a place is full, and when it has room again. */
static void fill_beside_threads(struct load *load) {
  *load = (struct load){.handle = open_with_limit(), .ns = "beside", .block_bytes = 20000};
  tell_and_wait("fill");
  load_begin(load);
  load_go_on(load, "while it is full");
  tell_and_wait("empty");
  load_recover(load, "when there is room again");
  load_end(load);
  CHECK(wmbt_kv_flush(load->handle, "", NULL) == 0, "flush: %s", wmbt_kv_last_error());
  wmbt_kv_free(load->handle);
  printf("note beside: %u turns went well, %u failed\n", atomic_load(&load->succeeded), atomic_load(&load->failed));
}

static void threads_on_full_disk(void) {
  struct load load;
  fill_beside_threads(&load);
}

static void threads_in_full_memory(void) {
  struct load load;
  fill_beside_threads(&load);
  CHECK(atomic_load(&load.failed) == 0, "%u turns failed", atomic_load(&load.failed));
}

const struct test_case full_disk_tests[] = {
    {"a full disk refuses saves by name, keeps what was accepted, and takes the first one after it", full_disk},
    {"what was accepted on a full disk is there when its store was killed", killed_on_full_disk},
    {"8 threads on a full disk are refused by name, and go on when it has room", threads_on_full_disk},
    {NULL, NULL},
};

static void full_memory(void) {
  static struct kept kept;
  fill_and_empty(false, &kept);
  CHECK(kept.refused == 0, "%u saves were refused", kept.refused);
}

static void killed_in_full_memory(void) {
  static struct kept kept;
  fill_and_empty(true, &kept);
}

const struct test_case full_memory_tests[] = {
    {"full shared memory refuses nothing, for there is a disk", full_memory},
    {"what was accepted in full shared memory is there when its store was killed", killed_in_full_memory},
    {"8 threads notice nothing of full shared memory", threads_in_full_memory},
    {NULL, NULL},
};
