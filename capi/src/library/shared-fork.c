#include "shared-fork.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "random.h"
#include "shared-files.h"
#include "shared-view.h"

/* Guards everything below, and what is said of it in a reader. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct wmbt_reader *readers;
static unsigned generation;

static void watch_forks(void);

/* Forks are watched before the lock is first held: a child that was forked while it was would wait for ever. */
void wmbt_readers_lock(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, watch_forks);
  (void)pthread_mutex_lock(&lock);
}

void wmbt_readers_unlock(void) { (void)pthread_mutex_unlock(&lock); }
unsigned wmbt_readers_generation(void) { return generation; }

/*
 * Takes a free place from the given one on among the clients of a store: none, or the open file by which it is locked.
 * That is no file that is mapped, which would keep the lock for as long.
 */
static struct wmbt_descriptor take_slot(const char *directory, uint32_t *slot) {
  static const struct wmbt_descriptor none = {.fd = -1};
  size_t length;
  const int fd = wmbt_shared_file(directory, "clients", O_RDWR, &length);
  if (fd < 0) return none;
  for (; length >= wmbt_clients_bytes_min && *slot < wmbt_client_slots; *slot += 1) {
    if (wmbt_shared_lock(fd, *slot * sizeof(struct wmbt_client), sizeof(struct wmbt_client))) {
      return wmbt_descriptor_of(fd);
    }
  }
  (void)close(fd);
  return none;
}

/* Makes the place one that nobody else can take for its own; false when the system has no random numbers. */
static bool mark_place(struct wmbt_client *client, uint64_t *owner) {
  struct wmbt_failure ignored;
  if (!wmbt_random_bytes((uint8_t *)owner, sizeof *owner, &ignored)) return false;
  *owner |= 1;
  wmbt_client_clear(client);
  atomic_store(&client->owner, *owner);
  return true;
}

/*
 * Pins for the child what the parent has pinned, as long as that is pinned: no memory is without a pin for a moment.
 * Without a place for it the pins of now are those of both, for good.
 */
static void prepare_child(struct wmbt_reader *reader) {
  if (reader->borrows == 0 || reader->is_frozen) return;
  if (wmbt_index_standing(&reader->view->index) == wmbt_index_has_ended) {
    /* Nothing of a store that has ended is used again: its memory needs no pins. */
    reader->child_slot = reader->slot;
    reader->child_owner = reader->owner;
    return;
  }
  /*
   * Behind its own: the store looks at places in their order, and what it does not find pinned here, because it was
   * released in the meantime, it finds there.
   */
  reader->child_slot = reader->slot + 1;
  if (wmbt_reader_has_place(reader)) reader->child_lock = take_slot(reader->directory, &reader->child_slot);
  struct wmbt_client *other = &reader->clients[reader->child_slot % wmbt_client_slots];
  if (reader->child_lock.fd < 0 || !mark_place(other, &reader->child_owner)) {
    wmbt_descriptor_close(&reader->child_lock);
    reader->is_frozen = true;
    atomic_store(&reader->is_broken, true);
    return;
  }
  const struct wmbt_client *own = &reader->clients[reader->slot];
  atomic_store(&other->oldest_index, atomic_load(&own->oldest_index));
  atomic_store(&other->hazards_end, wmbt_client_hazards);
  atomic_store(&other->is_active, 1);
  for (unsigned i = 0; i < wmbt_client_hazards; i += 1) {
    /* What another thread fills is not the child's, which would never give it up. */
    if (!reader->is_filling[i]) atomic_store(&other->hazards[i], atomic_load(&own->hazards[i]));
  }
}

static void before_fork(void) {
  (void)pthread_mutex_lock(&lock);
  for (struct wmbt_reader *reader = readers; reader != NULL; reader = reader->next) prepare_child(reader);
}

static void after_fork_in_parent(void) {
  for (struct wmbt_reader *reader = readers; reader != NULL; reader = reader->next) {
    /* The child has it open, and so the lock, until it ends or runs another program. */
    wmbt_descriptor_close(&reader->child_lock);
  }
  (void)pthread_mutex_unlock(&lock);
}

/* What threads of the parent were about to do with it nobody does here; borrows are all that is left. */
static void inherit(struct wmbt_reader *reader) {
  atomic_store(&reader->is_broken, true);
  reader->uses = reader->borrows;
  for (struct wmbt_view *view = reader->view; view != NULL; view = view->older) view->calls = 0;
  if (reader->is_frozen) return;
  wmbt_descriptor_close(&reader->lock);
  reader->lock = reader->child_lock;
  reader->slot = reader->child_slot;
  reader->owner = reader->child_owner;
  reader->child_lock.fd = -1;
}

static void after_fork_in_child(void) {
  generation += 1;
  for (struct wmbt_reader *reader = readers; reader != NULL; reader = reader->next) inherit(reader);
  (void)pthread_mutex_unlock(&lock);
}

static void watch_forks(void) { (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child); }

static void remove_from_list(struct wmbt_reader *reader) {
  struct wmbt_reader **place = &readers;
  while (*place != reader) place = &(*place)->next;
  *place = reader->next;
}

/* Frees what a parent left that lent nothing. The lock is held. */
static void sweep(void) {
  for (struct wmbt_reader *one = readers, *next; one != NULL; one = next) {
    next = one->next;
    if (one->uses > 0 || one->is_frozen) continue;
    remove_from_list(one);
    wmbt_reader_free(one);
  }
}

bool wmbt_readers_join(struct wmbt_reader *reader) {
  /* A child that is forked meanwhile would keep the place. */
  wmbt_readers_lock();
  sweep();
  reader->slot = 0;
  reader->lock = take_slot(reader->directory, &reader->slot);
  struct wmbt_client *client = &reader->clients[reader->slot % wmbt_client_slots];
  const bool has_joined = reader->lock.fd >= 0 && mark_place(client, &reader->owner);
  if (!has_joined) {
    wmbt_descriptor_close(&reader->lock);
  } else {
    atomic_store(&client->is_active, 1);
    wmbt_views_show(reader);
    reader->next = readers;
    readers = reader;
  }
  (void)pthread_mutex_unlock(&lock);
  return has_joined;
}

void wmbt_readers_part(struct wmbt_reader *reader) {
  remove_from_list(reader);
  /*
   * When the engine has closed the lock the place may be another's, and the number of the descriptor that of the lock
   * of another reader, which is of the same file.
   */
  if (!wmbt_reader_has_place(reader)) reader->lock.fd = -1;
  if (wmbt_descriptor_is_ours(&reader->lock)) wmbt_client_clear(&reader->clients[reader->slot]);
  wmbt_descriptor_close(&reader->lock);
}
