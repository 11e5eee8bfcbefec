/* Tails that are lent in the daemon's shared memory, which has 16 MiB. The other side plays along. */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "extended.h"
#include "shared.h"

enum { mebibyte = 1048576, token_count = 40 };

/* How a tail is asked for: by how many of the tokens, or, with fewer than none, as a raw one. */
enum { is_raw = -1 };

static const int32_t *prompt(void) {
  static int32_t tokens[token_count + 1];
  for (int32_t i = 0; i <= token_count; i += 1) tokens[i] = i * 7919 - 4;
  return tokens;
}

static const char *fresh_tip(void) {
  static char tip[65];
  static size_t number;
  number += 1;
  hash_of("shared-tails", (size_t)now_ms() * 100 + number, tip);
  return tip;
}

struct tail {
  wmbt_kv_borrow_t *borrow;
  const wmbt_kv_payload_t *payload;
  uint8_t *expected;
  size_t length;
};

static bool save(wmbt_kv_handle_t *handle, const char *tip, int count, const uint8_t *bytes, size_t length,
                 uint32_t flags) {
  if (count == is_raw) return wmbt_kv_put_raw_tail(handle, "", tip, bytes, length, NULL, 0) == 0;
  const wmbt_kv_tail_t tail = {.tip = tip,
                               .tokens = prompt(),
                               .token_count = (size_t)count,
                               .position = WMBT_KV_POSITION_UNKNOWN,
                               .flags = flags,
                               .bytes = bytes,
                               .length = length};
  return wmbt_kv_save_tail(handle, "", &tail, NULL, NULL) == 0;
}

/* Saves bytes that follow from the seed. */
static struct tail saved_tail(wmbt_kv_handle_t *handle, const char *tip, int count, size_t length, uint64_t seed) {
  struct tail tail = {.expected = malloc(length + 1), .length = length};
  if (tail.expected == NULL) exit(2);
  fill_bytes(tail.expected, length, seed);
  CHECK(save(handle, tip, count, tail.expected, length, 0), "it is not saved: %s", last_text());
  return tail;
}

static int32_t load(wmbt_kv_handle_t *handle, const char *tip, int count, const wmbt_kv_call_t *call,
                    struct tail *tail) {
  tail->borrow = NULL;
  if (count == is_raw) return wmbt_kv_load_raw_tail(handle, "", tip, call, &tail->payload, &tail->borrow);
  return wmbt_kv_load_tail(handle, "", tip, prompt(), (size_t)count, call, &tail->payload, &tail->borrow);
}

static bool is_whole(const struct tail *tail) {
  return tail->payload->length == tail->length && memcmp(tail->payload->bytes, tail->expected, tail->length) == 0;
}

static void expect_lent(wmbt_kv_handle_t *handle, const char *tip, int count, struct tail *tail, const char *when) {
  const int32_t rc = load(handle, tip, count, NULL, tail);
  if (!CHECK(rc == 1, "a tail gives %d %s: %s", rc, when, last_text())) return;
  CHECK(is_whole(tail), "other bytes %s", when);
  CHECK(lies_in_segment(tail->payload->bytes), "it does not lie in the daemon's memory %s", when);
}

/*
 * The same within some time: a client that could not borrow what it was told of is sent what it asks for during a
 * second.
 */
static void expect_lent_soon(wmbt_kv_handle_t *handle, const char *tip, int count, struct tail *tail) {
  for (const int64_t end = now_ms() + 10000; now_ms() < end; (void)usleep(20000)) {
    if (load(handle, tip, count, NULL, tail) != 1 || lies_in_segment(tail->payload->bytes)) break;
    CHECK(is_whole(tail), "other bytes on its way");
    wmbt_kv_release_borrow(tail->borrow);
  }
  const bool is_lent_now = tail->borrow != NULL && lies_in_segment(tail->payload->bytes);
  CHECK(is_lent_now && is_whole(tail), "it is not lent when memory was used again: %s", last_text());
}

static void forget(struct tail *tail) {
  if (tail->borrow != NULL) wmbt_kv_release_borrow(tail->borrow);
  free(tail->expected);
}

