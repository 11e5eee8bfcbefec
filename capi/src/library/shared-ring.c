#include "shared-ring.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "remote-use.h"
#include "shared-files.h"
#include "shared-fork.h"

void wmbt_ring_user_init(struct wmbt_ring_user *user) {
  *user = (struct wmbt_ring_user){.asked_ms = INT64_MIN / 2};
  (void)pthread_mutex_init(&user->lock, NULL);
  wmbt_readers_lock();
  user->generation = wmbt_readers_generation();
  wmbt_readers_unlock();
}

/* The lock is held. */
static void drop(struct wmbt_ring_user *user) {
  if (user->has_ring) (void)munmap(user->ring.header, user->ring.bytes);
  user->has_ring = false;
}

void wmbt_ring_user_close(struct wmbt_ring_user *user) {
  drop(user);
  (void)pthread_mutex_destroy(&user->lock);
}

/* Takes the lock. In a forked child nothing of it is its own, and another thread may have had the lock as it forked. */
static void lock(struct wmbt_ring_user *user) {
  wmbt_readers_lock();
  if (user->generation != wmbt_readers_generation()) {
    user->generation = wmbt_readers_generation();
    (void)pthread_mutex_init(&user->lock, NULL);
    drop(user);
    user->is_asking = false;
    user->asked_ms = INT64_MIN / 2;
  }
  wmbt_readers_unlock();
  (void)pthread_mutex_lock(&user->lock);
}

static void unlock(struct wmbt_ring_user *user) { (void)pthread_mutex_unlock(&user->lock); }

/* The ring of the number that the daemon named, mapped. False when its file is not as it should be. */
static bool map(struct wmbt_ring *ring, const char *directory, uint32_t number, uint32_t bytes) {
  char name[24];
  (void)snprintf(name, sizeof name, "ring-%u", (unsigned)number);
  size_t length;
  const int fd = wmbt_shared_file(directory, name, O_RDWR, &length);
  /* A mapping beyond the end of its file would end the process that writes there. */
  void *memory = fd >= 0 && length == bytes ? wmbt_shared_map(fd, length, true) : NULL;
  if (fd >= 0) (void)close(fd);
  if (memory == NULL) return false;
  if (wmbt_ring_use(ring, memory, length)) return true;
  (void)munmap(memory, length);
  return false;
}

/* Asks the daemon for a ring, without the lock, which is held before and after. */
static void ask(struct wmbt_ring_user *user, struct wmbt_mode *below, const char *directory) {
  user->is_asking = true;
  unlock(user);
  uint32_t number = 0, bytes = 0;
  struct wmbt_ring ring;
  const bool is_given = wmbt_remote_open_ring(below, &number, &bytes) && number != 0 && map(&ring, directory, number, bytes);
  lock(user);
  user->is_asking = false;
  user->asked_ms = wmbt_now_ms();
  if (!is_given) return;
  user->ring = ring;
  user->has_ring = true;
  (void)memcpy(user->directory, directory, sizeof user->directory);
}

/* Whether there is a ring of that memory in which something may be left. The lock is held. */
static bool have_ring(struct wmbt_ring_user *user, struct wmbt_mode *below, const char *directory) {
  if (user->has_ring && (wmbt_ring_is_closed(&user->ring) || strcmp(user->directory, directory) != 0)) drop(user);
  const bool may_ask =
      !user->has_ring && !user->is_asking && wmbt_now_ms() - user->asked_ms >= WMBT_SHARED_AGAIN_MS;
  if (may_ask) ask(user, below, directory);
  return user->has_ring && wmbt_ring_is_open(&user->ring);
}

bool wmbt_ring_save(struct wmbt_ring_user *user, struct wmbt_mode *below, const struct wmbt_reader *reader,
                    const struct wmbt_ring_blocks *blocks) {
  struct wmbt_ring_layout layout;
  if (!wmbt_ring_lay_out(blocks, &layout)) return false;
  bool is_left = false, is_news = false;
  lock(user);
  uint32_t position;
  uint8_t *entry = NULL;
  if (have_ring(user, below, reader->directory)) entry = wmbt_ring_place(&user->ring, layout.bytes, &position);
  if (entry != NULL) {
    wmbt_ring_put_entry(entry, &layout, position, user->ring.seed, blocks);
    is_left = wmbt_ring_publish(&user->ring, position, layout.bytes, &is_news);
  }
  unlock(user);
  if (is_news && !wmbt_remote_ring_news(below)) {
    lock(user);
    if (user->has_ring) wmbt_ring_untold(&user->ring);
    unlock(user);
  }
  return is_left;
}
