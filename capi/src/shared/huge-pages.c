#include "huge-pages.h"

#include <stdatomic.h>
#include <time.h>

/* Milliseconds of the system's clock that only goes forward, until which none is asked for. */
static _Atomic int64_t rest_until_ms;

static int64_t read_ns(clockid_t clock) {
  struct timespec time;
  if (clock_gettime(clock, &time) != 0) return 0;
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int64_t now_ms(void) { return read_ns(CLOCK_MONOTONIC) / 1000000; }

bool wmbt_huge_are_cheap(void) {
  const int64_t until = atomic_load_explicit(&rest_until_ms, memory_order_relaxed);
  return until == 0 || now_ms() >= until;
}

/* Not the time that passes: of that others may have had some. */
int64_t wmbt_huge_begin(void) { return read_ns(CLOCK_THREAD_CPUTIME_ID); }

void wmbt_huge_end(int64_t begin_ns, size_t pages) { wmbt_huge_note(wmbt_huge_begin() - begin_ns, pages); }

void wmbt_huge_note(int64_t taken_ns, size_t pages) {
  if (taken_ns < (int64_t)pages * wmbt_huge_dear_us * 1000) return;
  atomic_store_explicit(&rest_until_ms, now_ms() + wmbt_huge_rest_ms, memory_order_relaxed);
}
