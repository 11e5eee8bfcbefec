/* What the tests of shared memory have in common. */
#ifndef WMBT_TEST_SHARED_H
#define WMBT_TEST_SHARED_H

#include "check.h"

struct loan {
  const uint8_t **payloads;
  const size_t *lens;
  /* NULL: nothing was lent. */
  wmbt_kv_borrow_t *borrow;
};

/* Whether the bytes lie in a mapped segment of a daemon's memory. */
bool lies_in_segment(const uint8_t *bytes);

/* Gets the whole batch, in the handle's namespace. */
struct loan borrow_blocks(wmbt_kv_handle_t *handle, const struct batch *batch);

/* The same until all of it lies in the daemon's memory: a get from elsewhere brings it there. */
struct loan lend_blocks(wmbt_kv_handle_t *handle, const struct batch *batch);

/* Whether the first blocks lie in the daemon's memory. */
bool is_lent(const struct loan *loan, size_t count);

/* Gets the blocks: whether they lay in the daemon's memory, and were not brought there for it. */
bool were_in_memory(wmbt_kv_handle_t *handle, const struct batch *batch);

void check_unchanged(const struct loan *loan, const struct batch *batch, const char *when);

/* Puts and gets blocks of the label, half as much again as the daemon's memory takes, so that it is used anew. */
void fill_memory(wmbt_kv_handle_t *handle, const char *label);

#endif
