/* What the mode of shared memory needs of the mode below, which is that of frames, beside its calls. */
#ifndef WMBT_REMOTE_USE_H
#define WMBT_REMOTE_USE_H

#include "mode.h"

struct wmbt_access;

/* Whether a save with these terms is done when its blocks are accepted, as far as is known of the daemon. */
bool wmbt_remote_is_for_acceptance(const struct wmbt_mode *remote, const struct wmbt_terms *terms);

/* Begins to tell the daemon that the blocks are used, and waits for nothing: asking for them counts as a use. */
void wmbt_remote_note_use(struct wmbt_mode *remote, const struct wmbt_keys *keys);

/* From now on saves fill memory that the daemon lends, which is found there. It lasts until the mode is closed. */
void wmbt_remote_fill_by(struct wmbt_mode *remote, struct wmbt_access *access);

/*
 * Asks the daemon for a ring, which lasts as long as one of the connections: the number of its file, which is 0 when it
 * has none to give, and the file's bytes. False when it could not be asked.
 */
bool wmbt_remote_open_ring(struct wmbt_mode *remote, uint32_t *number, uint32_t *bytes);

/* Tells the daemon that something was left in a ring. False when it could not be told. */
bool wmbt_remote_ring_news(struct wmbt_mode *remote);

#endif
