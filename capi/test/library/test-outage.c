/* A daemon that is killed and comes back, that stops, and peers that are none. The other side plays along. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "load.h"

/*
 * Of lookups here, so long that no busy machine takes it for one that it has to serve: who fails within half of it did
 * not wait for it. How soon that is says the scenario `between-hosts`.
 */
enum { lookup_limit_ms = 4000 };
static const char *const lookup_limit_text = "4000";

/* While the daemon is away: every call fails, does not wait for its deadline, and says why. */
static void calls_while_away(wmbt_kv_handle_t *handle, const struct batch *batch) {
  size_t matched = 5;
  int64_t slowest = 0;
  for (unsigned i = 0; i < 20; i += 1) {
    const int64_t began = now_ms();
    const int32_t rc = wmbt_kv_lookup_block_prefix(handle, "", batch->hashes, batch->count, &matched, NULL, 0);
    const int64_t took = now_ms() - began;
    CHECK(rc == -1 && matched == 5, "a lookup without a daemon gives %d and %zu", rc, matched);
    check_text(wmbt_kv_last_error(), "unavailable", "without a daemon");
    if (i > 0 && took > slowest) slowest = took;
  }
  CHECK(slowest < lookup_limit_ms / 2, "a call took %lld of its %d ms while the daemon was away", (long long)slowest,
        lookup_limit_ms);
}

static void killed_under_load(void) {
  (void)setenv("WMBT_KV_LOOKUP_DEADLINE_MS", lookup_limit_text, 1);
  struct load load = {.handle = open_handle(), .ns = "outage", .block_bytes = 120000};
  load_begin(&load);
  struct batch batch = batch_of("kept", 3, 200000);
  check_put(load.handle, "", &batch);
  const uint8_t **payloads;
  const size_t *lens;
  wmbt_kv_borrow_t *borrow = NULL;
  CHECK(wmbt_kv_get_kv_blocks_borrowed(load.handle, "", batch.hashes, 3, &payloads, &lens, &borrow) == 1, "no borrow");
  for (unsigned round = 0; round < 3; round += 1) {
    tell_and_wait("kill");
    calls_while_away(load.handle, &batch);
    CHECK(memcmp(payloads[2], batch.payloads[2], 200000) == 0, "the borrow has changed");
    tell_and_wait("start");
    /* A process that comes between gives the daemon less time than calls have: on a busy machine too little. */
    if (getenv("WMBT_KV_TLS_CA_FILE") != NULL) await_answer(load.handle);
    /* The first call after it came back. */
    check_lookup(load.handle, "", &batch, 3);
    check_get(load.handle, "", &batch, 0, 3);
  }
  load_recover(&load, "when the daemon was back");
  load_end(&load);
  CHECK(atomic_load(&load.failed) > 0, "no call failed, so nothing was tried");
  wmbt_kv_free(load.handle);
  tell_and_wait("kill");
  CHECK(memcmp(payloads[0], batch.payloads[0], 200000) == 0, "the borrow has changed");
  wmbt_kv_release_borrow(borrow);
  batch_free(&batch);
}

const struct test_case outage_tests[] = {
    {"a daemon killed under load fails calls soon, and the first one after it is back succeeds", killed_under_load},
    {NULL, NULL},
};

