/*
 * What a child process that was forked does with the handles of its parent: it must not speak on the parent's
 * connections, and must not find a lock held by a thread that it does not have.
 */
#ifndef WMBT_FORK_H
#define WMBT_FORK_H

#include "peer.h"

/* From now on, until it is removed, a child finds the peer without connections and with its lock free. */
void wmbt_fork_add(struct wmbt_peer *peer);
void wmbt_fork_remove(struct wmbt_peer *peer);

#endif
