/*
 * The lock and the list of all readers of this process, and what a forked child makes of them: borrows that it has
 * from its parent are pinned for itself, by a place of its own among the clients of the store; for everything else it
 * opens readers anew.
 */
#ifndef WMBT_SHARED_FORK_H
#define WMBT_SHARED_FORK_H

#include "shared-reader.h"

/* Held for moments, never across a wait or a look at payloads. */
void wmbt_readers_lock(void);
void wmbt_readers_unlock(void);

/* Changes in a child that was forked: what was known before is its parent's. The lock is held. */
unsigned wmbt_readers_generation(void);

/* Takes a place among the clients of the reader's store; false when there is none. The lock is not held. */
bool wmbt_readers_join(struct wmbt_reader *reader);

/* Gives the place up, with all that is pinned. The lock is held. */
void wmbt_readers_part(struct wmbt_reader *reader);

#endif
