#include "thread.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

bool wmbt_start_thread(void *(*run)(void *), void *argument) {
  sigset_t all, before;
  (void)sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
  pthread_attr_t attributes;
  (void)pthread_attr_init(&attributes);
  (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  const bool has_started = pthread_create(&thread, &attributes, run, argument) == 0;
  (void)pthread_attr_destroy(&attributes);
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  return has_started;
}
