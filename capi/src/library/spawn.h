/* Starts the program of a store process. */
#ifndef WMBT_SPAWN_H
#define WMBT_SPAWN_H

#include <sys/types.h>

#include "descriptor.h"
#include "program.h"

/* Under this number the process finds its end of the socket to its owner (src/cli/private-command.ts). */
enum { wmbt_owner_descriptor = 3 };

/*
 * Starts it in a session of its own, so that Ctrl-C is the engine's alone, with no descriptor, signal or directory
 * of the engine's. `control` becomes this end of a socket that ends when either process does. 0, or the system's
 * error. Takes a fraction of a millisecond, however large the engine is.
 */
int wmbt_spawn(const struct wmbt_program *program, struct wmbt_descriptor *control, pid_t *pid);

#endif
