/*
 * The mode without a daemon: a store process that the library starts and owns, reached as a daemon is. A call that
 * fails because the process has ended starts another and is made once more.
 */
#ifndef WMBT_EMBEDDED_H
#define WMBT_EMBEDDED_H

#include "mode.h"
#include "settings.h"

/* Starts the store process, or shares that of other handles. NULL with a failure. */
struct wmbt_mode *wmbt_embedded_open(const struct wmbt_settings *settings, struct wmbt_failure *failure);

#endif
