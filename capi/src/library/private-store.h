/*
 * The store processes that this process owns, one for each configuration: handles of the same configuration share
 * one. Nothing watches it. A call that fails asks whether it is still there, and starts another one when it is not.
 */
#ifndef WMBT_PRIVATE_STORE_H
#define WMBT_PRIVATE_STORE_H

#include <stdint.h>

#include "failure.h"
#include "settings.h"

struct wmbt_private_store;

/* Where it is reached. The number is another one for each process that was started; 0: none. */
struct wmbt_private_place {
  uint64_t generation;
  char socket[wmbt_path_max];
};

/*
 * The store that the environment describes, or with the address of a daemon elsewhere a process that is its client, for
 * one more handle. Nothing is started yet. NULL, naming what was looked
 * for, when the program is not found.
 */
struct wmbt_private_store *wmbt_private_store_open(const char *remote, struct wmbt_failure *failure);

/* For one handle less. Without any the process is left to itself: it uploads for a while, and ends. */
void wmbt_private_store_close(struct wmbt_private_store *store);

/*
 * Whether the process is that of the place, and this one still has its end of the socket to it: an engine that closes
 * all descriptors has closed the locks of shared memory too.
 */
bool wmbt_private_store_is_current(struct wmbt_private_store *store, uint64_t generation);

/*
 * Where it is. It is started when there is none, and when the one of `failed` has ended; that takes up to the
 * deadline, and a start that takes longer is gone on with by the next call. After one that ended soon calls fail at
 * once for a while.
 */
bool wmbt_private_store_reach(struct wmbt_private_store *store, uint64_t failed, int64_t deadline_ms,
                              struct wmbt_private_place *place, struct wmbt_failure *failure);

#endif