/* The process of the daemon is stopped: it takes connections, and answers nothing. */
static void silent_daemon(void) {
  (void)setenv("WMBT_KV_LOOKUP_DEADLINE_MS", lookup_limit_text, 1);
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("silent", 3, 200000);
  check_put(handle, "", &batch);
  tell_and_wait("stop");
  size_t matched = 5;
  const int64_t began = now_ms();
  CHECK(wmbt_kv_lookup_block_prefix(handle, "", batch.hashes, 3, &matched, NULL, 0) == -1 && matched == 5, "no answer");
  check_text(wmbt_kv_last_error(), "no answer from the daemon by the deadline", "a stopped daemon");
  const int64_t first = now_ms() - began;
  CHECK(first >= lookup_limit_ms, "the first call took %lld ms", (long long)first);
  calls_while_away(handle, &batch);
  const uint8_t **payloads = NULL;
  const size_t *lens = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  CHECK(wmbt_kv_get_kv_blocks_borrowed(handle, "", batch.hashes, 3, &payloads, &lens, &borrow) == -1, "get");
  CHECK(payloads == NULL && lens == NULL && borrow == NULL, "a failed get touched a result");
  tell_and_wait("continue");
  int32_t rc = -1;
  for (const int64_t end = now_ms() + 20000; rc != 0 && now_ms() < end;) {
    rc = wmbt_kv_lookup_block_prefix(handle, "", batch.hashes, 3, &matched, NULL, 0);
  }
  CHECK(rc == 0 && matched == 3, "it does not come back: %d, %zu", rc, matched);
  check_get(handle, "", &batch, 0, 3);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

const struct test_case stopped_tests[] = {
    {"a daemon that answers nothing costs one deadline, and then calls fail soon", silent_daemon},
    {NULL, NULL},
};

/* Whatever the peer at the address does, every call ends in time with a failure and a message. */
static void hostile_peer(void) {
  (void)setenv("WMBT_KV_REMOTE_CALL_TIMEOUT_MS", "700", 1);
  struct batch batch = batch_of("hostile", 3, 300000);
  wmbt_kv_handle_t *handle = wmbt_kv_init_from_env();
  if (handle == NULL) {
    printf("refused %s\n", wmbt_kv_last_error());
    batch_free(&batch);
    return;
  }
  const uint8_t **payloads = NULL;
  const size_t *lens = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  size_t matched = 5;
  char err[400] = "";
  const int64_t began = now_ms();
  const int32_t found = wmbt_kv_lookup_block_prefix(handle, "", batch.hashes, 3, &matched, err, sizeof err);
  printf("lookup %d %s\n", found, err);
  const int32_t got = wmbt_kv_get_kv_blocks_borrowed(handle, "", batch.hashes, 3, &payloads, &lens, &borrow);
  printf("get %d %s\n", got, wmbt_kv_last_error() == NULL ? "" : wmbt_kv_last_error());
  const int64_t put =
      wmbt_kv_put_kv_blocks(handle, "", batch.hashes, batch_payloads(&batch), batch.lens, batch.count);
  printf("put %lld %s\n", (long long)put, wmbt_kv_last_error() == NULL ? "" : wmbt_kv_last_error());
  /* Blocks that come too slowly from a peer that is there are a miss. */
  CHECK(found == -1 && got <= 0 && put == -1, "a call succeeded");
  CHECK(matched == 5 && payloads == NULL && lens == NULL && borrow == NULL, "a failed call touched a result");
  CHECK(now_ms() - began < 9000, "the calls took %lld ms", (long long)(now_ms() - began));
  wmbt_kv_free(handle);
  batch_free(&batch);
}

const struct test_case hostile_tests[] = {
    {"every call ends in time, with a failure and without a trace", hostile_peer},
    {NULL, NULL},
};

/* The peer answers lookups late and puts never. */
static void *look_up(void *handle) {
  struct batch batch = batch_of("reserve", 3, 10);
  check_lookup(handle, "", &batch, 1);
  batch_free(&batch);
  return NULL;
}

static void *put_in_vain(void *handle) {
  struct batch batch = batch_of("reserve", 3, 300000);
  CHECK(wmbt_kv_put_kv_blocks(handle, "", batch.hashes, batch_payloads(&batch), batch.lens, 3) == -1, "a put succeeds");
  batch_free(&batch);
  return NULL;
}

static void lookups_beside_bulk(void) {
  enum { many = 14 };
  (void)setenv("WMBT_KV_LOOKUP_DEADLINE_MS", "4000", 1);
  (void)setenv("WMBT_KV_REMOTE_CALL_TIMEOUT_MS", "4000", 1);
  wmbt_kv_handle_t *handle = open_handle();
  pthread_t lookups[many], puts[many];
  /* As many connections as there may be are idle. */
  for (unsigned i = 0; i < many; i += 1) {
    if (pthread_create(&lookups[i], NULL, look_up, handle) != 0) exit(2);
  }
  for (unsigned i = 0; i < many; i += 1) (void)pthread_join(lookups[i], NULL);
  for (unsigned i = 0; i < many; i += 1) {
    if (pthread_create(&puts[i], NULL, put_in_vain, handle) != 0) exit(2);
  }
  tell_and_wait("puts wait");
  const int64_t began = now_ms();
  (void)look_up(handle);
  CHECK(now_ms() - began < 2000, "the lookup took %lld ms", (long long)(now_ms() - began));
  for (unsigned i = 0; i < many; i += 1) (void)pthread_join(puts[i], NULL);
  wmbt_kv_free(handle);
}

const struct test_case reserve_tests[] = {
    {"a lookup does not wait behind puts, however many there are", lookups_beside_bulk},
    {NULL, NULL},
};
