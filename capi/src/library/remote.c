#include "remote.h"

#include <stdlib.h>

#include "bounds.h"
#include "clock.h"

int64_t wmbt_call_wait_ms(const struct wmbt_call *call) { return call->end_ms + WMBT_ANSWER_GRACE_MS; }

struct wmbt_head wmbt_call_head(const struct wmbt_call *call, const char *ns) {
  return (struct wmbt_head){ns, (uint32_t)wmbt_left_ms(call->end_ms)};
}

bool wmbt_call_unexpected(const struct wmbt_frame *frame, const char *what, struct wmbt_failure *failure) {
  return wmbt_fail(failure, wmbt_lost, "%s is not answered by a frame of type %u", what, frame->type);
}

enum verdict { done, retry, give_up };

/* One attempt. Afterwards the connection is back in the pool, or gone. */
static enum verdict attempt_once(struct wmbt_call *call, struct wmbt_failure *failure) {
  struct wmbt_peer *peer = call->remote->peer;
  struct wmbt_connection *connection = wmbt_peer_acquire(peer, call->use, wmbt_call_wait_ms(call), failure);
  if (connection == NULL) return failure->kind == wmbt_lost ? retry : give_up;
  const uint32_t id = connection->next_id;
  connection->next_id += 1;
  const bool is_done = call->attempt(call, connection, id, failure);
  if (!is_done && failure->kind == wmbt_lost) {
    wmbt_peer_discard(peer, connection, false);
    return retry;
  }
  if (!is_done && (failure->kind == wmbt_no_memory || failure->kind == wmbt_cancelled)) {
    /* The rest of the answer is not read; the daemon sees that nobody waits for it. */
    wmbt_peer_discard(peer, connection, false);
    return give_up;
  }
  if (is_done && call->is_left_owing) {
    wmbt_peer_leave_owing(peer, connection, id, wmbt_call_wait_ms(call));
    return done;
  }
  if (!is_done && failure->kind == wmbt_expired) {
    /* A daemon that was sending until now is there; it has too much to send for the time. */
    if (wmbt_now_ms() - connection->heard_ms <= WMBT_ANSWER_GRACE_MS) failure->kind = wmbt_slow;
    wmbt_peer_discard(peer, connection, failure->kind == wmbt_expired);
    return give_up;
  }
  wmbt_peer_release(peer, connection);
  if (is_done) return done;
  /* Damage on the way is seen by the other end, and the way may be better next time. */
  return failure->kind == wmbt_again || failure->kind == wmbt_corrupt ? retry : give_up;
}

int64_t wmbt_call_end_ms(const struct wmbt_terms *terms, int64_t usual_ms, int64_t most_ms) {
  const int64_t time_ms = terms->time_ms > 0 ? terms->time_ms : usual_ms;
  return wmbt_now_ms() + (time_ms < most_ms ? time_ms : most_ms);
}

struct wmbt_keys wmbt_call_part(const struct wmbt_keys *keys, size_t first) {
  struct wmbt_keys part = *keys;
  /* Of no keys, and for a whole namespace, there may be no array. */
  if (first > 0) part.keys += first;
  part.count -= first;
  if (part.count > WMBT_KEYS_PER_CALL_MAX) part.count = WMBT_KEYS_PER_CALL_MAX;
  return part;
}

bool wmbt_call_run(struct wmbt_call *call, struct wmbt_failure *failure) {
  wmbt_payload_memory_rest(wmbt_now_ms());
  for (unsigned attempts = 0; attempts < WMBT_CALL_ATTEMPTS_MAX; attempts += 1) {
    const enum verdict verdict = attempt_once(call, failure);
    if (verdict == done) return true;
    if (verdict == give_up) {
      if (failure->kind == wmbt_cancelled) failure->kind = wmbt_aborted;
      return false;
    }
    if (wmbt_now_ms() >= call->end_ms) break;
  }
  if (failure->kind < wmbt_wire_codes) return false;
  failure->kind = wmbt_unavailable;
  wmbt_failure_name(failure, "unavailable: the call was lost again and again");
  return false;
}

bool wmbt_call_begin(struct wmbt_call *call, bool *is_begun, struct wmbt_failure *failure) {
  struct wmbt_peer *peer = call->remote->peer;
  *is_begun = wmbt_peer_begin_owing(peer);
  if (!*is_begun) return true;
  call->is_left_owing = true;
  if (wmbt_call_run(call, failure)) return true;
  wmbt_peer_give_up_owing(peer);
  return false;
}

enum wmbt_outcome wmbt_call_load(struct wmbt_call *call, struct wmbt_load_progress *progress,
                                 struct wmbt_failure *failure) {
  const struct wmbt_keys *keys = progress->keys;
  const struct wmbt_borrow *borrow = progress->borrow;
  do {
    const size_t rest = keys->count - borrow->filled;
    progress->end = borrow->filled + (rest < WMBT_KEYS_PER_CALL_MAX ? rest : WMBT_KEYS_PER_CALL_MAX);
    if (!wmbt_call_run(call, failure)) {
      /* What cannot be had in time is a miss, as long as the daemon is there. */
      if (failure->kind != wmbt_slow) return wmbt_failed;
      keys->terms->miss = wmbt_miss_deadline;
      return wmbt_missed;
    }
    if (progress->has_missed) return wmbt_missed;
  } while (borrow->filled < keys->count);
  return wmbt_had;
}

void wmbt_remote_close(struct wmbt_mode *mode) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  wmbt_peer_free(remote->peer);
  free(remote);
}

static const struct wmbt_mode_calls remote_calls = {
    .lookup = wmbt_remote_lookup,
    .load = wmbt_remote_load,
    .save = wmbt_remote_save,
    .save_tail = wmbt_remote_save_tail,
    .load_tail = wmbt_remote_load_tail,
    .contains = wmbt_remote_contains,
    .prefetch = wmbt_remote_prefetch,
    .flush = wmbt_remote_flush,
    .delete_blocks = wmbt_remote_delete,
    .stats = wmbt_remote_stats,
    .close = wmbt_remote_close,
};

/* That a connection comes to stand is all that is asked. */
bool wmbt_remote_reach(struct wmbt_remote *remote, struct wmbt_failure *failure) {
  const int64_t end_ms = wmbt_now_ms() + remote->settings.connect_ms;
  for (unsigned attempts = 0; attempts < WMBT_CALL_ATTEMPTS_MAX; attempts += 1) {
    struct wmbt_connection *connection = wmbt_peer_acquire(remote->peer, wmbt_small, end_ms, failure);
    if (connection != NULL) {
      wmbt_peer_release(remote->peer, connection);
      return true;
    }
    if (failure->kind != wmbt_lost) return false;
  }
  return false;
}

struct wmbt_mode *wmbt_remote_open(struct wmbt_peer *peer, const struct wmbt_call_settings *settings,
                                   struct wmbt_failure *failure) {
  struct wmbt_remote *remote = malloc(sizeof *remote);
  if (remote == NULL) {
    wmbt_peer_free(peer);
    (void)wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory for a handle");
    return NULL;
  }
  *remote = (struct wmbt_remote){{&remote_calls}, peer, *settings, NULL, 0};
  if (wmbt_remote_reach(remote, failure)) return &remote->mode;
  wmbt_remote_close(&remote->mode);
  return NULL;
}
