#include "peer.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "cancel.h"
#include "clock.h"
#include "fork.h"
#include "random.h"

_Static_assert(WMBT_CONNECTIONS_MAX < WMBT_CONNECTIONS_PER_CLIENT_MAX, "a daemon lets in all that a handle opens");
_Static_assert(WMBT_BULK_CONNECTIONS_MAX < WMBT_CONNECTIONS_MAX, "calls with payloads leave connections to others");

/* A name is looked up again when its addresses fail, not more often than this. */
enum { name_again_ms = 5000 };

static bool receive_owed(struct wmbt_connection *connection, uint32_t id, int64_t deadline_ms,
                         struct wmbt_failure *failure) {
  struct wmbt_frame frame;
  return wmbt_connection_receive(connection, id, deadline_ms, &frame, failure);
}

struct wmbt_peer *wmbt_peer_new(const char *path, const struct wmbt_endpoint *endpoint, const char *token,
                                struct wmbt_failure *failure) {
  struct wmbt_peer *peer = calloc(1, sizeof *peer);
  if (peer == NULL) {
    (void)wmbt_fail(failure, wmbt_unavailable, "no memory for a handle");
    return NULL;
  }
  const int64_t now = wmbt_now_ms();
  const bool is_found = path != NULL
                            ? wmbt_target_of_path(path, &peer->target, failure)
                            : wmbt_target_of_endpoint(endpoint, now + WMBT_CONNECT_MS, &peer->target, failure);
  if (!is_found) {
    free(peer);
    return NULL;
  }
  if (path == NULL && !wmbt_endpoint_is_numeric(endpoint)) peer->name = *endpoint;
  peer->named_ms = now;
  (void)memcpy(peer->token, token, strlen(token) + 1);
  peer->greet = wmbt_connection_greet;
  peer->settle = receive_owed;
  peer->hello.token = peer->token;
  peer->hello.agent = "libwombatkv " WMBT_AGENT_VERSION;
  peer->needs_client_id = true;
  (void)pthread_mutex_init(&peer->lock, NULL);
  wmbt_condition_init(&peer->changed);
  wmbt_fork_add(peer);
  return peer;
}

static void free_list(struct wmbt_connection *first) {
  while (first != NULL) {
    struct wmbt_connection *next = first->next;
    wmbt_connection_free(first);
    first = next;
  }
}

void wmbt_peer_free(struct wmbt_peer *peer) {
  wmbt_fork_remove(peer);
  free_list(peer->connections);
  free_list(peer->abandoned);
  (void)pthread_cond_destroy(&peer->changed);
  (void)pthread_mutex_destroy(&peer->lock);
  free(peer);
}

/* The call that used the connection does not any more; the lock is held. */
static void end_use(struct wmbt_peer *peer, struct wmbt_connection *connection) {
  if (connection->is_bulk) peer->bulk_count -= 1;
  connection->is_bulk = false;
}

/* Takes the connection out of the list and frees it; the lock is held. */
static void remove_connection(struct wmbt_peer *peer, struct wmbt_connection *connection) {
  struct wmbt_connection **place = &peer->connections;
  while (*place != NULL && *place != connection) place = &(*place)->next;
  if (*place == NULL) return;
  *place = connection->next;
  peer->count -= 1;
  if (connection->is_owing) peer->owing_count -= 1;
  wmbt_connection_free(connection);
}

void wmbt_peer_release(struct wmbt_peer *peer, struct wmbt_connection *connection) {
  (void)pthread_mutex_lock(&peer->lock);
  end_use(peer, connection);
  /* Ids are not used again on a connection. */
  if (connection->next_id == UINT32_MAX || connection->is_last) {
    remove_connection(peer, connection);
  } else {
    connection->is_idle = true;
  }
  (void)pthread_cond_broadcast(&peer->changed);
  (void)pthread_mutex_unlock(&peer->lock);
}

/* The lock is held. */
static void remove_idle(struct wmbt_peer *peer) {
  for (struct wmbt_connection *one = peer->connections, *next; one != NULL; one = next) {
    next = one->next;
    if (one->is_idle || one->is_owing) remove_connection(peer, one);
  }
}

