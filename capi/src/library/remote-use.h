/* What the mode of shared memory needs of the mode below, which is that of frames, beside its calls. */
#ifndef WMBT_REMOTE_USE_H
#define WMBT_REMOTE_USE_H

#include "mode.h"

/* Whether a save with these terms is done when its blocks are accepted, as far as is known of the daemon. */
bool wmbt_remote_is_for_acceptance(const struct wmbt_mode *remote, const struct wmbt_terms *terms);

/* Begins to tell the daemon that the blocks are used, and waits for nothing: asking for them counts as a use. */
void wmbt_remote_note_use(struct wmbt_mode *remote, const struct wmbt_keys *keys);

#endif
