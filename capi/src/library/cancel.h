/*
 * The end of a call by its caller. The library has no thread of its own, so a call is its thread: what may end it is
 * kept for the thread, and every wait looks at it.
 */
#ifndef WMBT_CANCEL_H
#define WMBT_CANCEL_H

#include <stdbool.h>

#include "failure.h"

struct wmbt_cancel;

/* NULL without memory. */
struct wmbt_cancel *wmbt_cancel_new(void);
void wmbt_cancel_set(struct wmbt_cancel *cancel);
void wmbt_cancel_free(struct wmbt_cancel *cancel);

/* From now on this ends what the thread does; NULL: nothing does. */
void wmbt_cancel_watch(const struct wmbt_cancel *cancel);

/* True when the thread's call is to end. */
bool wmbt_cancel_is_set(void);

/* Fails with `wmbt_cancelled`. */
bool wmbt_cancel_fail(struct wmbt_failure *failure);

/*
 * How long a wait of so many milliseconds may be at once: all of it where nothing can end it, and no longer than
 * WMBT_CANCEL_LOOK_MS where something can. No descriptor is needed for it, which an engine could close, or a fork copy.
 */
int wmbt_cancel_wait_ms(int left_ms);

#endif