void wmbt_peer_discard(struct wmbt_peer *peer, struct wmbt_connection *connection, bool is_silent) {
  (void)pthread_mutex_lock(&peer->lock);
  end_use(peer, connection);
  remove_connection(peer, connection);
  if (is_silent) {
    peer->is_silent = true;
    peer->failures += 1;
    remove_idle(peer);
  }
  (void)pthread_cond_broadcast(&peer->changed);
  (void)pthread_mutex_unlock(&peer->lock);
}

/* The answer that a connection owes has come: it is idle again, or over. The lock is held, and nothing waits. */
static void settle(struct wmbt_peer *peer, struct wmbt_connection *connection) {
  struct wmbt_failure ignored;
  /* A prefetch is a hint: whatever the answer says, the connection is free. */
  const bool is_answered = peer->settle(connection, connection->owed_id, wmbt_now_ms() + 1, &ignored) ||
                           ignored.kind < wmbt_wire_codes;
  if (is_answered) {
    connection->is_owing = false;
    connection->is_idle = true;
    peer->owing_count -= 1;
  } else if (ignored.kind != wmbt_expired && ignored.kind != wmbt_cancelled) {
    remove_connection(peer, connection);
  }
}

/* Takes the answers that nobody waited for, as far as they have come. The lock is held. */
static void settle_owing(struct wmbt_peer *peer) {
  for (struct wmbt_connection *one = peer->connections, *next; one != NULL; one = next) {
    next = one->next;
    if (!one->is_owing) continue;
    if (!wmbt_descriptor_is_ours(&one->made) || wmbt_now_ms() > one->owed_until_ms) {
      remove_connection(peer, one);
    } else if (wmbt_connection_has_news(one)) {
      settle(peer, one);
    }
  }
}

bool wmbt_peer_begin_owing(struct wmbt_peer *peer) {
  (void)pthread_mutex_lock(&peer->lock);
  settle_owing(peer);
  const bool may = peer->owing_count < WMBT_PREFETCHES_MAX;
  if (may) peer->owing_count += 1;
  (void)pthread_mutex_unlock(&peer->lock);
  return may;
}

void wmbt_peer_give_up_owing(struct wmbt_peer *peer) {
  (void)pthread_mutex_lock(&peer->lock);
  /* In a child that was forked meanwhile none is left. */
  if (peer->owing_count > 0) peer->owing_count -= 1;
  (void)pthread_mutex_unlock(&peer->lock);
}

void wmbt_peer_leave_owing(struct wmbt_peer *peer, struct wmbt_connection *connection, uint32_t id, int64_t until_ms) {
  (void)pthread_mutex_lock(&peer->lock);
  end_use(peer, connection);
  connection->is_owing = true;
  connection->owed_id = id;
  connection->owed_until_ms = until_ms;
  (void)pthread_mutex_unlock(&peer->lock);
}

/* The idle connection that was used last; those that the daemon has closed are dropped. The lock is held. */
static struct wmbt_connection *take_idle(struct wmbt_peer *peer) {
  settle_owing(peer);
  for (struct wmbt_connection *one = peer->connections, *next; one != NULL; one = next) {
    next = one->next;
    if (!one->is_idle) continue;
    if (wmbt_connection_is_quiet(one)) {
      one->is_idle = false;
      return one;
    }
    remove_connection(peer, one);
  }
  return NULL;
}

bool wmbt_peer_move(struct wmbt_peer *peer, const char *path, uint64_t generation, struct wmbt_failure *failure) {
  struct wmbt_target target;
  if (!wmbt_target_of_path(path, &target, failure)) return false;
  (void)pthread_mutex_lock(&peer->lock);
  if (peer->generation != generation) {
    peer->generation = generation;
    peer->target = target;
    peer->failures = 0;
    peer->is_silent = false;
    /* One that is being opened, or in use, fails by itself. */
    remove_idle(peer);
    if (peer->pending != NULL) remove_connection(peer, peer->pending);
    peer->pending = NULL;
    (void)pthread_cond_broadcast(&peer->changed);
  }
  (void)pthread_mutex_unlock(&peer->lock);
  return true;
}

uint64_t wmbt_peer_generation(struct wmbt_peer *peer) {
  (void)pthread_mutex_lock(&peer->lock);
  const uint64_t generation = peer->generation;
  (void)pthread_mutex_unlock(&peer->lock);
  return generation;
}

