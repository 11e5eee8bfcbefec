/*
 * What the functions of the header need of a store, in whatever way it is reached. Arguments are checked, keys are
 * parsed, and the namespace is one. Every function may be called from many threads at once but `close`, ends by its
 * deadline, and reports failures without side effects on its results.
 */
#ifndef WMBT_MODE_H
#define WMBT_MODE_H

#include <stdint.h>

#include "borrow.h"
#include "failure.h"

/* A block key, or the tip of a chain. */
struct wmbt_key {
  uint8_t bytes[32];
};

/* Keys of one namespace, in the order of the prompt. */
struct wmbt_keys {
  const char *ns;
  const struct wmbt_key *keys;
  size_t count;
};

enum wmbt_outcome { wmbt_missed, wmbt_had, wmbt_failed };

struct wmbt_mode;

struct wmbt_mode_calls {
  /* How many leading keys are stored. */
  bool (*lookup)(struct wmbt_mode *, const struct wmbt_keys *, size_t *matched, struct wmbt_failure *);
  /* Fills the borrow with all payloads that it has not yet, from `filled` on; a borrow that was not filled is the caller's to release all the same. */
  enum wmbt_outcome (*load)(struct wmbt_mode *, const struct wmbt_keys *, struct wmbt_borrow *, struct wmbt_failure *);
  bool (*save)(struct wmbt_mode *, const struct wmbt_keys *, const uint8_t *const *payloads, const size_t *lens,
               struct wmbt_failure *);
  /* One key, the tip. */
  bool (*save_tail)(struct wmbt_mode *, const struct wmbt_keys *, const uint8_t *bytes, size_t length,
                    struct wmbt_failure *);
  enum wmbt_outcome (*load_tail)(struct wmbt_mode *, const struct wmbt_keys *, struct wmbt_borrow *,
                                 struct wmbt_failure *);
  /* No call is under way and none follows. Borrows stay as they are. */
  void (*close)(struct wmbt_mode *);
};

struct wmbt_mode {
  const struct wmbt_mode_calls *calls;
};

#endif
