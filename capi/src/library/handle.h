/* What a caller holds. */
#ifndef WMBT_HANDLE_H
#define WMBT_HANDLE_H

#include <stdatomic.h>

#include "borrow.h"
#include "bounds.h"
#include "mode.h"

/* Nothing in it but the counters changes after it was opened. */
struct wmbt_kv_handle {
  struct wmbt_mode *mode;
  /* Payloads that were lent from the store's memory, and their bytes, of which the store knows nothing. */
  _Atomic uint64_t lent_blocks, lent_bytes;
  /* Blocks of saves that were found in the store's memory. */
  _Atomic uint64_t found_blocks;
  /* The namespace of calls that name none. */
  char ns[WMBT_NAMESPACE_BYTES_MAX + 1];
};

/* Counts what was lent to a borrow that the caller gets, and what the store does not count. */
static inline void wmbt_handle_count(wmbt_kv_handle_t *handle, const struct wmbt_borrow *borrow) {
  if (borrow->untold == 0) return;
  uint64_t bytes = 0;
  for (size_t i = 0; i < borrow->untold; i += 1) bytes += borrow->lengths[i];
  (void)atomic_fetch_add_explicit(&handle->lent_blocks, borrow->untold, memory_order_relaxed);
  (void)atomic_fetch_add_explicit(&handle->lent_bytes, bytes, memory_order_relaxed);
}

/* Counts what a save found by itself. */
static inline void wmbt_handle_count_saved(wmbt_kv_handle_t *handle, const struct wmbt_saved *saved) {
  if (saved->found > 0) (void)atomic_fetch_add_explicit(&handle->found_blocks, saved->found, memory_order_relaxed);
}

#endif
