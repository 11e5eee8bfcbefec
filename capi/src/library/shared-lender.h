/* Lends payloads that lie in memory of a daemon on this host, for those who know nothing of that memory. */
#ifndef WMBT_SHARED_LENDER_H
#define WMBT_SHARED_LENDER_H

#include "borrow.h"
#include "mode.h"

struct wmbt_access;

/* As wmbt_reader_lend(), by what the access finds now; nothing when that is nothing. */
void wmbt_access_lend(struct wmbt_access *access, const struct wmbt_keys *keys, struct wmbt_borrow *borrow);

/*
 * Lends the borrow, which is empty, the tail of the tip and of exactly so many of the terms' tokens; where the terms
 * have none, the raw tail of the tip. False when it is not lent.
 */
bool wmbt_access_lend_tail(struct wmbt_access *access, const struct wmbt_keys *tip, size_t token_count,
                           struct wmbt_borrow *borrow);

/* Whether the tail of the tip and of all of the terms' tokens lies there: then it is accepted. It is of use by that. */
bool wmbt_access_has_tail(struct wmbt_access *access, const struct wmbt_keys *tip);

#endif
