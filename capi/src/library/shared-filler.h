/* Fills memory that a daemon on this host lends for the payloads of a save (docs/decisions/0087). */
#ifndef WMBT_SHARED_FILLER_H
#define WMBT_SHARED_FILLER_H

#include "../shared/shared-lent.h"
#include "failure.h"

struct wmbt_access;

/* One hazard, for one attempt of a save by one thread. */
struct wmbt_filler;

/* NULL: nothing can be filled now, and payloads go over the socket. */
struct wmbt_filler *wmbt_filler_begin(struct wmbt_access *access);

enum wmbt_filling { wmbt_filling_done, wmbt_filling_over, wmbt_filling_failed };

/*
 * Copies the payload to the place and gives its CRC32C; `wmbt_filling_over` when the place is lent no more, and nothing
 * was written. With a failure, which is `wmbt_lost`, the memory cannot be had.
 */
enum wmbt_filling wmbt_filler_fill(struct wmbt_filler *filler, const struct wmbt_lent *lent, const uint8_t *payload,
                                      size_t length, uint32_t *crc, struct wmbt_failure *failure);

/* Frees it; NULL is ignored. */
void wmbt_filler_end(struct wmbt_filler *filler);

#endif
