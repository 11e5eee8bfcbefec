#include "shared-ring.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "remote-use.h"
#include "shared-filler.h"
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
    user->is_filling = false;
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
  const bool is_given =
      wmbt_remote_open_ring(below, &number, &bytes) && number != 0 && map(&ring, directory, number, bytes);
  lock(user);
  user->is_asking = false;
  user->asked_ms = wmbt_now_ms();
  if (!is_given) return;
  user->ring = ring;
  user->has_ring = true;
  user->ring_count += 1;
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

/* Tells the daemon of news, without the lock. */
static void tell(struct wmbt_ring_user *user, struct wmbt_mode *below) {
  if (wmbt_remote_ring_news(below)) return;
  lock(user);
  if (user->has_ring) wmbt_ring_untold(&user->ring);
  unlock(user);
}

/* Leaves the entry in the ring there is, if it has room; the lock is held. */
static bool leave_locked(struct wmbt_ring_user *user, const struct wmbt_ring_blocks *blocks,
                         const struct wmbt_ring_layout *layout, bool *is_news) {
  uint32_t position;
  uint8_t *entry = wmbt_ring_place(&user->ring, layout->bytes, &position);
  if (entry == NULL) return false;
  wmbt_ring_put_entry(entry, layout, position, user->ring.seed, blocks);
  return wmbt_ring_publish(&user->ring, position, layout->bytes, is_news);
}

static bool save_small(struct wmbt_ring_user *user, const struct wmbt_ring_way *way,
                       const struct wmbt_ring_blocks *blocks, const struct wmbt_ring_layout *layout) {
  bool is_news = false;
  lock(user);
  const bool is_left =
      have_ring(user, way->below, way->reader->directory) && leave_locked(user, blocks, layout, &is_news);
  unlock(user);
  if (is_news) tell(user, way->below);
  return is_left;
}

/* A save whose payloads go to memory that is lent in the ring. */
struct lent_save {
  uint64_t ring_number;
  struct wmbt_lent loans[wmbt_ring_loans_max];
  uint32_t crcs[wmbt_ring_loans_max];
};

/* Whether the payloads, of which an entry does not hold all, can be of one kind of loan. */
static bool may_be_lent(const struct wmbt_ring_blocks *blocks) {
  const size_t count = blocks->count;
  if (count > wmbt_ring_loans_max) return false;
  for (size_t i = 1; i < count; i += 1) {
    if (blocks->lens[i] != blocks->lens[0]) return false;
  }
  return true;
}

/* Takes the next loans for the save, which nobody else uses until it has ended. */
static bool begin_lent(struct wmbt_ring_user *user, const struct wmbt_ring_way *way,
                       const struct wmbt_ring_blocks *blocks, struct lent_save *save) {
  bool is_news = false, has_loans = false;
  const size_t count = blocks->count;
  lock(user);
  if (have_ring(user, way->below, way->reader->directory) && !user->is_filling) {
    has_loans = wmbt_ring_next_loans(&user->ring, count, blocks->lens[0], save->loans);
    if (!has_loans) wmbt_ring_want(&user->ring, count, blocks->lens[0], &is_news);
    user->is_filling = has_loans;
    save->ring_number = user->ring_count;
  }
  unlock(user);
  if (is_news) tell(user, way->below);
  return has_loans;
}

static bool fill_lent(struct wmbt_access *access, const struct wmbt_ring_blocks *blocks, struct lent_save *save) {
  struct wmbt_filler *filler = wmbt_filler_begin(access);
  bool is_filled = filler != NULL;
  /* Without it the save is sent, and says what is wrong. */
  struct wmbt_failure ignored;
  for (size_t i = 0; is_filled && i < blocks->count; i += 1) {
    is_filled = wmbt_filler_fill(filler, &save->loans[i], blocks->payloads[i], blocks->lens[i], &save->crcs[i],
                                 &ignored) == wmbt_filling_done;
  }
  wmbt_filler_end(filler);
  return is_filled;
}

/* Loans of a save that was not left stay the next ones, unless the ring was closed: then nobody uses them any more. */
static bool end_lent(struct wmbt_ring_user *user, struct wmbt_mode *below, const struct wmbt_ring_blocks *blocks,
                     const struct lent_save *save, bool is_filled) {
  struct wmbt_ring_layout layout;
  bool is_left = false, is_news = false;
  lock(user);
  const bool is_same = user->has_ring && user->ring_count == save->ring_number;
  if (is_filled && is_same && wmbt_ring_lay_out(blocks, &layout)) {
    is_left = leave_locked(user, blocks, &layout, &is_news);
    if (is_left) wmbt_ring_use_loans(&user->ring, blocks->count);
  }
  user->is_filling = false;
  unlock(user);
  if (is_news) tell(user, below);
  return is_left;
}

static bool save_lent(struct wmbt_ring_user *user, const struct wmbt_ring_way *way,
                      const struct wmbt_ring_blocks *blocks) {
  struct lent_save save;
  if (!may_be_lent(blocks) || !begin_lent(user, way, blocks, &save)) return false;
  const bool is_filled = fill_lent(way->access, blocks, &save);
  struct wmbt_ring_blocks lent = *blocks;
  lent.loans = save.loans;
  lent.crcs = save.crcs;
  return end_lent(user, way->below, &lent, &save, is_filled);
}

bool wmbt_ring_save(struct wmbt_ring_user *user, const struct wmbt_ring_way *way,
                    const struct wmbt_ring_blocks *blocks) {
  struct wmbt_ring_layout layout;
  if (wmbt_ring_lay_out(blocks, &layout)) return save_small(user, way, blocks, &layout);
  return save_lent(user, way, blocks);
}
