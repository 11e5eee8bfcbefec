/* Time that only goes forward, in milliseconds. Deadlines are moments of this clock. */
#ifndef WMBT_CLOCK_H
#define WMBT_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

int64_t wmbt_now_ms(void);

/* What is left until then, for poll(): 0 when it is over, rounded up so that no wait is a busy one. */
int wmbt_left_ms(int64_t deadline_ms);

/* A condition variable whose waits end by the clock above. */
void wmbt_condition_init(pthread_cond_t *condition);
void wmbt_condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t deadline_ms);

#endif
