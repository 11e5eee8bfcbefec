/* ABI 1.1: what is wrong with a call, what opening with options means, and how calls are ended early. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "extended.h"

/* Makes a call of one of the kinds that take terms. */
static int32_t call_with(wmbt_kv_handle_t *handle, unsigned which, const wmbt_kv_call_t *call) {
  char digits[65];
  const char *const hashes[1] = {digits};
  static const int32_t token = 5;
  hash_of("call", 1, digits);
  const wmbt_kv_block_t block = {.hash = digits, .bytes = (const uint8_t *)"b", .length = 1};
  const wmbt_kv_tail_t tail = {.tip = digits, .tokens = &token, .token_count = 1, .bytes = block.bytes, .length = 1};
  const wmbt_kv_payload_t *payloads;
  wmbt_kv_borrow_t *borrow = NULL;
  wmbt_kv_stats_t stats = WMBT_KV_STATS_INIT;
  uint8_t present[1];
  size_t count;
  int32_t rc = -1;
  switch (which) {
    case 0: return wmbt_kv_lookup(handle, "", hashes, 1, call, &count);
    case 1: return wmbt_kv_contains(handle, "", hashes, 1, call, present);
    case 2: return wmbt_kv_prefetch(handle, "", hashes, 1, call, &count);
    case 3: return wmbt_kv_save(handle, "", &block, 1, call, NULL);
    case 4: return wmbt_kv_flush(handle, "", call);
    case 5: return wmbt_kv_delete(handle, "", WMBT_KV_DELETE_BLOCKS, hashes, 1, call, NULL);
    case 6: return wmbt_kv_save_tail(handle, "", &tail, call, NULL);
    case 7: return wmbt_kv_save_raw_tail(handle, "", digits, block.bytes, 1, call, NULL);
    case 8: rc = wmbt_kv_load(handle, "", hashes, 1, call, &payloads, &count, &borrow); break;
    case 9: rc = wmbt_kv_load_tail(handle, "", digits, &token, 1, call, &payloads, &borrow); break;
    case 10: rc = wmbt_kv_load_raw_tail(handle, "", digits, call, &payloads, &borrow); break;
    default: rc = wmbt_kv_stats(handle, "", call, &stats, &borrow);
  }
  wmbt_kv_release_borrow(borrow);
  return rc;
}

enum { call_kinds = 12 };

static void wrong_calls(void) {
  wmbt_kv_handle_t *handle = open_handle();
  static const struct {
    wmbt_kv_call_t call;
    int32_t code;
    const char *message;
  } wrong[] = {
      {{.size = 0}, WMBT_KV_ERROR_INVALID, "call->size is 0; it must be sizeof the structure"},
      {{.size = 8}, WMBT_KV_ERROR_INVALID, "call->size is 8"},
      {{.size = SIZE_MAX}, WMBT_KV_ERROR_INVALID, "it must be sizeof the structure"},
      {{.size = sizeof(wmbt_kv_call_t), .time_limit_ms = -1},
       WMBT_KV_ERROR_INVALID,
       "time_limit_ms is -1; accepted: 0"},
      {{.size = sizeof(wmbt_kv_call_t), .time_limit_ms = INT64_MAX}, WMBT_KV_ERROR_INVALID, "time_limit_ms is 9223"},
      {{.size = sizeof(wmbt_kv_call_t), .flags = 8}, WMBT_KV_ERROR_INVALID, "flags is 8; accepted: WMBT_KV_DURABLE"},
      {{.size = sizeof(wmbt_kv_call_t), .flags = 3}, WMBT_KV_ERROR_INVALID, "flags is 3; accepted: WMBT_KV_DURABLE"},
      {{.size = sizeof(wmbt_kv_call_t), .fingerprint = "abc"}, WMBT_KV_ERROR_INVALID, "fingerprint must be 64"},
      {{.size = sizeof(wmbt_kv_call_t), .parent = ""}, WMBT_KV_ERROR_INVALID, "parent must be 64 hexadecimal digits"},
      {{.size = sizeof(wmbt_kv_call_t), .parent = "\xff"}, WMBT_KV_ERROR_INVALID, "non-UTF-8"},
  };
  wmbt_kv_outcome_t small = {.size = 8};
  wmbt_kv_call_t without_outcome = WMBT_KV_CALL_INIT;
  without_outcome.outcome = &small;
  for (unsigned kind = 0; kind < call_kinds; kind += 1) {
    CHECK(call_with(handle, kind, &without_outcome) == -1, "an outcome of 8 bytes is taken by kind %u", kind);
    check_text(wmbt_kv_last_error(), "call->outcome->size is 8", "a small outcome");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i += 1) {
      CHECK(call_with(handle, kind, &wrong[i].call) == -1, "call %zu of kind %u is taken", i, kind);
      check_text(wmbt_kv_last_error(), wrong[i].message, "a wrong call");
      CHECK(wmbt_kv_last_error_code() == wrong[i].code, "code %d", wmbt_kv_last_error_code());
    }
    CHECK(call_with(NULL, kind, NULL) == -1, "kind %u without a handle", kind);
    check_text(wmbt_kv_last_error(), "handle is NULL", "no handle");
  }
  wmbt_kv_free(handle);
}

