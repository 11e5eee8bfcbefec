#include "embedded.h"

#include <stdlib.h>

#include "clock.h"
#include "private-store.h"
#include "remote.h"
#include "shared-mode.h"

struct wmbt_embedded {
  struct wmbt_mode mode;
  struct wmbt_private_store *store;
  /* Of `inner`, which owns it. */
  struct wmbt_peer *peer;
  /* The store's shared memory, and behind it its socket. */
  struct wmbt_mode *inner;
  struct wmbt_call_settings settings;
};

/* One call: where the store was when it began, and until when another one may be started for it. */
struct embedded_call {
  struct wmbt_embedded *embedded;
  uint64_t generation;
  int64_t end_ms;
};

static struct embedded_call begin(struct wmbt_mode *mode, const struct wmbt_keys *keys, int64_t usual_ms) {
  struct wmbt_embedded *embedded = (struct wmbt_embedded *)mode;
  const int64_t end_ms = wmbt_call_end_ms(keys->terms, usual_ms, embedded->settings.most_ms);
  return (struct embedded_call){embedded, wmbt_peer_generation(embedded->peer), end_ms};
}

/* After a call that failed: whether there is another store process now, so that the call is to be made again. */
static bool is_replaced(const struct embedded_call *call, struct wmbt_failure *failure) {
  if (failure->kind != wmbt_unavailable && failure->kind != wmbt_closed) return false;
  struct wmbt_private_place place;
  struct wmbt_failure of_store;
  if (!wmbt_private_store_reach(call->embedded->store, call->generation, call->end_ms, &place, &of_store)) {
    *failure = of_store;
    return false;
  }
  if (place.generation == call->generation) return false;
  wmbt_shared_move(call->embedded->inner, place.socket);
  return wmbt_peer_move(call->embedded->peer, place.socket, place.generation, failure);
}

/* Whether the store's memory may be read: where this process has lost its place in it, another store is reached. */
static bool may_read(const struct embedded_call *call, struct wmbt_failure *failure) {
  if (wmbt_private_store_is_current(call->embedded->store, call->generation)) return true;
  (void)wmbt_fail(failure, wmbt_unavailable, "unavailable: the store process has gone");
  return is_replaced(call, failure);
}

static bool lookup(struct wmbt_mode *mode, const struct wmbt_keys *keys, size_t *matched,
                   struct wmbt_failure *failure) {
  struct wmbt_embedded *embedded = (struct wmbt_embedded *)mode;
  const struct embedded_call call = begin(mode, keys, embedded->settings.lookup_ms);
  struct wmbt_mode *inner = embedded->inner;
  return (may_read(&call, failure) && inner->calls->lookup(inner, keys, matched, failure)) ||
         (is_replaced(&call, failure) && inner->calls->lookup(inner, keys, matched, failure));
}

static enum wmbt_outcome load(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                              struct wmbt_failure *failure) {
  struct wmbt_embedded *embedded = (struct wmbt_embedded *)mode;
  const struct embedded_call call = begin(mode, keys, embedded->settings.load_ms);
  struct wmbt_mode *inner = embedded->inner;
  const bool may = may_read(&call, failure);
  const enum wmbt_outcome outcome = may ? inner->calls->load(inner, keys, borrow, failure) : wmbt_failed;
  if (outcome != wmbt_failed || !is_replaced(&call, failure)) return outcome;
  /* What came before the process ended is in the borrow, and is not asked for again. */
  return inner->calls->load(inner, keys, borrow, failure);
}

static bool save(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *const *payloads,
                 const size_t *lens, struct wmbt_failure *failure) {
  struct wmbt_embedded *embedded = (struct wmbt_embedded *)mode;
  const struct embedded_call call = begin(mode, keys, embedded->settings.save_ms);
  struct wmbt_mode *inner = embedded->inner;
  return inner->calls->save(inner, keys, payloads, lens, failure) ||
         (is_replaced(&call, failure) && inner->calls->save(inner, keys, payloads, lens, failure));
}

static bool save_tail(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *bytes, size_t length,
                      struct wmbt_failure *failure) {
  struct wmbt_embedded *embedded = (struct wmbt_embedded *)mode;
  const struct embedded_call call = begin(mode, keys, embedded->settings.tail_ms);
  struct wmbt_mode *inner = embedded->inner;
  return inner->calls->save_tail(inner, keys, bytes, length, failure) ||
         (is_replaced(&call, failure) && inner->calls->save_tail(inner, keys, bytes, length, failure));
}

static enum wmbt_outcome load_tail(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                                   struct wmbt_failure *failure) {
  struct wmbt_embedded *embedded = (struct wmbt_embedded *)mode;
  const struct embedded_call call = begin(mode, keys, embedded->settings.tail_ms);
  struct wmbt_mode *inner = embedded->inner;
  const enum wmbt_outcome outcome = inner->calls->load_tail(inner, keys, borrow, failure);
  if (outcome != wmbt_failed || !is_replaced(&call, failure)) return outcome;
  return inner->calls->load_tail(inner, keys, borrow, failure);
}

