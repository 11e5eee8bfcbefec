/* Finds the shared memory of the daemon behind a socket, and finds it anew when the daemon is another. */
#ifndef WMBT_SHARED_ACCESS_H
#define WMBT_SHARED_ACCESS_H

#include "shared-reader.h"

/* All of it is guarded by the lock of the readers. */
struct wmbt_access {
  /* The file beside the socket that names the directory of the memory. */
  char announcement[wmbt_directory_max];
  /* NULL: none is known. */
  struct wmbt_reader *current;
  bool is_looking;
  /* When it was looked for last. */
  int64_t looked_ms;
  /* In a process that was forked since, all of this is the parent's. */
  unsigned generation;
};

/* At a socket whose path is too long there is no memory. */
void wmbt_access_init(struct wmbt_access *access, const char *socket_path);

/* The daemon has another socket now, unless it is that one already. */
void wmbt_access_move(struct wmbt_access *access, const char *socket_path);

/*
 * What reads the memory now, for this caller until it leaves it; NULL while there is nothing to read. Looks for it
 * when it is not known, which takes system calls, at most once in WMBT_SHARED_AGAIN_MS and for one thread at a time.
 */
struct wmbt_view *wmbt_access_use(struct wmbt_access *access);

/* Nobody uses it any more; borrows stay as they are. */
void wmbt_access_close(struct wmbt_access *access);

#endif
