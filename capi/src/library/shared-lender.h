/* Lends payloads that lie in memory of a daemon on this host, for those who know nothing of that memory. */
#ifndef WMBT_SHARED_LENDER_H
#define WMBT_SHARED_LENDER_H

#include "borrow.h"
#include "mode.h"

struct wmbt_access;

/* As wmbt_reader_lend(), by what the access finds now; nothing when that is nothing. */
void wmbt_access_lend(struct wmbt_access *access, const struct wmbt_keys *keys, struct wmbt_borrow *borrow);

#endif
