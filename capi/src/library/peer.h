/*
 * A daemon as one handle reaches it: a pool of connections, opened when they are needed and again when they are
 * lost. There is no thread behind it: who calls moves it on.
 *
 * While the daemon is away, calls fail within WMBT_AWAY_WAIT_MS. Each asks anew, at most once in WMBT_AWAY_GAP_MS
 * however many ask, so that the first call after it came back succeeds; one whose time is over looks once more for
 * itself. A connection that is slow to come about is kept, and the next call goes on with it.
 */
#ifndef WMBT_PEER_H
#define WMBT_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "connection.h"
#include "failure.h"
#include "messages.h"

/* What a call wants of a connection: calls with payloads leave some for the others. */
enum wmbt_use { wmbt_small, wmbt_bulk };

struct wmbt_peer {
  /* Of the list of all peers, under its lock: fork() has to find them (fork.c). */
  struct wmbt_peer *next;
  /* Guards everything below. It is never held across a wait for the daemon. */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  struct wmbt_target target;
  /* Empty host: the target has no name that may come to mean another address. */
  struct wmbt_endpoint name;
  int64_t named_ms;
  /* All connections, those that are being opened included, and how many there are. */
  struct wmbt_connection *connections;
  unsigned count;
  /* Calls with payloads that have a connection, or are opening one. */
  unsigned bulk_count;
  /* Calls whose answers nobody waits for, those that are being sent included. */
  unsigned owing_count;
  /* The one among them that was slow to come about, while nobody works on it. */
  struct wmbt_connection *pending;
  /* Memory of the parent's connections, in a child process; nothing uses it. */
  struct wmbt_connection *abandoned;
  bool is_attempting;
  /* By the attempt under way somebody listens. */
  bool is_reached;
  /* Failed attempts in a row; 0: the daemon is there, as far as is known. */
  unsigned failures;
  /* Which one it is, where its owner starts another when it ends. */
  uint64_t generation;
  /* It takes connections and does not answer: that it can be reached says nothing. */
  bool is_silent;
  /* What the daemon said last: saves that say nothing of it are answered when they are accepted. */
  bool is_accepting;
  int64_t attempted_ms;
  /* How a connection that is reached comes to stand: wmbt_connection_greet, or that of HTTP. */
  bool (*greet)(struct wmbt_connection *, const struct wmbt_hello *, int64_t deadline_ms, struct wmbt_failure *);
  /* Takes an answer that a connection owes, as far as it has come: that of frames, or of HTTP. */
  bool (*settle)(struct wmbt_connection *, uint32_t id, int64_t deadline_ms, struct wmbt_failure *);
  struct wmbt_hello hello;
  bool needs_client_id;
  char token[WMBT_TOKEN_BYTES_MAX + 1];
};

/*
 * Where the daemon is: `path` of a Unix socket, or an endpoint. NULL with a failure. Nothing is connected yet.
 */
struct wmbt_peer *wmbt_peer_new(const char *path, const struct wmbt_endpoint *endpoint, const char *token,
                                struct wmbt_failure *failure);

/* Closes all connections. No call is under way. */
void wmbt_peer_free(struct wmbt_peer *peer);

/* The daemon has another socket now, as another one, unless it is that already. False with a failure. */
bool wmbt_peer_move(struct wmbt_peer *peer, const char *path, uint64_t generation, struct wmbt_failure *failure);

/* The number of the last move. */
uint64_t wmbt_peer_generation(struct wmbt_peer *peer);

/* Whether it is known that a save which says nothing of it is answered when it is accepted. */
bool wmbt_peer_is_accepting(struct wmbt_peer *peer);

/*
 * A connection that stands, for this thread alone; NULL with a failure, `wmbt_lost` when trying again is right.
 */
struct wmbt_connection *wmbt_peer_acquire(struct wmbt_peer *peer, enum wmbt_use use, int64_t deadline_ms,
                                          struct wmbt_failure *failure);

/* The connection is good for other calls. */
void wmbt_peer_release(struct wmbt_peer *peer, struct wmbt_connection *connection);

/*
 * A place among the few calls whose answers nobody waits for; false when there is none. It is given up, or goes with
 * the connection that is left owing the answer.
 */
bool wmbt_peer_begin_owing(struct wmbt_peer *peer);
void wmbt_peer_give_up_owing(struct wmbt_peer *peer);

/* The connection is of use again when the answer to this call has come, and over when it has not by then. */
void wmbt_peer_leave_owing(struct wmbt_peer *peer, struct wmbt_connection *connection, uint32_t id, int64_t until_ms);

/* The connection is over. With `is_silent` the daemon did not answer in time, and idle ones are not believed. */
void wmbt_peer_discard(struct wmbt_peer *peer, struct wmbt_connection *connection, bool is_silent);

#endif
