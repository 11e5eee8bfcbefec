#include "board.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void note_fault(struct board *board, const char *format, ...) {
  const uint32_t number = atomic_fetch_add(&board->fault_count, 1);
  if (number >= faults_max) return;
  va_list values;
  va_start(values, format);
  (void)vsnprintf(board->faults[number], fault_text_max, format, values);
  va_end(values);
}

static uint64_t mix(uint64_t x) {
  x += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

static uint64_t seed_of(uint32_t run, uint32_t block) { return mix((uint64_t)run << 32 | block); }

void digits_of(uint32_t run, uint32_t block, char digits[65]) {
  const uint64_t seed = seed_of(run, block);
  (void)snprintf(digits, 65, "%016" PRIx64 "%016" PRIx64 "%016" PRIx64 "%016" PRIx64, mix(seed + 1), mix(seed + 2),
                 mix(seed + 3), mix(seed + 4));
}

bool is_long(enum role role) { return role == filler || role == loaner; }

size_t length_of(enum role role, uint32_t run, uint32_t block) {
  if (is_long(role)) return long_bytes;
  return short_bytes - (seed_of(run, block) % 256) * 8;
}

void fill_block(uint8_t *bytes, size_t length, uint32_t run, uint32_t block) {
  const uint64_t seed = seed_of(run, block);
  for (size_t at = 0; at < length; at += 8) {
    const uint64_t word = mix(seed ^ (at << 8));
    (void)memcpy(bytes + at, &word, sizeof word);
  }
}

size_t first_wrong(const uint8_t *bytes, size_t length, uint32_t run, uint32_t block) {
  const uint64_t seed = seed_of(run, block);
  for (size_t at = 0; at < length; at += 8) {
    uint64_t word;
    (void)memcpy(&word, bytes + at, sizeof word);
    if (word != mix(seed ^ (at << 8))) return at;
  }
  return length;
}

uint64_t now_us(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void pause_us(uint64_t us) {
  const struct timespec pause = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
  (void)nanosleep(&pause, NULL);
}

uint64_t next_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}
