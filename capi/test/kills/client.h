/* The processes that are killed, and those that look whether everything is there. */
#ifndef WMBT_KILLS_CLIENT_H
#define WMBT_KILLS_CLIENT_H

#include "board.h"

/* Opens a handle and acts as its role says until the process is killed. */
_Noreturn void client_run(struct board *board, struct slot *slot, enum role role, uint64_t seed);

/*
 * Loads the runs before `end` of which something was accepted that was never found behind a daemon's death, or all of
 * them, and looks at every byte of what was accepted. What is not there is noted as a fault. Ends the process.
 */
_Noreturn void verifier_run(struct board *board, uint32_t end, bool is_all);

#endif
