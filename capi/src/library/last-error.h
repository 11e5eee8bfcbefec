/* The text of the last failure on this thread. */
#ifndef WMBT_LAST_ERROR_H
#define WMBT_LAST_ERROR_H

#include <stddef.h>

#include "failure.h"

/* At entry of every call that can fail. */
void wmbt_last_error_clear(void);

/* Keeps the text for this thread, and writes what fits of it to `err_buf` when there is one. */
void wmbt_last_error_set(const char *text, char *err_buf, size_t err_len);

/* The text, or NULL. Valid until one of the functions above is called on this thread. */
const char *wmbt_last_error_text(void);

#endif
