/* A daemon elsewhere through a process of this one's own, which is its client and keeps what was read near. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "processes.h"

static void kept_near(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("near", 6, 200000), other = batch_of("not-near", 2, 1000);
  check_put(handle, "", &batch);
  check_put(handle, "", &other);
  check_get(handle, "", &batch, 0, 6);
  tell_and_wait("kill");
  /* Nobody has told the process that the daemon is gone; what it has it gives. */
  check_get(handle, "", &batch, 0, 6);
  const uint8_t **payloads;
  const size_t *lens;
  wmbt_kv_borrow_t *borrow;
  CHECK(wmbt_kv_get_kv_blocks_borrowed(handle, "", other.hashes, 2, &payloads, &lens, &borrow) == -1,
        "not read before");
  check_text(wmbt_kv_last_error(), "unavailable", "a daemon that is gone");
  tell_and_wait("start");
  /* The process gives the daemon less time than calls have, so the first one may come too soon on a busy machine. */
  size_t matched = 0;
  for (const int64_t end = now_ms() + 20000; matched != 2 && now_ms() < end;) {
    if (wmbt_kv_lookup_block_prefix(handle, "", other.hashes, 2, &matched, NULL, 0) != 0) pause_ms(20);
  }
  check_get(handle, "", &other, 0, 2);
  batch_free(&batch);
  batch_free(&other);
  wmbt_kv_free(handle);
  await_no_child();
}

/* What was read lies in memory of the process, where this one reads it while the other does nothing. */
static void read_where_it_lies(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("lies", 6, 200000);
  check_put(handle, "", &batch);
  check_get(handle, "", &batch, 0, 6);
  const pid_t pid = only_child();
  if (pid > 0) (void)kill(pid, SIGSTOP);
  const int64_t before = now_ms();
  check_lookup(handle, "", &batch, 6);
  check_get(handle, "", &batch, 0, 6);
  check_get(handle, "", &batch, 2, 3);
  /* Whoever asks the process waits for its deadline. */
  CHECK(now_ms() - before < 5000, "a process that is stopped was asked");
  if (pid > 0) (void)kill(pid, SIGCONT);
  /* What this process deletes is gone from there too. */
  CHECK(wmbt_kv_delete(handle, "", WMBT_KV_DELETE_BLOCKS, batch.hashes, 6, NULL, NULL) == 0, "blocks are not deleted");
  check_lookup(handle, "", &batch, 0);
  batch_free(&batch);
  wmbt_kv_free(handle);
  await_no_child();
}

/* What another client has deleted is put at the daemon again, whatever is kept near. */
static void put_again(void) {
  const char *near = getenv("WMBT_KV_NEAR_CACHE_BYTES");
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("again", 3, 50000);
  check_put(handle, "", &batch);
  check_get(handle, "", &batch, 0, 3);
  char budget[32] = "";
  if (near != NULL) (void)snprintf(budget, sizeof budget, "%s", near);
  (void)setenv("WMBT_KV_NEAR_CACHE_BYTES", "0", 1);
  wmbt_kv_handle_t *other = open_handle();
  (void)setenv("WMBT_KV_NEAR_CACHE_BYTES", budget, 1);
  CHECK(wmbt_kv_delete(other, "", WMBT_KV_DELETE_BLOCKS, batch.hashes, 3, NULL, NULL) == 0, "blocks are not deleted");
  check_lookup(other, "", &batch, 0);
  check_get(handle, "", &batch, 0, 3);
  check_put(handle, "", &batch);
  check_lookup(other, "", &batch, 3);
  check_get(other, "", &batch, 0, 3);
  wmbt_kv_free(other);
  wmbt_kv_free(handle);
  batch_free(&batch);
  await_no_child();
}

/* The process is the daemon's client only: what was put lies at the daemon. */
static void replaced_process(void) {
  wmbt_kv_handle_t *handle = open_handle(), *second = open_handle();
  struct batch batch = batch_of("relayed", 4, 100000);
  check_put(handle, "", &batch);
  const pid_t pid = only_child();
  if (pid > 0) (void)kill(pid, SIGKILL);
  check_get(handle, "", &batch, 0, 4);
  check_lookup(second, "", &batch, 4);
  CHECK(only_child() != pid, "the process that was killed is there");
  (void)setenv("WMBT_KV_PUT_DURABLE", "1", 1);
  wmbt_kv_handle_t *durable = open_handle();
  struct batch whole = batch_of("relayed", 6, 100000);
  check_put(durable, "", &whole);
  check_put(durable, "", &whole);
  check_get(second, "", &whole, 0, 6);
  (void)unsetenv("WMBT_KV_PUT_DURABLE");
  (void)only_child();
  wmbt_kv_free(handle);
  wmbt_kv_free(second);
  wmbt_kv_free(durable);
  batch_free(&batch);
  batch_free(&whole);
  await_no_child();
}

const struct test_case relayed_tests[] = {
    {"what was read is kept near, and is there while the daemon is not", kept_near},
    {"what was read is read where it lies, without the process that keeps it", read_where_it_lies},
    {"what is kept near and deleted elsewhere is put again", put_again},
    {"handles share a process, and one that is killed is replaced", replaced_process},
    {NULL, NULL},
};
