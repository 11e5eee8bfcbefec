#include "shared-mode.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "remote-use.h"
#include "shared-access.h"
#include "shared-known.h"
#include "shared-lender.h"
#include "shared-ring.h"

struct shared {
  /* First, so that a pointer to one is a pointer to the other. */
  struct wmbt_mode mode;
  struct wmbt_mode *below;
  struct wmbt_access access;
  struct wmbt_ring_user ring;
  /* When the daemon was last told of what was used without asking it. */
  _Atomic int64_t noted_ms;
};

static bool lookup(struct wmbt_mode *mode, const struct wmbt_keys *keys, size_t *matched,
                   struct wmbt_failure *failure) {
  struct shared *shared = (struct shared *)mode;
  struct wmbt_view *view = wmbt_access_use(&shared->access);
  const bool is_whole = keys->count == 0 || (view != NULL && wmbt_reader_has_stored(view, keys));
  if (view != NULL) wmbt_view_leave(view);
  if (!is_whole) return shared->below->calls->lookup(shared->below, keys, matched, failure);
  *matched = keys->count;
  return true;
}

static enum wmbt_outcome load(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                              struct wmbt_failure *failure) {
  struct shared *shared = (struct shared *)mode;
  /* A load that goes on with another store has a borrow that is not empty: the rest is the socket's. */
  const bool is_fresh = borrow->filled == 0 && borrow->loan == NULL;
  if (is_fresh) {
    wmbt_access_lend(&shared->access, keys, borrow);
    borrow->untold = borrow->lent;
  }
  if (borrow->filled == keys->count) return wmbt_had;
  /* A load of what is left brings it into the daemon's memory, where it is borrowed, too (remote-load.c). */
  return shared->below->calls->load(shared->below, keys, borrow, failure);
}

/* What a save is given. */
struct saved_blocks {
  const struct wmbt_keys *keys;
  const uint8_t *const *payloads;
  const size_t *lens;
};

/*
 * Leaves the blocks from the given one on in a ring, where that is possible. Those before it lie in the daemon's
 * memory, and so are accepted.
 */
static bool leave(struct shared *shared, const struct wmbt_reader *reader, const struct saved_blocks *all,
                  size_t first) {
  const struct wmbt_keys *keys = all->keys;
  const struct wmbt_terms *terms = keys->terms;
  if (terms->wants_counts) return false;
  const struct wmbt_key *parent = first > 0 ? &keys->keys[first - 1] : terms->parent;
  const struct wmbt_ring_blocks blocks = {
      .ns = keys->ns,
      .ns_bytes = strlen(keys->ns),
      .parent = parent == NULL ? NULL : parent->bytes,
      .fingerprint = terms->fingerprint == NULL ? NULL : terms->fingerprint->bytes,
      .keys = keys->keys[first].bytes,
      .count = keys->count - first,
      .announced = terms->announced == NULL ? NULL : terms->announced + first,
      .payloads = all->payloads + first,
      .lens = all->lens + first,
  };
  return wmbt_ring_save(&shared->ring, &(struct wmbt_ring_way){shared->below, reader, &shared->access}, &blocks);
}

enum save_end { save_known, save_left, save_to_be_sent };

/*
 * Whether all blocks lie in the daemon's memory, and so are accepted; else leaves them in a ring, where that is
 * possible.
 */
static enum save_end save_here(struct shared *shared, const struct saved_blocks *blocks) {
  const struct wmbt_keys *keys = blocks->keys;
  if (keys->count == 0 || !wmbt_remote_is_for_acceptance(shared->below, keys->terms)) return save_to_be_sent;
  struct wmbt_view *view = wmbt_access_use(&shared->access);
  if (view == NULL) return save_to_be_sent;
  enum save_end end = save_to_be_sent;
  const size_t found = wmbt_reader_find(view, keys);
  if (found == keys->count) {
    end = save_known;
    /* What is saved again is of use. */
    wmbt_reader_note_uses(view, keys);
  } else if (leave(shared, view->reader, blocks, found)) {
    end = save_left;
  }
  wmbt_view_leave(view);
  return end;
}

/*
 * Tells the daemon that the blocks are used, now and then, for the object store: what nobody uses there is collected
 * first.
 */
static void note_use(struct shared *shared, const struct wmbt_keys *keys) {
  const int64_t now = wmbt_now_ms();
  int64_t before = atomic_load_explicit(&shared->noted_ms, memory_order_relaxed);
  if (now - before < WMBT_NOTE_MS) return;
  if (!atomic_compare_exchange_strong_explicit(&shared->noted_ms, &before, now, memory_order_relaxed,
                                               memory_order_relaxed)) {
    return;
  }
  wmbt_remote_note_use(shared->below, keys);
}

