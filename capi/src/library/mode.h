/*
 * What the functions of the header need of a store, in whatever way it is reached. Arguments are checked, keys are
 * parsed, and the namespace is one. Every function may be called from many threads at once but `close`, ends by its
 * deadline or soon after the thread's call is cancelled (cancel.h), and reports failures without side effects on its
 * results.
 */
#ifndef WMBT_MODE_H
#define WMBT_MODE_H

#include <stdint.h>

#include "../shared/announced.h"
#include "borrow.h"
#include "failure.h"

/* A block key, or the tip of a chain. */
struct wmbt_key {
  uint8_t bytes[32];
};

/* Why a payload was not had. The numbers are those of the wire and of the header. */
enum wmbt_miss {
  wmbt_miss_none = 0,
  wmbt_miss_unknown = 1,
  wmbt_miss_deadline = 6,
  wmbt_miss_unavailable = 7,
};

/* When a save is done. */
enum wmbt_durability { wmbt_as_the_settings_say, wmbt_when_durable, wmbt_when_accepted };

/* What a save came to. */
struct wmbt_saved {
  uint64_t saved, known, saved_bytes;
  /* Those of the known that the store was not asked for, so that it does not count them. */
  uint64_t found;
};

/*
 * How one call is to be made, and what came of it besides its result. All zero is a call of ABI 1.0. The pointers are
 * the caller's and last as long as the call.
 */
struct wmbt_terms {
  /* Milliseconds that it may take; 0: what is usual for it. */
  int64_t time_ms;
  /* Of saves. */
  enum wmbt_durability durability;
  /* Of saves: the caller wants to know how many blocks were stored, and how many were known. */
  bool wants_counts;
  /* Of loads: payloads with decoded tokens are misses. */
  bool is_exact;
  /* The model: of saves what is kept with the payloads, of loads what they may not contradict. NULL: not said. */
  const struct wmbt_key *fingerprint;
  /* Of saves: the key before the first one. NULL: none, or not known. */
  const struct wmbt_key *parent;
  /* Of saves, one for each key; NULL: nothing is known. */
  const struct wmbt_announced *announced;
  /* Of tails that are bound to tokens: those that they are bound to, or that they are to be the first of. NULL: a raw
   * tail. */
  const int32_t *tokens;
  size_t token_count;
  /* Written by a lookup or load of which the next payload was not had, and by a save. */
  enum wmbt_miss miss;
  struct wmbt_saved saved;
};

/* Keys of one namespace, in the order of the prompt, and the terms of the call that is about them: never NULL. */
struct wmbt_keys {
  const char *ns;
  const struct wmbt_key *keys;
  size_t count;
  struct wmbt_terms *terms;
};

enum wmbt_outcome { wmbt_missed, wmbt_had, wmbt_failed };

/* What is deleted; the numbers are those of the wire and of the header. */
enum wmbt_selection { wmbt_select_blocks, wmbt_select_subtree, wmbt_select_namespace };

struct wmbt_mode;

struct wmbt_mode_calls {
  /* How many leading keys are stored. */
  bool (*lookup)(struct wmbt_mode *, const struct wmbt_keys *, size_t *matched, struct wmbt_failure *);
  /* Fills the borrow with all payloads that it has not yet, from `filled` on; a borrow that was not filled is the
   * caller's to release all the same. */
  enum wmbt_outcome (*load)(struct wmbt_mode *, const struct wmbt_keys *, struct wmbt_borrow *, struct wmbt_failure *);
  bool (*save)(struct wmbt_mode *, const struct wmbt_keys *, const uint8_t *const *payloads, const size_t *lens,
               struct wmbt_failure *);
  /* One key, the tip; the terms say whether the tail is bound to tokens. */
  bool (*save_tail)(struct wmbt_mode *, const struct wmbt_keys *, const uint8_t *bytes, size_t length,
                    struct wmbt_failure *);
  enum wmbt_outcome (*load_tail)(struct wmbt_mode *, const struct wmbt_keys *, struct wmbt_borrow *,
                                 struct wmbt_failure *);
  /* For each key 1 or 0. */
  bool (*contains)(struct wmbt_mode *, const struct wmbt_keys *, uint8_t *present, struct wmbt_failure *);
  /*
   * Brings the leading blocks into the store's memory, and says how many are there; or, when `count` is NULL, begins
   * with it and waits for nothing. `is_begun` is false when as many as may be are under way already.
   */
  bool (*prefetch)(struct wmbt_mode *, const struct wmbt_keys *, size_t *count, bool *is_begun,
                   struct wmbt_failure *);
  /* Of these only the namespace and the terms matter; a selection of a subtree has its root as the one key. */
  bool (*flush)(struct wmbt_mode *, const struct wmbt_keys *, struct wmbt_failure *);
  bool (*delete_blocks)(struct wmbt_mode *, const struct wmbt_keys *, enum wmbt_selection, uint64_t *objects,
                        struct wmbt_failure *);
  /* The statistics of the store, as JSON with a NUL behind it, become the one payload of the borrow. */
  bool (*stats)(struct wmbt_mode *, const struct wmbt_keys *, struct wmbt_borrow *, struct wmbt_failure *);
  /* No call is under way and none follows. Borrows stay as they are. */
  void (*close)(struct wmbt_mode *);
};

struct wmbt_mode {
  const struct wmbt_mode_calls *calls;
};

#endif