bool wmbt_peer_is_accepting(struct wmbt_peer *peer) {
  (void)pthread_mutex_lock(&peer->lock);
  const bool is_accepting = peer->is_accepting;
  (void)pthread_mutex_unlock(&peer->lock);
  return is_accepting;
}

/* Calls with payloads leave connections to the others. The lock is held. */
static bool has_turn(const struct wmbt_peer *peer, enum wmbt_use use) {
  return use == wmbt_small || peer->bulk_count < WMBT_BULK_CONNECTIONS_MAX;
}

/* Whether another connection may be opened now. The lock is held. */
static bool may_open(const struct wmbt_peer *peer) {
  /* While the daemon is away one thread tries, for all of them. */
  const bool is_others_turn = peer->failures > 0 && peer->is_attempting;
  return (peer->count < WMBT_CONNECTIONS_MAX || peer->pending != NULL) && !is_others_turn;
}

/* Follows a name to where it leads now, when its addresses have failed. The lock is held, but for the question. */
static void follow_name(struct wmbt_peer *peer, int64_t deadline_ms) {
  const int64_t now = wmbt_now_ms();
  const bool is_due = peer->name.host[0] != '\0' && peer->failures > 0 && now - peer->named_ms > name_again_ms;
  if (!is_due) return;
  peer->named_ms = now;
  (void)pthread_mutex_unlock(&peer->lock);
  struct wmbt_target target;
  struct wmbt_failure ignored;
  const bool is_found = wmbt_target_of_endpoint(&peer->name, deadline_ms, &target, &ignored);
  (void)pthread_mutex_lock(&peer->lock);
  /* Without an answer the addresses of before are tried. */
  if (is_found) peer->target = target;
}

/* The connection that the attempt goes on with; the lock is held. NULL with a failure. */
static struct wmbt_connection *begin_attempt(struct wmbt_peer *peer, struct wmbt_failure *failure) {
  if (peer->needs_client_id) {
    if (!wmbt_random_bytes(peer->hello.client_id, sizeof peer->hello.client_id, failure)) return NULL;
    peer->needs_client_id = false;
  }
  struct wmbt_connection *connection = peer->pending;
  peer->pending = NULL;
  if (connection != NULL && wmbt_now_ms() - connection->began_ms <= WMBT_CONNECT_MS) return connection;
  if (connection != NULL) remove_connection(peer, connection);
  peer->is_reached = false;
  connection = wmbt_connection_new(&peer->target);
  if (connection == NULL) {
    (void)wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory for a connection");
    return NULL;
  }
  connection->next = peer->connections;
  peer->connections = connection;
  peer->count += 1;
  return connection;
}

/* When an attempt ends: for a daemon that may be away, and for one that is there. */
struct patience {
  int64_t short_ms, long_ms;
};

/* Moves the attempt on. The lock is held, but while the daemon is waited for. */
static bool advance(struct wmbt_peer *peer, struct wmbt_connection *connection, struct patience ends,
                    struct wmbt_failure *failure) {
  const struct wmbt_hello hello = peer->hello;
  (void)pthread_mutex_unlock(&peer->lock);
  const bool is_reached = wmbt_connection_reach(connection, ends.short_ms, failure);
  (void)pthread_mutex_lock(&peer->lock);
  if (!is_reached) return false;
  peer->is_reached = true;
  (void)pthread_cond_broadcast(&peer->changed);
  /* Somebody listens again: it is back, and answers as soon as it can. */
  const int64_t end_ms = peer->is_silent ? ends.short_ms : ends.long_ms;
  (void)pthread_mutex_unlock(&peer->lock);
  const bool stands = peer->greet(connection, &hello, end_ms, failure);
  (void)pthread_mutex_lock(&peer->lock);
  return stands;
}

/* What a failed attempt says of the daemon. The lock is held. */
static void note_failure(struct wmbt_peer *peer, struct wmbt_connection *connection, struct wmbt_failure *failure) {
  if (failure->kind == wmbt_cancelled) {
    /* Nothing. */
    remove_connection(peer, connection);
    return;
  }
  peer->failures += 1;
  if (failure->kind != wmbt_expired) {
    peer->is_silent = false;
    remove_connection(peer, connection);
    return;
  }
  peer->is_silent = peer->is_silent || connection->is_reached;
  if (peer->pending == NULL) {
    peer->pending = connection;
  } else {
    remove_connection(peer, connection);
  }
  failure->kind = wmbt_unavailable;
}

