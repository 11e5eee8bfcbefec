/*
 * Saves that are left in a ring of the daemon's shared memory, where they are accepted without a call: small ones with
 * their payloads, others as references to memory that the daemon lends ahead of need (docs/decisions/0105).
 */
#ifndef WMBT_SHARED_RING_H
#define WMBT_SHARED_RING_H

#include <pthread.h>

#include "../shared/commit-ring.h"
#include "../shared/ring-entry.h"
#include "shared-access.h"

/* The ring of a handle, if it has one. */
struct wmbt_ring_user {
  /* Guards everything below; held while an entry is written. */
  pthread_mutex_t lock;
  /* In a process that was forked since, all of this is the parent's. */
  unsigned generation;
  bool has_ring, is_asking;
  struct wmbt_ring ring;
  /* How many rings there were, by which a thread that fills memory sees whether this is still the one. */
  uint64_t ring_count;
  /* A thread fills memory that is lent in the ring: the next loans are its. */
  bool is_filling;
  /* When the daemon was asked for one last. */
  int64_t asked_ms;
  /* Of the memory that the ring is in. */
  char directory[wmbt_directory_max];
};

void wmbt_ring_user_init(struct wmbt_ring_user *user);

/* No call is under way. */
void wmbt_ring_user_close(struct wmbt_ring_user *user);

/* What a save is left with: `below` speaks to the daemon whose memory the reader reads and the access fills. */
struct wmbt_ring_way {
  struct wmbt_mode *below;
  const struct wmbt_reader *reader;
  struct wmbt_access *access;
};

/*
 * Leaves the blocks in the ring; true when they are accepted. False when they are to be sent: they are too many for it,
 * it is full, nothing suitable is lent, or there is none. Asks the daemon for a ring when there is none, at most once
 * in WMBT_SHARED_AGAIN_MS.
 */
bool wmbt_ring_save(struct wmbt_ring_user *user, const struct wmbt_ring_way *way,
                    const struct wmbt_ring_blocks *blocks);

#endif
