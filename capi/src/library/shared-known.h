/* What a store on this host knows in the bucket, read where it lies: without a call to the system. */
#ifndef WMBT_SHARED_KNOWN_H
#define WMBT_SHARED_KNOWN_H

#include "shared-reader.h"

/* Maps what the reader's store tells, if it does. */
void wmbt_known_begin(struct wmbt_reader *reader);

/* Unmaps it. */
void wmbt_known_end(struct wmbt_reader *reader);

/*
 * True when the store would say by what it knows that all keys are stored, in its memory or in the bucket: then nobody
 * has to ask it.
 */
bool wmbt_reader_has_stored(const struct wmbt_view *view, const struct wmbt_keys *keys);

#endif
