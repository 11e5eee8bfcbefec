#include "cancel.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "bounds.h"

struct wmbt_cancel {
  atomic_bool is_set;
};

static _Thread_local const struct wmbt_cancel *watched;

struct wmbt_cancel *wmbt_cancel_new(void) {
  struct wmbt_cancel *cancel = malloc(sizeof *cancel);
  if (cancel != NULL) atomic_init(&cancel->is_set, false);
  return cancel;
}

void wmbt_cancel_set(struct wmbt_cancel *cancel) {
  atomic_store_explicit(&cancel->is_set, true, memory_order_release);
}

void wmbt_cancel_free(struct wmbt_cancel *cancel) { free(cancel); }

void wmbt_cancel_watch(const struct wmbt_cancel *cancel) { watched = cancel; }

bool wmbt_cancel_is_set(void) {
  return watched != NULL && atomic_load_explicit(&watched->is_set, memory_order_acquire);
}

bool wmbt_cancel_fail(struct wmbt_failure *failure) {
  return wmbt_fail(failure, wmbt_cancelled, "aborted: the call was cancelled");
}

int wmbt_cancel_wait_ms(int left_ms) {
  return watched != NULL && left_ms > WMBT_CANCEL_LOOK_MS ? WMBT_CANCEL_LOOK_MS : left_ms;
}
