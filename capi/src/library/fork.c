#include "fork.h"

#include "clock.h"

/* Guards the list of all peers. Taken before the lock of a peer. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct wmbt_peer *peers;

/* Locks are held for moments only, so this is not a wait for any call. */
static void before_fork(void) {
  (void)pthread_mutex_lock(&list_lock);
  for (struct wmbt_peer *peer = peers; peer != NULL; peer = peer->next) (void)pthread_mutex_lock(&peer->lock);
}

static void after_fork_in_parent(void) {
  for (struct wmbt_peer *peer = peers; peer != NULL; peer = peer->next) (void)pthread_mutex_unlock(&peer->lock);
  (void)pthread_mutex_unlock(&list_lock);
}

/*
 * Closes the child's copies of the parent's sockets. Their memory is kept until the peer is freed: here, between two
 * processes, none is freed.
 */
static void abandon(struct wmbt_peer *peer) {
  while (peer->connections != NULL) {
    struct wmbt_connection *one = peer->connections;
    peer->connections = one->next;
    wmbt_descriptor_close(&one->made);
    one->fd = -1;
    one->next = peer->abandoned;
    peer->abandoned = one;
  }
  peer->pending = NULL;
  peer->count = peer->bulk_count = peer->owing_count = 0;
  peer->is_attempting = false;
  peer->failures = 0;
  peer->is_silent = false;
  /* Connections of one client share limits, and those of two processes should not. */
  peer->needs_client_id = true;
}

static void after_fork_in_child(void) {
  for (struct wmbt_peer *peer = peers; peer != NULL; peer = peer->next) {
    abandon(peer);
    /* Its waiters are not in this process. */
    wmbt_condition_init(&peer->changed);
    (void)pthread_mutex_unlock(&peer->lock);
  }
  (void)pthread_mutex_unlock(&list_lock);
}

static void watch_forks(void) { (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child); }

void wmbt_fork_add(struct wmbt_peer *peer) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, watch_forks);
  (void)pthread_mutex_lock(&list_lock);
  peer->next = peers;
  peers = peer;
  (void)pthread_mutex_unlock(&list_lock);
}

void wmbt_fork_remove(struct wmbt_peer *peer) {
  (void)pthread_mutex_lock(&list_lock);
  struct wmbt_peer **place = &peers;
  while (*place != peer) place = &(*place)->next;
  *place = peer->next;
  (void)pthread_mutex_unlock(&list_lock);
}
