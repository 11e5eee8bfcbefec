#include "clock.h"

#include <limits.h>
#include <time.h>

int64_t wmbt_now_ms(void) {
  struct timespec now = {0, 0};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int wmbt_left_ms(int64_t deadline_ms) {
  const int64_t left = deadline_ms - wmbt_now_ms();
  if (left <= 0) return 0;
  return left > INT_MAX ? INT_MAX : (int)left;
}

void wmbt_condition_init(pthread_cond_t *condition) {
#ifdef __APPLE__
  (void)pthread_cond_init(condition, NULL);
#else
  pthread_condattr_t attributes;
  (void)pthread_condattr_init(&attributes);
  (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  (void)pthread_cond_init(condition, &attributes);
  (void)pthread_condattr_destroy(&attributes);
#endif
}

void wmbt_condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t deadline_ms) {
#ifdef __APPLE__
  const int left = wmbt_left_ms(deadline_ms);
  const struct timespec span = {left / 1000, (long)(left % 1000) * 1000000};
  (void)pthread_cond_timedwait_relative_np(condition, lock, &span);
#else
  const struct timespec end = {(time_t)(deadline_ms / 1000), (long)(deadline_ms % 1000) * 1000000};
  (void)pthread_cond_timedwait(condition, lock, &end);
#endif
}