static void lent_where_they_lie(void) {
  wmbt_kv_handle_t *handle = open_handle(), *other = open_handle();
  static const int counts[] = {is_raw, 0, 1, token_count};
  static const size_t lengths[] = {7, 100000, 3 * mebibyte};
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i += 1) {
    for (size_t j = 0; j < sizeof lengths / sizeof lengths[0]; j += 1) {
      const char *tip = fresh_tip();
      struct tail first = saved_tail(handle, tip, counts[i], lengths[j], 10 * i + j), second = first;
      expect_lent(handle, tip, counts[i], &first, "to who saved it");
      expect_lent(other, tip, counts[i], &second, "to another");
      if (second.borrow != NULL) {
        const uint32_t covered = counts[i] == is_raw ? 0 : (uint32_t)counts[i];
        CHECK(second.payload->tokens == covered, "it has %u tokens", (unsigned)second.payload->tokens);
        wmbt_kv_release_borrow(second.borrow);
      }
      struct tail none = {0};
      CHECK(wmbt_kv_load_raw_tail(other, "elsewhere", tip, NULL, &none.payload, &none.borrow) == 0, "in no namespace");
      forget(&first);
    }
  }
  wmbt_kv_free(handle);
  wmbt_kv_free(other);
}

/* What the daemon finds, and not the client itself. */
static void shorter_than_asked(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *tip = fresh_tip();
  struct tail tail = saved_tail(handle, tip, 3, 200000, 1);
  expect_lent(handle, tip, token_count, &tail, "when more tokens are asked for");
  if (tail.borrow != NULL) CHECK(tail.payload->tokens == 3, "it has %u tokens", (unsigned)tail.payload->tokens);
  forget(&tail);
  wmbt_kv_free(handle);
}

static void what_the_terms_refuse(void) {
  wmbt_kv_handle_t *handle = open_handle();
  const char *tip = fresh_tip();
  struct tail exact = saved_tail(handle, tip, 2, 90000, 1);
  CHECK(save(handle, tip, 5, (const uint8_t *)"decoded", 7, WMBT_KV_DECODED), "it is not saved: %s", last_text());
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.flags = WMBT_KV_EXACT;
  CHECK(load(handle, tip, 5, &call, &exact) == 1, "no exact one: %s", last_text());
  if (exact.borrow != NULL) CHECK(is_whole(&exact) && exact.payload->tokens == 2, "it is another");
  forget(&exact);
  wmbt_kv_free(handle);
}

static void last_one_accepted(void) {
  wmbt_kv_handle_t *handle = open_handle(), *other = open_handle();
  const char *tip = fresh_tip();
  struct tail before = saved_tail(handle, tip, is_raw, 300000, 1);
  expect_lent(other, tip, is_raw, &before, "at first");
  static const size_t lengths[] = {100, 300000, 2 * mebibyte, 7};
  for (unsigned round = 0; round < 40; round += 1) {
    struct tail tail = saved_tail(handle, tip, is_raw, lengths[round % 4], 100 + round);
    expect_lent(other, tip, is_raw, &tail, "when it was replaced");
    forget(&tail);
  }
  CHECK(before.borrow != NULL && is_whole(&before), "what was borrowed has changed when it was replaced");
  forget(&before);
  wmbt_kv_free(handle);
  wmbt_kv_free(other);
}

static void memory_used_again(void) {
  wmbt_kv_handle_t *handle = open_handle();
  static const int counts[] = {is_raw, 9};
  for (size_t i = 0; i < 2; i += 1) {
    const char *tip = fresh_tip();
    struct tail pinned = saved_tail(handle, tip, counts[i], mebibyte, 50 + i);
    expect_lent(handle, tip, counts[i], &pinned, "before memory is used again");
    fill_memory(handle, i == 0 ? "tails-raw" : "tails-bound");
    CHECK(pinned.borrow != NULL && is_whole(&pinned), "what was borrowed has changed when memory was used again");
    if (pinned.borrow != NULL) wmbt_kv_release_borrow(pinned.borrow);
    fill_memory(handle, i == 0 ? "tails-raw-again" : "tails-bound-again");
    expect_lent_soon(handle, tip, counts[i], &pinned);
    forget(&pinned);
  }
  wmbt_kv_free(handle);
}