static void calls_of_other_versions(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct {
    wmbt_kv_call_t known;
    uint64_t unknown[2];
  } newer = {WMBT_KV_CALL_INIT, {0, 0}};
  newer.known.size = sizeof newer;
  CHECK(call_with(handle, 0, &newer.known) == 0, "a newer program that asks for nothing new: %s", last_text());
  newer.unknown[1] = 1;
  CHECK(call_with(handle, 0, &newer.known) == -1, "what is not known is not done");
  check_text(wmbt_kv_last_error(), "incompatible: call asks for something at byte", "a newer program");
  CHECK(wmbt_kv_last_error_code() == WMBT_KV_ERROR_INCOMPATIBLE, "code %d", wmbt_kv_last_error_code());
  wmbt_kv_free(handle);
}

static void outcomes(void) {
  wmbt_kv_handle_t *handle = open_handle();
  wmbt_kv_outcome_t outcome = WMBT_KV_OUTCOME_INIT;
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.outcome = &outcome;
  struct batch batch = batch_of("outcomes", 2, 10);
  size_t matched;
  CHECK(wmbt_kv_lookup(handle, "nobody", batch.hashes, 2, &call, &matched) == 0, "a lookup");
  CHECK(outcome.code == WMBT_KV_ERROR_NONE && outcome.miss == WMBT_KV_MISS_UNKNOWN && outcome.text[0] == '\0',
        "a miss: %d, %d, %s", outcome.code, outcome.miss, outcome.text);
  CHECK(wmbt_kv_lookup(handle, NULL, batch.hashes, 2, &call, &matched) == -1, "without a namespace");
  CHECK(outcome.code == WMBT_KV_ERROR_INVALID && outcome.miss == WMBT_KV_MISS_NONE, "%d, %d", outcome.code,
        outcome.miss);
  check_text(outcome.text, "string pointer is NULL", "an outcome");
  CHECK(strcmp(outcome.text, wmbt_kv_last_error()) == 0, "the last error is another");
  for (unsigned kind = 0; kind < call_kinds; kind += 1) {
    outcome.code = 99;
    CHECK(call_with(NULL, kind, &call) == -1 && outcome.code == WMBT_KV_ERROR_INVALID, "kind %u says nothing", kind);
    (void)call_with(handle, kind, &call);
    CHECK(outcome.code == WMBT_KV_ERROR_NONE && outcome.text[0] == '\0', "kind %u: %s", kind, outcome.text);
  }
  wmbt_kv_open_t options = WMBT_KV_OPEN_INIT;
  options.outcome = &outcome;
  options.tcp_addr = "no address";
  CHECK(wmbt_kv_open(&options) == NULL && outcome.code == WMBT_KV_ERROR_INVALID, "code %d", outcome.code);
  check_text(outcome.text, "TcpKvClient::connect(no address)", "the outcome of opening");
  batch_free(&batch);
  wmbt_kv_free(handle);
}

/* Fails with the message. */
static void expect_invalid(int32_t rc, const char *message) {
  CHECK(rc == -1, "%s: gives %d", message, rc);
  check_text(wmbt_kv_last_error(), message, "an argument");
  CHECK(wmbt_kv_last_error_code() == WMBT_KV_ERROR_INVALID, "%s: code %d", message, wmbt_kv_last_error_code());
}

