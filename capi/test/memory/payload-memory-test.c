/*
 * Memory that payloads come into, by itself: what is used again and what is not, what borrows keep in it, and many
 * threads that take and give. Every payload is written whole and compared before it is given up. With the argument
 * `released` it reads a payload that was given up, which a sanitizer must find; with `behind` the byte behind one that
 * was not.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/library/borrow.h"
#include "../../src/library/bounds.h"
#include "../../src/library/clock.h"
#include "huge-pages-test.h"

enum { mib = 1024 * 1024, batch = 40, threads = 4, rounds = 400 };

static void expect(bool is_so, const char *what) {
  if (is_so) return;
  (void)printf("not ok %s\n", what);
  (void)fflush(stdout);
  _Exit(1);
}

/* Each payload comes after one that was taken back. */
static struct wmbt_borrow *fill(size_t count, const size_t *lengths, uint8_t seed) {
  struct wmbt_borrow *borrow = wmbt_borrow_new(count, false);
  expect(borrow != NULL, "a borrow");
  for (size_t i = 0; i < count; i += 1) {
    uint8_t *broken = wmbt_borrow_add(borrow, lengths[i]);
    expect(broken != NULL, "memory for a payload");
    (void)memset(broken, 255, lengths[i]);
    wmbt_borrow_drop_last(borrow);
    uint8_t *payload = wmbt_borrow_add(borrow, lengths[i]);
    expect(payload != NULL, "memory for a payload");
    (void)memset(payload, (int)(uint8_t)(seed + i), lengths[i]);
  }
  return borrow;
}

/* Payloads have no byte in common, so each one is as it was written. */
static void check(const struct wmbt_borrow *borrow, uint8_t seed) {
  for (size_t i = 0; i < borrow->filled; i += 1) {
    const uint8_t *payload = borrow->payloads[i];
    const size_t length = borrow->lengths[i];
    if (length == 0) continue;
    const bool is_equal = *payload == (uint8_t)(seed + i) && memcmp(payload, payload + 1, length - 1) == 0;
    expect(is_equal, "a payload as it was written");
  }
}

static struct wmbt_borrow *fill_equal(size_t count, size_t length, uint8_t seed) {
  size_t *lengths = malloc(count * sizeof *lengths);
  expect(lengths != NULL, "memory for a test");
  for (size_t i = 0; i < count; i += 1) lengths[i] = length;
  struct wmbt_borrow *borrow = fill(count, lengths, seed);
  free(lengths);
  return borrow;
}

static size_t kept(void) { return wmbt_payload_memory_kept(); }

static void used_again(void) {
  struct wmbt_borrow *first = fill_equal(batch, mib, 1);
  const uint8_t *before[batch];
  for (size_t i = 0; i < batch; i += 1) before[i] = first->payloads[i];
  check(first, 1);
  wmbt_borrow_free(first);
  expect(kept() >= (size_t)batch * mib && kept() <= (size_t)(batch + 8) * mib, "a batch is kept");
  struct wmbt_borrow *second = fill_equal(batch, mib, 2);
  size_t again = 0;
  for (size_t i = 0; i < batch; i += 1) {
    for (size_t other = 0; other < batch; other += 1) again += second->payloads[i] == before[other];
  }
  expect(again == batch, "memory that was given up is used again");
  expect(kept() < 8 * mib, "what is used is not kept");
  struct wmbt_borrow *third = fill_equal(batch, mib, 3);
  check(second, 2);
  check(third, 3);
  wmbt_borrow_free(second);
  wmbt_borrow_free(third);
  expect(kept() <= WMBT_KEPT_BYTES_MAX, "no more is kept than may be");
  /* One payload does not hold the memory of a batch. */
  struct wmbt_borrow *small = fill_equal(1, 300000, 4);
  expect(small->regions->bytes < mib, "memory of a batch for one payload");
  wmbt_borrow_free(small);
}