static void daemon_stopped_and_killed(void) {
  wmbt_kv_handle_t *handle = open_handle();
  char tip[65];
  (void)strcpy(tip, fresh_tip());
  struct tail bound = saved_tail(handle, tip, 4, 150000, 1), raw = saved_tail(handle, tip, is_raw, 150000, 2);
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.time_limit_ms = 300;
  tell_and_wait("stop");
  expect_lent(handle, tip, 4, &bound, "of a stopped daemon");
  CHECK(save(handle, tip, 4, bound.expected, bound.length, 0), "it is not known: %s", last_text());
  CHECK(load(handle, tip, is_raw, &call, &raw) == -1, "whether a raw tail is the last one nobody says");
  tell_and_wait("continue");
  await_answer(handle);
  expect_lent(handle, tip, is_raw, &raw, "of a daemon that goes on");
  tell_and_wait("kill");
  CHECK(bound.borrow != NULL && is_whole(&bound) && raw.borrow != NULL && is_whole(&raw), "a borrow has changed");
  struct tail none = {0};
  for (int i = 0; i < 2; i += 1) {
    CHECK(load(handle, tip, i == 0 ? 4 : is_raw, &call, &none) == -1, "a dead daemon's memory is read");
  }
  tell_and_wait("start");
  if (bound.borrow != NULL) wmbt_kv_release_borrow(bound.borrow);
  if (raw.borrow != NULL) wmbt_kv_release_borrow(raw.borrow);
  const int64_t end = now_ms() + 1500;
  /* Its memory is looked for once a second. */
  while (now_ms() < end) check_lookup(handle, "", &(struct batch){0}, 0);
  await_answer(handle);
  expect_lent(handle, tip, 4, &bound, "of its successor");
  expect_lent(handle, tip, is_raw, &raw, "of its successor, raw");
  forget(&bound);
  forget(&raw);
  wmbt_kv_free(handle);
}

/* A raw tail and a bound one, which another program loads. */
enum { put_tokens = 8 };
static const char put_tip[] = "5e0f1c2b3a4958677685940312213f4e5d6c7b8a99a8b7c6d5e4f3021120f1e2";

static void put_tails(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct tail bound = saved_tail(handle, put_tip, put_tokens, mebibyte, 1);
  struct tail raw = saved_tail(handle, put_tip, is_raw, mebibyte, 2);
  CHECK(wmbt_kv_flush(handle, "", NULL) == 0, "flush: %s", last_text());
  forget(&bound);
  forget(&raw);
  wmbt_kv_free(handle);
}

static void get_tails(void) {
  const bool is_borrowed = getenv("WMBT_TEST_BORROWED") != NULL;
  wmbt_kv_handle_t *handle = open_handle();
  /* Only the daemon knows that there is none of all these tokens. */
  static const int counts[] = {put_tokens + 5, is_raw};
  for (size_t i = 0; i < 2; i += 1) {
    struct tail tail = {.expected = malloc(mebibyte), .length = mebibyte};
    if (tail.expected == NULL) exit(2);
    fill_bytes(tail.expected, mebibyte, i + 1);
    const int32_t rc = load(handle, put_tip, counts[i], NULL, &tail);
    if (CHECK(rc == 1, "a tail gives %d: %s", rc, last_text())) {
      CHECK(is_whole(&tail) && tail.payload->tokens == (i == 0 ? put_tokens : 0), "it is another");
      CHECK(lies_in_segment(tail.payload->bytes) == is_borrowed, "it is %s", is_borrowed ? "copied" : "lent");
    }
    forget(&tail);
  }
  wmbt_kv_free(handle);
}

const struct test_case put_tail_tests[] = {{"tails are put", put_tails}, {NULL, NULL}};
const struct test_case get_tail_tests[] = {{"tails are read as they were put", get_tails}, {NULL, NULL}};

const struct test_case shared_tail_tests[] = {
    {"tails are lent where they lie, and raw ones", lent_where_they_lie},
    {"a tail of fewer tokens than were asked for is lent", shorter_than_asked},
    {"a tail that the terms refuse is not lent, and a shorter one is found", what_the_terms_refuse},
    {"of a raw tail the last one that was accepted is lent, and a borrow of another stays", last_one_accepted},
    {"a tail is lent when memory was used again, and stays as it was while it is borrowed", memory_used_again},
    {"a stopped daemon's memory gives bound tails, which need not be saved again, and a dead one's nothing",
     daemon_stopped_and_killed},
    {NULL, NULL},
};
