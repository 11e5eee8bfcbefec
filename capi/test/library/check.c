#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned failures;
/* Enough to see what is wrong. */
enum { shown_max = 10 };

bool check_passed(void) { return true; }

bool check_failed(const char *file, int line, const char *format, ...) {
  (void)pthread_mutex_lock(&lock);
  failures += 1;
  if (failures <= shown_max) {
    const char *name = strrchr(file, '/');
    printf("# %s:%d: ", name == NULL ? file : name + 1, line);
    va_list values;
    va_start(values, format);
    (void)vprintf(format, values);
    va_end(values);
    printf("\n");
  }
  (void)pthread_mutex_unlock(&lock);
  return false;
}

void check_text(const char *text, const char *part, const char *what) {
  CHECK(text != NULL && strstr(text, part) != NULL, "%s: \"%s\" does not hold \"%s\"", what,
        text == NULL ? "(null)" : text, part);
}

void tell_and_wait(const char *line) {
  printf("%s\n", line);
  (void)fflush(stdout);
  char answer[64];
  if (fgets(answer, sizeof answer, stdin) != NULL) return;
  fprintf(stderr, "nobody answers \"%s\"\n", line);
  exit(2);
}

int64_t now_ms(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

wmbt_kv_handle_t *open_handle(void) {
  wmbt_kv_handle_t *handle = wmbt_kv_init_from_env();
  if (handle != NULL) return handle;
  fprintf(stderr, "cannot open: %s\n", wmbt_kv_last_error());
  exit(2);
}

void await_answer(wmbt_kv_handle_t *handle) {
  int32_t rc = -1;
  for (const int64_t end = now_ms() + 20000; rc != 0 && now_ms() < end;) {
    wmbt_kv_stats_t stats = WMBT_KV_STATS_INIT;
    wmbt_kv_borrow_t *borrow = NULL;
    rc = wmbt_kv_stats(handle, "", NULL, &stats, &borrow);
    wmbt_kv_release_borrow(borrow);
  }
  CHECK(rc == 0, "it does not come back: %d", rc);
}

void hash_of(const char *label, size_t number, char digits[65]) {
  char text[128];
  const int length = snprintf(text, sizeof text, "%s/%zu", label, number);
  (void)wmbt_kv_blake3_64hex((const uint8_t *)text, (size_t)length, digits);
}

void fill_bytes(uint8_t *bytes, size_t length, uint64_t seed) {
  uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
  for (size_t i = 0; i < length; i += 1) {
    if (i % 8 == 0) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
    }
    bytes[i] = (uint8_t)(state >> (8 * (i % 8)));
  }
}

static void *memory(size_t size) {
  void *bytes = malloc(size == 0 ? 1 : size);
  if (bytes != NULL) return bytes;
  fprintf(stderr, "no memory\n");
  exit(2);
}

/* The number in the first digits of a hash. */
static uint64_t seed_of(const char *digits) {
  char first[16];
  (void)memcpy(first, digits, 15);
  first[15] = '\0';
  return strtoull(first, NULL, 16);
}

struct batch batch_of(const char *label, size_t count, size_t length) {
  struct batch batch = {
      .count = count,
      .digits = memory(count * 65),
      .hashes = memory(count * sizeof(char *)),
      .payloads = memory(count * sizeof(uint8_t *)),
      .lens = memory(count * sizeof(size_t)),
  };
  for (size_t i = 0; i < count; i += 1) {
    hash_of(label, i, batch.digits[i]);
    batch.hashes[i] = batch.digits[i];
    batch.lens[i] = length;
    batch.payloads[i] = memory(length);
    fill_bytes(batch.payloads[i], length, seed_of(batch.digits[i]));
  }
  return batch;
}

void batch_free(struct batch *batch) {
  for (size_t i = 0; i < batch->count; i += 1) free(batch->payloads[i]);
  free(batch->digits);
  free((void *)batch->hashes);
  free(batch->payloads);
  free(batch->lens);
}

const uint8_t *const *batch_payloads(const struct batch *batch) { return (const uint8_t *const *)batch->payloads; }

void check_lookup(wmbt_kv_handle_t *handle, const char *ns, const struct batch *batch, size_t expected) {
  size_t matched = 999;
  const int32_t rc = wmbt_kv_lookup_block_prefix(handle, ns, batch->hashes, batch->count, &matched, NULL, 0);
  CHECK(rc == 0 && matched == expected, "lookup gives %d and %zu instead of %zu: %s", rc, matched, expected,
        wmbt_kv_last_error() == NULL ? "no error" : wmbt_kv_last_error());
}