static void wrong_arguments(void) {
  wmbt_kv_handle_t *handle = open_handle();
  char digits[65];
  hash_of("wrong", 1, digits);
  const char *hash = digits;
  const wmbt_kv_payload_t *payloads = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  size_t count = 5;
  static const int32_t tokens[1] = {1};
  expect_invalid(wmbt_kv_lookup(NULL, NULL, NULL, 1, NULL, NULL), "out_matched must not be NULL");
  expect_invalid(wmbt_kv_contains(handle, "", &hash, 1, NULL, NULL), "out_present must not be NULL");
  expect_invalid(wmbt_kv_load(handle, "", &hash, 1, NULL, NULL, &count, &borrow), "out_payloads / out_count / out");
  expect_invalid(wmbt_kv_load_tail(handle, "", hash, tokens, 1, NULL, NULL, &borrow), "out_payload / out must not");
  expect_invalid(wmbt_kv_stats(handle, "", NULL, NULL, &borrow), "out_stats / out must not be NULL");
  expect_invalid(wmbt_kv_lookup(handle, NULL, &hash, 1, NULL, &count), "string pointer is NULL");
  expect_invalid(wmbt_kv_lookup(handle, "", NULL, 1, NULL, &count), "block_hashes_hex is NULL with block_count > 0");
  expect_invalid(wmbt_kv_save(handle, "", NULL, 1, NULL, NULL), "blocks is NULL with n > 0");
  wmbt_kv_block_t block = {.hash = NULL};
  expect_invalid(wmbt_kv_save(handle, "", &block, 1, NULL, NULL), "block_hashes_hex[0] is NULL");
  block = (wmbt_kv_block_t){.hash = hash, .length = 4};
  expect_invalid(wmbt_kv_save(handle, "", &block, 1, NULL, NULL), "payloads[0] is NULL with len > 0");
  block = (wmbt_kv_block_t){.hash = hash, .flags = 6};
  expect_invalid(wmbt_kv_save(handle, "", &block, 1, NULL, NULL), "blocks[0].flags is 6");
  block = (wmbt_kv_block_t){.hash = hash, .reserved = 1};
  expect_invalid(wmbt_kv_save(handle, "", &block, 1, NULL, NULL), "blocks[0].reserved is 1");
  expect_invalid(wmbt_kv_save_tail(handle, "", NULL, NULL, NULL), "tail is NULL");
  wmbt_kv_tail_t tail = {.tip = "12", .tokens = tokens, .token_count = 1};
  expect_invalid(wmbt_kv_save_tail(handle, "", &tail, NULL, NULL), "save_tail: chain_tip_hash_hex must be 64 chars");
  tail = (wmbt_kv_tail_t){.tip = hash, .tokens = NULL, .token_count = 1};
  expect_invalid(wmbt_kv_save_tail(handle, "", &tail, NULL, NULL), "tokens is NULL with token_count > 0");
  tail = (wmbt_kv_tail_t){.tip = hash, .tokens = tokens, .token_count = 8193};
  expect_invalid(wmbt_kv_save_tail(handle, "", &tail, NULL, NULL), "token_count is 8193; a tail has at most 8192");
  tail = (wmbt_kv_tail_t){.tip = hash, .tokens = tokens, .token_count = 1, .flags = 2};
  expect_invalid(wmbt_kv_save_tail(handle, "", &tail, NULL, NULL), "tail->flags is 2");
  expect_invalid(wmbt_kv_load_raw_tail(handle, "", "x", NULL, &payloads, &borrow), "load_raw_tail: chain_tip_hash");
  expect_invalid(wmbt_kv_delete(handle, "", 3, NULL, 0, NULL, NULL), "what is 3; accepted: WMBT_KV_DELETE_BLOCKS");
  expect_invalid(wmbt_kv_delete(handle, "", WMBT_KV_DELETE_SUBTREE, NULL, 0, NULL, NULL), "a subtree has one root");
  expect_invalid(wmbt_kv_delete(handle, "", WMBT_KV_DELETE_NAMESPACE, &hash, 1, NULL, NULL), "is deleted whole");
  CHECK(payloads == NULL && borrow == NULL && count == 5, "a failed call touched a result");
  wmbt_kv_free(handle);
}

/* Opens as the options say, and gives what is said when that fails. */
static void expect_refused(wmbt_kv_open_t options, const char *message) {
  wmbt_kv_handle_t *handle = wmbt_kv_open(&options);
  CHECK(handle == NULL, "%s: it is opened", message);
  check_text(wmbt_kv_last_error(), message, "wmbt_kv_open");
  wmbt_kv_free(handle);
}

