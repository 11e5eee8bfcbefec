/* What the programs that take orders have in common: faults, random numbers, the clock, medians, the orders. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { times_max = 100000 };

/* What the program that includes this knows about its last fault. */
static const char *reason(void);

static void check(int is_well, const char *what) {
  if (is_well) return;
  const char *why = reason();
  fprintf(stderr, "%s: %s\n", what, why == NULL ? "no error" : why);
  exit(1);
}

static uint64_t next_random(void) {
  static uint64_t state = 88172645463325252u;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static void fill_random(uint8_t *bytes, size_t length) {
  for (size_t at = 0; at < length; at += 8) {
    const uint64_t word = next_random();
    memcpy(bytes + at, &word, length - at < 8 ? length - at : 8);
  }
}

/* Random payloads, one behind another, and memory of the same length that was touched before. */
struct block_memory {
  uint8_t *payloads, *target;
};

static struct block_memory new_blocks(size_t count, size_t length) {
  const struct block_memory memory = {malloc(count * length), malloc(count * length)};
  check(memory.payloads != NULL && memory.target != NULL, "memory");
  memset(memory.target, 1, count * length);
  fill_random(memory.payloads, count * length);
  return memory;
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static int compare(const void *one, const void *other) {
  const int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
  return (a > b) - (a < b);
}

/* Prints the median, the 99th percentile and the mean. */
static void print_times(int64_t *times, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i += 1) sum += (double)times[i];
  qsort(times, count, sizeof *times, compare);
  printf("%lld %lld %.1f\n", (long long)times[count / 2], (long long)times[count - 1 - count / 100],
         sum / (double)count);
}

/* For any number of calls the same: it would be counted among the calls to the system. */
static int64_t *new_times(size_t count) {
  static int64_t times[times_max];
  check(count > 0 && count <= times_max, "number of calls");
  return times;
}

/*
 * Orders are lines of a word and up to two numbers, which are 0 where the line has fewer: one after the other until
 * input ends.
 */
static void take_orders(void (*obey)(const char *order, size_t first, size_t second)) {
  char line[128], order[16];
  while (fgets(line, sizeof line, stdin) != NULL) {
    size_t first = 0, second = 0;
    check(sscanf(line, "%15s %zu %zu", order, &first, &second) >= 1, line);
    obey(order, first, second);
    fflush(stdout);
  }
}

/* One byte of each page, so that a loan is of bytes that can be read at once. */
static unsigned touch(const uint8_t *bytes, size_t length) {
  unsigned sum = 0;
  for (size_t at = 0; at < length; at += 4096) sum += ((const volatile uint8_t *)bytes)[at];
  return sum;
}
