/*
 * The mode of a daemon on this host: leading blocks in its memory are found and lent where they lie, and everything
 * else goes to the mode below, which speaks to the same daemon.
 */
#ifndef WMBT_SHARED_MODE_H
#define WMBT_SHARED_MODE_H

#include "mode.h"

/*
 * Owns the mode below from now on, also when it fails. `socket_path` is that of the daemon's Unix socket, beside which
 * it says where its memory is. Without any, now or later, every call goes to the mode below. NULL with a failure.
 */
struct wmbt_mode *wmbt_shared_open(struct wmbt_mode *below, const char *socket_path, struct wmbt_failure *failure);

/* The daemon of a mode that was opened so has another socket now. Any thread. */
void wmbt_shared_move(struct wmbt_mode *mode, const char *socket_path);

#endif
