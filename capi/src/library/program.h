/* The program of a store process: where it is, and the environment that it is started with. */
#ifndef WMBT_PROGRAM_H
#define WMBT_PROGRAM_H

#include "failure.h"
#include "settings.h"

/* `tls://host:port`. */
enum { wmbt_remote_max = wmbt_host_max + 32 };

struct wmbt_program {
  /* Absolute paths of Node and of what it runs. */
  char node[wmbt_path_max], store[wmbt_path_max];
  /* The daemon that it is to be the client of; empty: it has a store of its own. */
  char remote[wmbt_remote_max];
  /* As the environment was when the handle was opened; ends with NULL. One piece of memory. */
  char **environment;
};

/*
 * Finds both, and copies the environment but for what would change Node: NODE_OPTIONS, LD_PRELOAD, LD_AUDIT, and
 * NODE_EXTRA_CA_CERTS, whose path becomes that of WMBT_KV_S3_CA_FILE where there is none. False, naming what was
 * looked for, when one is not found.
 */
bool wmbt_program_find(struct wmbt_program *program, const char *remote, struct wmbt_failure *failure);

void wmbt_program_free(struct wmbt_program *program);

/* Whether both would be the same store: variables that only clients read may differ, and those of others. */
bool wmbt_program_is_same(const struct wmbt_program *one, const struct wmbt_program *other);

#endif