static bool save(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *const *payloads,
                 const size_t *lens, struct wmbt_failure *failure) {
  struct shared *shared = (struct shared *)mode;
  switch (save_here(shared, &(struct saved_blocks){keys, payloads, lens})) {
    case save_known:
      keys->terms->saved = (struct wmbt_saved){.known = keys->count, .found = keys->count};
      note_use(shared, keys);
      return true;
    case save_left:
      return true;
    default:
      return shared->below->calls->save(shared->below, keys, payloads, lens, failure);
  }
}

static bool save_tail(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *bytes, size_t length,
                      struct wmbt_failure *failure) {
  struct shared *shared = (struct shared *)mode;
  /* What is bound to its tokens is there or not; a raw tail replaces another. */
  const bool may_be_known = keys->terms->tokens != NULL && wmbt_remote_is_for_acceptance(shared->below, keys->terms);
  if (may_be_known && wmbt_access_has_tail(&shared->access, keys)) {
    keys->terms->saved = (struct wmbt_saved){.known = 1, .found = 1};
    return true;
  }
  return shared->below->calls->save_tail(shared->below, keys, bytes, length, failure);
}

static enum wmbt_outcome load_tail(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                                   struct wmbt_failure *failure) {
  struct shared *shared = (struct shared *)mode;
  /*
   * None is longer than that of all tokens. A raw tail may have been replaced on another host, which the daemon knows.
   */
  const bool is_fresh = borrow->filled == 0 && borrow->loan == NULL;
  const struct wmbt_terms *terms = keys->terms;
  if (is_fresh && terms->tokens != NULL && wmbt_access_lend_tail(&shared->access, keys, terms->token_count, borrow)) {
    borrow->untold = borrow->lent;
    return wmbt_had;
  }
  return shared->below->calls->load_tail(shared->below, keys, borrow, failure);
}

static bool contains(struct wmbt_mode *mode, const struct wmbt_keys *keys, uint8_t *present,
                     struct wmbt_failure *failure) {
  struct wmbt_mode *below = ((struct shared *)mode)->below;
  return below->calls->contains(below, keys, present, failure);
}

static bool prefetch(struct wmbt_mode *mode, const struct wmbt_keys *keys, size_t *count, bool *is_begun,
                     struct wmbt_failure *failure) {
  struct wmbt_mode *below = ((struct shared *)mode)->below;
  return below->calls->prefetch(below, keys, count, is_begun, failure);
}

static bool flush(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_failure *failure) {
  struct wmbt_mode *below = ((struct shared *)mode)->below;
  return below->calls->flush(below, keys, failure);
}

static bool delete_blocks(struct wmbt_mode *mode, const struct wmbt_keys *keys, enum wmbt_selection selection,
                          uint64_t *objects, struct wmbt_failure *failure) {
  struct wmbt_mode *below = ((struct shared *)mode)->below;
  return below->calls->delete_blocks(below, keys, selection, objects, failure);
}

static bool stats(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                  struct wmbt_failure *failure) {
  struct wmbt_mode *below = ((struct shared *)mode)->below;
  return below->calls->stats(below, keys, borrow, failure);
}

static void close_shared(struct wmbt_mode *mode) {
  struct shared *shared = (struct shared *)mode;
  wmbt_ring_user_close(&shared->ring);
  wmbt_access_close(&shared->access);
  shared->below->calls->close(shared->below);
  free(shared);
}

static const struct wmbt_mode_calls shared_calls = {
    .lookup = lookup,
    .load = load,
    .save = save,
    .save_tail = save_tail,
    .load_tail = load_tail,
    .contains = contains,
    .prefetch = prefetch,
    .flush = flush,
    .delete_blocks = delete_blocks,
    .stats = stats,
    .close = close_shared,
};

struct wmbt_mode *wmbt_shared_open(struct wmbt_mode *below, const char *socket_path, struct wmbt_failure *failure) {
  struct shared *shared = malloc(sizeof *shared);
  if (shared == NULL) {
    below->calls->close(below);
    (void)wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory for a handle");
    return NULL;
  }
  shared->mode.calls = &shared_calls;
  shared->below = below;
  atomic_init(&shared->noted_ms, INT64_MIN / 2);
  wmbt_access_init(&shared->access, socket_path);
  wmbt_ring_user_init(&shared->ring);
  wmbt_remote_fill_by(below, &shared->access);
  struct wmbt_view *view = wmbt_access_use(&shared->access);
  if (view != NULL) wmbt_view_leave(view);
  return &shared->mode;
}

void wmbt_shared_move(struct wmbt_mode *mode, const char *socket_path) {
  wmbt_access_move(&((struct shared *)mode)->access, socket_path);
}
