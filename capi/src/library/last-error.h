/* What the last call on this thread failed for, and what it missed. */
#ifndef WMBT_LAST_ERROR_H
#define WMBT_LAST_ERROR_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "mode.h"

/* At the entry of every function that opens a handle or takes one: neither error nor miss. */
void wmbt_last_error_clear(void);

/* Also copies what fits of the text, with a NUL, to the caller's buffer when it gave one. */
void wmbt_last_error_set(const struct wmbt_failure *failure, char *err_buf, size_t err_len);

/* NULL when there is none. Valid until the next change on this thread. */
const char *wmbt_last_error_text(void);

/* The place of its code in docs/ERRORS.md, from 1; 0: no error. */
int32_t wmbt_last_error_number(void);

void wmbt_last_miss_set(enum wmbt_miss miss);
enum wmbt_miss wmbt_last_miss(void);

#endif