static bool contains(struct wmbt_mode *mode, const struct wmbt_keys *keys, uint8_t *present,
                     struct wmbt_failure *failure) {
  struct wmbt_embedded *embedded = (struct wmbt_embedded *)mode;
  const struct embedded_call call = begin(mode, keys, embedded->settings.load_ms);
  struct wmbt_mode *inner = embedded->inner;
  return inner->calls->contains(inner, keys, present, failure) ||
         (is_replaced(&call, failure) && inner->calls->contains(inner, keys, present, failure));
}

static bool prefetch(struct wmbt_mode *mode, const struct wmbt_keys *keys, size_t *count, bool *is_begun,
                     struct wmbt_failure *failure) {
  struct wmbt_embedded *embedded = (struct wmbt_embedded *)mode;
  const struct embedded_call call = begin(mode, keys, embedded->settings.load_ms);
  struct wmbt_mode *inner = embedded->inner;
  return inner->calls->prefetch(inner, keys, count, is_begun, failure) ||
         (is_replaced(&call, failure) && inner->calls->prefetch(inner, keys, count, is_begun, failure));
}

static bool flush(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_failure *failure) {
  struct wmbt_embedded *embedded = (struct wmbt_embedded *)mode;
  const struct embedded_call call = begin(mode, keys, embedded->settings.most_ms);
  struct wmbt_mode *inner = embedded->inner;
  return inner->calls->flush(inner, keys, failure) ||
         (is_replaced(&call, failure) && inner->calls->flush(inner, keys, failure));
}

static bool delete_blocks(struct wmbt_mode *mode, const struct wmbt_keys *keys, enum wmbt_selection selection,
                          uint64_t *objects, struct wmbt_failure *failure) {
  struct wmbt_embedded *embedded = (struct wmbt_embedded *)mode;
  const struct embedded_call call = begin(mode, keys, embedded->settings.delete_ms);
  struct wmbt_mode *inner = embedded->inner;
  return inner->calls->delete_blocks(inner, keys, selection, objects, failure) ||
         (is_replaced(&call, failure) && inner->calls->delete_blocks(inner, keys, selection, objects, failure));
}

static bool stats(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                  struct wmbt_failure *failure) {
  struct wmbt_embedded *embedded = (struct wmbt_embedded *)mode;
  const struct embedded_call call = begin(mode, keys, embedded->settings.lookup_ms);
  struct wmbt_mode *inner = embedded->inner;
  return inner->calls->stats(inner, keys, borrow, failure) ||
         (is_replaced(&call, failure) && inner->calls->stats(inner, keys, borrow, failure));
}

static void close_embedded(struct wmbt_mode *mode) {
  struct wmbt_embedded *embedded = (struct wmbt_embedded *)mode;
  if (embedded->inner != NULL) embedded->inner->calls->close(embedded->inner);
  if (embedded->store != NULL) wmbt_private_store_close(embedded->store);
  free(embedded);
}

static const struct wmbt_mode_calls embedded_calls = {
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
    .close = close_embedded,
};

/* Reaches the store process and connects to it. */
static bool connect_to_store(struct wmbt_embedded *embedded, const struct wmbt_settings *settings,
                             struct wmbt_failure *failure) {
  struct wmbt_private_place place;
  const int64_t end_ms = wmbt_now_ms() + settings->calls.connect_ms;
  if (!wmbt_private_store_reach(embedded->store, 0, end_ms, &place, failure)) return false;
  embedded->peer = wmbt_peer_new(place.socket, NULL, settings->token, failure);
  if (embedded->peer == NULL) return false;
  if (!wmbt_peer_move(embedded->peer, place.socket, place.generation, failure)) {
    wmbt_peer_free(embedded->peer);
    return false;
  }
  embedded->inner = wmbt_remote_open(embedded->peer, &settings->calls, failure);
  if (embedded->inner != NULL) embedded->inner = wmbt_shared_open(embedded->inner, place.socket, failure);
  return embedded->inner != NULL;
}

struct wmbt_mode *wmbt_embedded_open(const struct wmbt_settings *settings, struct wmbt_failure *failure) {
  struct wmbt_embedded *embedded = calloc(1, sizeof *embedded);
  if (embedded == NULL) {
    (void)wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory for a handle");
    return NULL;
  }
  embedded->mode.calls = &embedded_calls;
  embedded->settings = settings->calls;
  embedded->store = wmbt_private_store_open(failure);
  if (embedded->store != NULL && connect_to_store(embedded, settings, failure)) return &embedded->mode;
  close_embedded(&embedded->mode);
  return NULL;
}
