/* Threads that call a handle all the time while something else happens to its store. */
#ifndef WMBT_TEST_LOAD_H
#define WMBT_TEST_LOAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "check.h"

enum { load_threads = 8 };

/* Each thread puts and gets blocks of its own, the same ones over and over. */
struct load {
  wmbt_kv_handle_t *handle;
  const char *ns;
  size_t block_bytes;
  atomic_bool is_over;
  /* Pairs of a put and a get; a failure is a fact of an outage, wrong bytes and one without a reason are not. */
  atomic_uint succeeded, failed, wrong, unexplained, started;
  pthread_t threads[load_threads];
};

/* Begins; the handle and the namespace are set, and the length of a block. */
void load_begin(struct load *load);
/* Waits until every thread has had its turn twice, well or not; a failure when that takes too long. */
void load_go_on(struct load *load, const char *when);
/* The same, all being well. */
void load_recover(struct load *load, const char *when);
/* Ends the threads; no payload was wrong, and each failure had its reason. */
void load_end(struct load *load);

#endif