static void wrong_options(void) {
  static const char *const no_setting[] = {"PATH=/tmp", NULL}, *const no_value[] = {"WMBT_KV_NAMESPACE", NULL};
  static const char *const twice[] = {"WMBT_KV_NAMESPACE=a", "WMBT_KV_NAMESPACE=b", NULL};
  static const char *const wrong_value[] = {"WMBT_KV_LOOKUP_DEADLINE_MS=soon", NULL};
  const wmbt_kv_open_t init = WMBT_KV_OPEN_INIT;
  wmbt_kv_open_t options = init;
  options.size = 16;
  expect_refused(options, "options->size is 16");
  options = init;
  options.flags = 2;
  expect_refused(options, "options->flags is 2");
  options = init;
  options.remote_prefix = "a";
  options.tcp_addr = "127.0.0.1:1";
  expect_refused(options, "options name 2 daemons; at most one");
  options = init;
  options.ns = "\xff";
  expect_refused(options, "non-UTF-8");
  options = init;
  options.token = "two words";
  expect_refused(options, "options->token has 9 characters");
  options = init;
  options.settings = no_setting;
  expect_refused(options, "options->settings[0] is \"PATH=/tmp\"; accepted: WMBT_KV_NAME=value");
  options.settings = no_value;
  expect_refused(options, "options->settings[0] is \"WMBT_KV_NAMESPACE\"");
  options.settings = twice;
  expect_refused(options, "options->settings[1] is \"WMBT_KV_NAMESPACE=b\", which was said before");
  options.settings = wrong_value;
  expect_refused(options, "WMBT_KV_LOOKUP_DEADLINE_MS is \"soon\"");
  /* The environment of the test names a daemon, or the store of the test; the options name others. */
  options = init;
  options.remote_prefix = "nobody";
  expect_refused(options, "RemoteKvStoreClient::connect(nobody): ");
  options = init;
  options.tcp_addr = "no address";
  expect_refused(options, "TcpKvClient::connect(no address): accepted: host:port");
}

static void options_beside_the_environment(void) {
  wmbt_kv_handle_t *by_environment = wmbt_kv_open(NULL);
  if (!CHECK(by_environment != NULL, "without options: %s", last_text())) return;
  char ns[80], line[128];
  (void)snprintf(ns, sizeof ns, "%s", fresh_namespace("option"));
  (void)snprintf(line, sizeof line, "WMBT_KV_NAMESPACE=%s", ns);
  struct batch batch = batch_of(ns, 2, 100);
  check_put(by_environment, ns, &batch);
  wmbt_kv_open_t options = WMBT_KV_OPEN_INIT;
  options.ns = ns;
  wmbt_kv_handle_t *handle = wmbt_kv_open(&options);
  if (CHECK(handle != NULL, "with a namespace: %s", last_text())) check_lookup(handle, "", &batch, 2);
  wmbt_kv_free(handle);
  const char *const settings[] = {line, NULL};
  options.ns = NULL;
  options.settings = settings;
  handle = wmbt_kv_open(&options);
  if (CHECK(handle != NULL, "with a setting: %s", last_text())) check_lookup(handle, "", &batch, 2);
  wmbt_kv_free(handle);
  /* What was opened with counts no more. */
  handle = open_handle();
  check_lookup(handle, "", &batch, 0);
  wmbt_kv_free(handle);
  wmbt_kv_free(by_environment);
  batch_free(&batch);
}

static void cancelled_before(void) {
  wmbt_kv_handle_t *handle = open_handle();
  wmbt_kv_cancel_t *cancel = wmbt_kv_cancel_new();
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.cancel = cancel;
  CHECK(call_with(handle, 0, &call) == 0, "a call that nobody cancels: %s", last_text());
  wmbt_kv_cancel(cancel);
  for (unsigned kind = 0; kind < call_kinds; kind += 1) {
    CHECK(call_with(handle, kind, &call) == -1, "a cancelled call of kind %u succeeds", kind);
    check_text(wmbt_kv_last_error(), "aborted: the call was cancelled", "a cancelled call");
    CHECK(wmbt_kv_last_error_code() == WMBT_KV_ERROR_ABORTED, "code %d", wmbt_kv_last_error_code());
  }
  CHECK(call_with(handle, 0, NULL) == 0, "another call is not cancelled: %s", last_text());
  wmbt_kv_cancel_free(cancel);
  wmbt_kv_cancel(NULL);
  wmbt_kv_cancel_free(NULL);
  wmbt_kv_free(handle);
}

const struct test_case term_tests[] = {
    {"what is wrong with the terms of a call is said by every function", wrong_calls},
    {"an outcome holds what the thread is told, of every function", outcomes},
    {"a call of a newer program is made when it asks for nothing new", calls_of_other_versions},
    {"what is wrong with the arguments is said, and no result touched", wrong_arguments},
    {"what is wrong with the options is said", wrong_options},
    {"options count beside the environment, for one handle", options_beside_the_environment},
    {"a call that was cancelled before does nothing", cancelled_before},
    {NULL, NULL},
};

struct waiting {
  wmbt_kv_cancel_t *cancel;
  wmbt_kv_handle_t *handle;
  unsigned kind;
  int32_t rc, code;
  int64_t ended_ms;
};