void check_put(wmbt_kv_handle_t *handle, const char *ns, const struct batch *batch) {
  int64_t sum = 0;
  for (size_t i = 0; i < batch->count; i += 1) sum += (int64_t)batch->lens[i];
  const int64_t rc =
      wmbt_kv_put_kv_blocks(handle, ns, batch->hashes, batch_payloads(batch), batch->lens, batch->count);
  CHECK(rc == sum, "put gives %lld instead of %lld: %s", (long long)rc, (long long)sum,
        wmbt_kv_last_error() == NULL ? "no error" : wmbt_kv_last_error());
}

void check_get(wmbt_kv_handle_t *handle, const char *ns, const struct batch *batch, size_t first, size_t count) {
  const uint8_t **payloads = NULL;
  const size_t *lens = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  const int32_t rc =
      wmbt_kv_get_kv_blocks_borrowed(handle, ns, batch->hashes + first, count, &payloads, &lens, &borrow);
  if (!CHECK(rc == 1 && payloads != NULL && lens != NULL && borrow != NULL, "get gives %d: %s", rc,
             wmbt_kv_last_error() == NULL ? "no error" : wmbt_kv_last_error())) {
    return;
  }
  CHECK(wmbt_kv_last_error() == NULL, "an error after a success");
  for (size_t i = 0; i < count; i += 1) {
    const size_t length = batch->lens[first + i];
    CHECK(lens[i] == length, "block %zu has %zu bytes instead of %zu", first + i, lens[i], length);
    const bool is_equal = lens[i] == length && memcmp(payloads[i], batch->payloads[first + i], length) == 0;
    CHECK(is_equal, "block %zu has other bytes", first + i);
  }
  wmbt_kv_release_borrow(borrow);
}

static const struct {
  const char *name;
  const struct test_case *tests;
} groups[] = {
    {"arguments", argument_tests}, {"blocks", block_tests},   {"tails", tail_tests},     {"threads", thread_tests},
    {"opening", opening_tests},    {"outage", outage_tests},  {"hostile", hostile_tests}, {"stopped", stopped_tests},
    {"reserve", reserve_tests},    {"many", many_tests},
    {"shared", shared_tests},      {"shared-processes", shared_process_tests},
    {"filling", filling_tests},    {"one-put", one_put_tests},
    {"one-get", one_get_tests},
    {"rings", ring_tests},         {"left", left_tests},      {"lent", lent_tests},     {"rebuilt", rebuilt_tests},
    {"uses", use_tests},           {"full-disk", full_disk_tests}, {"full-memory", full_memory_tests},
    {"engine-descriptors", engine_descriptor_tests}, {"store-descriptors", store_descriptor_tests},
    {"cut", cut_tests},            {"habits", habit_tests},  {"harsh-habits", harsh_habit_tests},
    {"shared-files", shared_file_tests}, {"shared-tails", shared_tail_tests},
    {"put-tails", put_tail_tests}, {"get-tails", get_tail_tests}, {"backlog", backlog_tests},
    {"extended", extended_tests},  {"terms", term_tests},    {"cancelled", cancelled_tests},
    {"relayed", relayed_tests},    {"embedded", embedded_tests}, {"embedded-fork", embedded_fork_tests},
    {"held", held_tests},          {"saving", saving_tests}, {"accepted", accepted_tests},
    {"odd-settings", odd_setting_tests}, {"tokens", token_tests}, {"token-options", token_option_tests},
};

/* Runs a group: `ok SENTENCE` or `not ok SENTENCE` for each test, what failed before it, and how many there were. */
int main(int argc, char **argv) {
  const struct test_case *tests = NULL;
  for (size_t i = 0; argc == 2 && i < sizeof groups / sizeof groups[0]; i += 1) {
    if (strcmp(groups[i].name, argv[1]) == 0) tests = groups[i].tests;
  }
  if (tests == NULL) {
    fprintf(stderr, "usage: abi-test GROUP\n");
    return 2;
  }
  /* A program that ignores it would not see that the library raises it: as things stand it ends. */
  struct sigaction pipe;
  if (sigaction(SIGPIPE, NULL, &pipe) != 0 || pipe.sa_handler != SIG_DFL) {
    fprintf(stderr, "SIGPIPE is not as it is at first\n");
    return 2;
  }
  unsigned failed = 0, count = 0;
  for (; tests[count].name != NULL; count += 1) {
    failures = 0;
    tests[count].run();
    if (failures > 0) failed += 1;
    printf("%s %s\n", failures > 0 ? "not ok" : "ok", tests[count].name);
    (void)fflush(stdout);
  }
  printf("end %u\n", count);
  return failed > 0 ? 1 : 0;
}
