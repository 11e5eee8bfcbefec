#include "shared-access.h"

#include <stdio.h>

#include "bounds.h"
#include "clock.h"
#include "shared-files.h"
#include "shared-fork.h"

bool wmbt_access_init(struct wmbt_access *access, const char *socket_path) {
  *access = (struct wmbt_access){.looked_ms = INT64_MIN / 2};
  const int written = snprintf(access->announcement, sizeof access->announcement, "%s.shm", socket_path);
  wmbt_readers_lock();
  access->generation = wmbt_readers_generation();
  wmbt_readers_unlock();
  return written >= 0 && (size_t)written < sizeof access->announcement;
}

/* Forgets what the parent of this process knew. The lock is held. */
static void follow_fork(struct wmbt_access *access) {
  if (access->generation == wmbt_readers_generation()) return;
  access->generation = wmbt_readers_generation();
  access->current = NULL;
  access->is_looking = false;
  access->looked_ms = INT64_MIN / 2;
}

static struct wmbt_reader *look(const struct wmbt_access *access) {
  char directory[wmbt_directory_max];
  if (!wmbt_shared_announced(access->announcement, directory, sizeof directory)) return NULL;
  return wmbt_reader_open(directory);
}

/* Looks for it; the caller has set `is_looking`. */
static struct wmbt_reader *find_anew(struct wmbt_access *access) {
  struct wmbt_reader *found = look(access);
  wmbt_readers_lock();
  access->is_looking = false;
  access->looked_ms = wmbt_now_ms();
  access->current = found;
  if (found != NULL) found->uses += 1;
  wmbt_readers_unlock();
  return found;
}

struct wmbt_reader *wmbt_access_use(struct wmbt_access *access) {
  wmbt_readers_lock();
  follow_fork(access);
  struct wmbt_reader *reader = access->current, *dropped = NULL;
  if (reader != NULL && !wmbt_reader_is_open(reader)) {
    dropped = reader;
    reader = access->current = NULL;
  }
  if (reader != NULL) reader->uses += 1;
  const bool may_look =
      reader == NULL && !access->is_looking && wmbt_now_ms() - access->looked_ms >= WMBT_SHARED_AGAIN_MS;
  if (may_look) access->is_looking = true;
  wmbt_readers_unlock();
  if (dropped != NULL) wmbt_reader_leave(dropped);
  return may_look ? find_anew(access) : reader;
}

void wmbt_access_close(struct wmbt_access *access) {
  wmbt_readers_lock();
  follow_fork(access);
  struct wmbt_reader *reader = access->current;
  access->current = NULL;
  wmbt_readers_unlock();
  if (reader != NULL) wmbt_reader_leave(reader);
}