static void *make_call(void *argument) {
  struct waiting *waiting = argument;
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.cancel = waiting->cancel;
  call.time_limit_ms = 20000;
  waiting->rc = call_with(waiting->handle, waiting->kind, &call);
  waiting->code = wmbt_kv_last_error_code();
  waiting->ended_ms = now_ms();
  return NULL;
}

/* A daemon that is stopped answers nothing: calls would wait for as long as they may. */
static void cancelled_while_waiting(void) {
  wmbt_kv_handle_t *handle = open_handle();
  CHECK(call_with(handle, 0, NULL) == 0, "before: %s", last_text());
  tell_and_wait("stop");
  wmbt_kv_cancel_t *cancel = wmbt_kv_cancel_new();
  /* More than there are connections: some wait for one of them, or for it to stand. */
  enum { many = 24 };
  struct waiting waiting[many];
  pthread_t threads[many];
  for (unsigned i = 0; i < many; i += 1) {
    waiting[i] = (struct waiting){.cancel = cancel, .handle = handle, .kind = i % call_kinds};
    if (pthread_create(&threads[i], NULL, make_call, &waiting[i]) != 0) exit(2);
  }
  const struct timespec pause = {0, 300 * 1000 * 1000};
  (void)nanosleep(&pause, NULL);
  const int64_t cancelled_ms = now_ms();
  wmbt_kv_cancel(cancel);
  for (unsigned i = 0; i < many; i += 1) {
    (void)pthread_join(threads[i], NULL);
    CHECK(waiting[i].rc == -1 && waiting[i].code == WMBT_KV_ERROR_ABORTED, "kind %u gives %d with code %d",
          waiting[i].kind, waiting[i].rc, waiting[i].code);
    CHECK(waiting[i].ended_ms - cancelled_ms < 10000, "kind %u took %lld ms", waiting[i].kind,
          (long long)(waiting[i].ended_ms - cancelled_ms));
  }
  wmbt_kv_cancel_free(cancel);
  tell_and_wait("continue");
  /* A cancelled call says nothing about the daemon. */
  wmbt_kv_call_t patient = WMBT_KV_CALL_INIT;
  patient.time_limit_ms = 8000;
  CHECK(call_with(handle, 0, &patient) == 0, "the first call afterwards: %s", last_text());
  wmbt_kv_free(handle);
}

/* Begins a prefetch and waits for nothing; gives what comes of it. */
static void *begin_prefetch(void *argument) {
  struct waiting *waiting = argument;
  char digits[65];
  const char *const hashes[1] = {digits};
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.time_limit_ms = 500;
  hash_of("call", 1, digits);
  waiting->rc = wmbt_kv_prefetch(waiting->handle, "", hashes, 1, &call, NULL);
  return NULL;
}

static void *look_up(void *argument) {
  struct waiting *waiting = argument;
  waiting->rc = call_with(waiting->handle, 0, NULL);
  return NULL;
}

/* As many threads make the call at once; gives how many of them it gave 1. */
static unsigned at_once(wmbt_kv_handle_t *handle, void *(*call)(void *)) {
  enum { many = 16 };
  struct waiting waiting[many];
  pthread_t threads[many];
  unsigned ones = 0;
  for (unsigned i = 0; i < many; i += 1) {
    waiting[i] = (struct waiting){.handle = handle};
    if (pthread_create(&threads[i], NULL, call, &waiting[i]) != 0) exit(2);
  }
  for (unsigned i = 0; i < many; i += 1) {
    (void)pthread_join(threads[i], NULL);
    ones += waiting[i].rc == 1 ? 1 : 0;
  }
  return ones;
}

/* The daemon is stopped, so none of them ends. */
static void prefetches_at_once(void) {
  wmbt_kv_handle_t *handle = open_handle();
  (void)at_once(handle, look_up);
  tell_and_wait("stop");
  const unsigned begun = at_once(handle, begin_prefetch);
  CHECK(begun >= 1 && begun <= 2, "%u prefetches are under way", begun);
  tell_and_wait("continue");
  wmbt_kv_call_t patient = WMBT_KV_CALL_INIT;
  patient.time_limit_ms = 8000;
  CHECK(call_with(handle, 0, &patient) == 0, "the first call afterwards: %s", last_text());
  wmbt_kv_free(handle);
}

const struct test_case cancelled_tests[] = {
    {"calls that wait end soon when they are cancelled", cancelled_while_waiting},
    {"no more prefetches are under way than may be, however many threads begin them", prefetches_at_once},
    {NULL, NULL},
};