static void bounded(void) {
  struct wmbt_borrow *borrows[8];
  for (size_t i = 0; i < 8; i += 1) borrows[i] = fill_equal(batch, mib, (uint8_t)i);
  for (size_t i = 0; i < 8; i += 1) {
    check(borrows[i], (uint8_t)i);
    wmbt_borrow_free(borrows[i]);
    expect(kept() <= WMBT_KEPT_BYTES_MAX, "no more is kept than may be");
  }
  expect(kept() > WMBT_KEPT_BYTES_MAX / 2, "much is kept");
  wmbt_payload_memory_rest(0);
  expect(kept() > 0, "what was used a moment ago is kept");
  wmbt_payload_memory_rest(wmbt_now_ms() + WMBT_KEPT_REST_MS);
  expect(kept() == 0, "what nobody used for long is freed");
  struct wmbt_borrow *small = fill_equal(10, 1000, 1);
  expect(small->regions->next == NULL, "short payloads lie together");
  wmbt_borrow_free(small);
  expect(kept() == 0, "what is short is not kept");
}

/* Lengths of all kinds, and payloads of none. */
static void mixed(void) {
  static const size_t lengths[] = {0, 1, 63, 64, 65, 0, 300000, 17, 5 * mib, 20 * mib, 2, 1760000, 0};
  const size_t count = sizeof lengths / sizeof *lengths;
  struct wmbt_borrow *borrow = fill(count, lengths, 9);
  check(borrow, 9);
  wmbt_borrow_free(borrow);
}

static void *storm(void *argument) {
  uint64_t state = *(const uint64_t *)argument;
  struct wmbt_borrow *held[3] = {NULL, NULL, NULL};
  uint8_t seeds[3] = {0, 0, 0};
  for (int round = 0; round < rounds; round += 1) {
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    const size_t place = (size_t)(state >> 33) % 3;
    if (held[place] != NULL) {
      check(held[place], seeds[place]);
      wmbt_borrow_free(held[place]);
    }
    seeds[place] = (uint8_t)(state >> 40);
    held[place] = fill_equal(1 + (size_t)(state >> 48) % 6, 1000 + (size_t)(state >> 20) % 400000, seeds[place]);
    expect(kept() <= WMBT_KEPT_BYTES_MAX * 2u, "no more is kept than may be");
  }
  for (size_t i = 0; i < 3; i += 1) wmbt_borrow_free(held[i]);
  return NULL;
}

static void together(void) {
  pthread_t running[threads];
  uint64_t seeds[threads];
  for (size_t i = 0; i < threads; i += 1) {
    seeds[i] = i + 1;
    expect(pthread_create(&running[i], NULL, storm, &seeds[i]) == 0, "a thread");
  }
  for (size_t i = 0; i < threads; i += 1) (void)pthread_join(running[i], NULL);
}

static int read_wrongly(bool is_released) {
  struct wmbt_borrow *borrow = fill_equal(2, mib - 8, 1);
  const volatile uint8_t *payload = borrow->payloads[0];
  const volatile uint8_t *end = payload + borrow->lengths[0];
  if (is_released) wmbt_borrow_free(borrow);
  (void)printf("read %u\n", (unsigned)(is_released ? *payload : *end));
  if (!is_released) wmbt_borrow_free(borrow);
  return 0;
}

int main(int count, char **arguments) {
  wmbt_payload_memory_enter();
  if (count > 1) return read_wrongly(strcmp(arguments[1], "released") == 0);
  used_again();
  bounded();
  mixed();
  together();
  test_huge_pages();
  struct wmbt_borrow *late = fill_equal(batch, mib, 5);
  wmbt_payload_memory_leave();
  expect(kept() == 0, "behind the last handle nothing is kept");
  check(late, 5);
  wmbt_borrow_free(late);
  expect(kept() == 0, "what is given up behind the last handle is freed");
  (void)printf("ok\n");
  return 0;
}
