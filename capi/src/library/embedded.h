/*
 * The mode without a daemon: a store process that the library starts and owns, reached as a daemon is. A call that
 * fails because the process has ended starts another and is made once more.
 */
#ifndef WMBT_EMBEDDED_H
#define WMBT_EMBEDDED_H

#include "mode.h"
#include "settings.h"

/*
 * Starts the store process, or shares that of other handles. With the address of a daemon, `tls://host:port`, it is the
 * client of that one, and has no store; else the address is empty. NULL with a failure.
 */
struct wmbt_mode *wmbt_embedded_open(const struct wmbt_settings *settings, const char *remote,
                                     struct wmbt_failure *failure);

#endif