/* Opens a connection, or tries to. The lock is held before and after. */
static struct wmbt_connection *open_connection(struct wmbt_peer *peer, struct patience ends,
                                               struct wmbt_failure *failure) {
  peer->is_attempting = true;
  follow_name(peer, ends.short_ms);
  struct wmbt_connection *connection = begin_attempt(peer, failure);
  const bool stands = connection != NULL && advance(peer, connection, ends, failure);
  peer->is_attempting = false;
  peer->attempted_ms = wmbt_now_ms();
  if (stands) {
    peer->failures = 0;
    peer->is_silent = false;
    peer->is_accepting = connection->welcome.is_accepting;
  } else if (connection != NULL) {
    /* Another one may be there next. */
    peer->is_accepting = false;
    note_failure(peer, connection, failure);
  }
  (void)pthread_cond_broadcast(&peer->changed);
  return stands ? connection : NULL;
}

/* How long a call waits for a connection. The lock is held. */
static struct patience patience_of(const struct wmbt_peer *peer, int64_t began_ms, int64_t deadline_ms) {
  struct patience ends = {deadline_ms, deadline_ms};
  const bool is_back = peer->is_attempting && peer->is_reached && !peer->is_silent;
  const int64_t short_ms = began_ms + WMBT_AWAY_WAIT_MS;
  if (peer->failures > 0 && !is_back && short_ms < deadline_ms) ends.short_ms = short_ms;
  return ends;
}

/* Opens one for the use. The lock is held before and after. */
static struct wmbt_connection *open_for(struct wmbt_peer *peer, enum wmbt_use use, struct patience ends,
                                        struct wmbt_failure *failure) {
  /* Its place is taken while it is being opened. */
  if (use == wmbt_bulk) peer->bulk_count += 1;
  struct wmbt_connection *connection = open_connection(peer, ends, failure);
  if (use == wmbt_bulk) peer->bulk_count -= 1;
  return connection;
}

static bool fail_waiting(bool is_away, struct wmbt_failure *failure) {
  const char *why = is_away ? "the daemon is away" : "all connections to the daemon are in use";
  return wmbt_fail(failure, wmbt_unavailable, "unavailable: %s", why);
}

struct wmbt_connection *wmbt_peer_acquire(struct wmbt_peer *peer, enum wmbt_use use, int64_t deadline_ms,
                                          struct wmbt_failure *failure) {
  const int64_t began_ms = wmbt_now_ms();
  struct wmbt_connection *connection = NULL;
  (void)pthread_mutex_lock(&peer->lock);
  for (;;) {
    const bool is_turn = has_turn(peer, use);
    connection = is_turn ? take_idle(peer) : NULL;
    if (connection != NULL) break;
    const bool is_away = peer->failures > 0;
    const struct patience ends = patience_of(peer, began_ms, deadline_ms);
    const int64_t now = wmbt_now_ms(), soonest_ms = peer->attempted_ms + WMBT_AWAY_GAP_MS;
    const bool is_early = is_away && peer->pending == NULL && now < soonest_ms;
    const bool may = is_turn && may_open(peer);
    /*
     * Whoever tries for all may not have had a processor: a call whose time is over looks for itself before it fails.
     */
    const bool is_last = is_away && is_turn && now >= ends.short_ms && peer->count < WMBT_CONNECTIONS_MAX;
    if ((may && !is_early) || is_last) {
      connection = open_for(peer, use, ends, failure);
      break;
    }
    if (wmbt_cancel_is_set() && !wmbt_cancel_fail(failure)) break;
    if (now >= ends.short_ms && !fail_waiting(is_away, failure)) break;
    const int64_t end_ms = may && soonest_ms < ends.short_ms ? soonest_ms : ends.short_ms;
    wmbt_condition_wait(&peer->changed, &peer->lock, now + wmbt_cancel_wait_ms(wmbt_left_ms(end_ms)));
  }
  if (connection != NULL && use == wmbt_bulk) {
    connection->is_bulk = true;
    peer->bulk_count += 1;
  }
  (void)pthread_mutex_unlock(&peer->lock);
  return connection;
}
