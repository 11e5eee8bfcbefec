/*
 * An engine may cancel a thread of its own (pthread_cancel) that is in a call here. In the midst of one it would end
 * with a lock held and a connection taken, for which every other call would wait; so it ends behind the call. It takes
 * about 10 ns of each; a get of a resident block, released, takes 100 with it.
 */
#ifndef WMBT_CANCELLATION_H
#define WMBT_CANCELLATION_H

#include <pthread.h>

/* Begins a call: the thread is not cancelled until the other one. What it was before. */
static inline int wmbt_cancellation_off(void) {
  int before = PTHREAD_CANCEL_ENABLE;
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
  return before;
}

/* Ends a call, by what the other one gave. */
static inline void wmbt_cancellation_restore(const int *before) {
  int ignored;
  (void)pthread_setcancelstate(*before, &ignored);
}

/* Stands first in every function of the header that may wait, or close something, and holds until it returns. */
#define WMBT_NOT_CANCELLED                                                                      \
  const int cancellation __attribute__((cleanup(wmbt_cancellation_restore), unused)) =          \
      wmbt_cancellation_off()

#endif
