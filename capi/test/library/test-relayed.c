/* A daemon elsewhere through a process of this one's own, which is its client and keeps what was read near. */
#include <signal.h>
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
  CHECK(wmbt_kv_get_kv_blocks_borrowed(handle, "", other.hashes, 2, &payloads, &lens, &borrow) == -1, "not read before");
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
    {"handles share a process, and one that is killed is replaced", replaced_process},
    {NULL, NULL},
};
