/* What the tests of ABI 1.1 have in common. */
#ifndef WMBT_TEST_EXTENDED_H
#define WMBT_TEST_EXTENDED_H

#include "check.h"

/* A namespace that no run before this one has used, until the next call: the daemon may be the same. */
const char *fresh_namespace(const char *name);

/* The last error, or that there is none. */
const char *last_text(void);

/* Saves the batch as blocks of 128 tokens. */
wmbt_kv_saved_t expect_saved(wmbt_kv_handle_t *handle, const char *ns, const struct batch *batch,
                             const wmbt_kv_call_t *call, uint32_t flags);

/* How many blocks come, with which flags, and why no more. */
struct expected_load {
  size_t count;
  uint32_t flags;
  int32_t miss;
};

void expect_loaded(wmbt_kv_handle_t *handle, const char *ns, const struct batch *batch, const wmbt_kv_call_t *call,
                   struct expected_load expected);

#endif
