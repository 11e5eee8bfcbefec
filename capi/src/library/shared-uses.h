/*
 * What this process used of the memory of a store on its host: a byte for each extent, in a file that all clients write
 * to and the store reads when it looks for something to evict (docs/decisions/0067). No call to the system but for the
 * first use in a segment.
 */
#ifndef WMBT_SHARED_USES_H
#define WMBT_SHARED_USES_H

#include "shared-reader.h"

/* What lies at the location of an entry is of use. */
void wmbt_uses_note(struct wmbt_reader *reader, uint64_t location);

/* Unmaps the files. */
void wmbt_uses_unmap(struct wmbt_reader *reader);

#endif
