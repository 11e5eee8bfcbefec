#if defined(__linux__)
#define _GNU_SOURCE
#endif

#include "shared-life.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif
#include <unistd.h>

#include "shared-index.h"

struct wmbt_life {
  /* Mapped for this alone: the list of the thread's mutexes leads here as long as it is locked. */
  struct wmbt_index_header *header;
  bool is_shown;
};

#if defined(__linux__)

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(((struct wmbt_index_header *)0)->life), "there is room for a mutex");

/* Where in a mutex the word is that the system clears: the first one in glibc, the second one in musl. */
#if defined(__GLIBC__)
enum { word_of_mutex = 0 };
#else
enum { word_of_mutex = sizeof(uint32_t) };
#endif

static bool lock_mutex(pthread_mutex_t *mutex) {
  pthread_mutexattr_t attributes;
  if (pthread_mutexattr_init(&attributes) != 0) return false;
  const bool is_made = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0 &&
                       pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0 &&
                       pthread_mutex_init(mutex, &attributes) == 0;
  (void)pthread_mutexattr_destroy(&attributes);
  return is_made && pthread_mutex_lock(mutex) == 0;
}

static void show(struct wmbt_life *life) {
  struct wmbt_index_header *header = life->header;
  pthread_mutex_t *mutex = (void *)header->life;
  if (!lock_mutex(mutex)) return;
  const _Atomic uint32_t *word = (void *)(header->life + word_of_mutex);
  /* Another C library may keep it elsewhere. */
  if ((atomic_load(word) & 0x3fffffff) != (uint32_t)syscall(SYS_gettid)) {
    (void)pthread_mutex_unlock(mutex);
    return;
  }
  life->is_shown = true;
  header->life_at = (uint32_t)offsetof(struct wmbt_index_header, life) + word_of_mutex;
}

static void hide(struct wmbt_life *life) { (void)pthread_mutex_unlock((void *)life->header->life); }

#else

static void show(struct wmbt_life *life) { (void)life; }
static void hide(struct wmbt_life *life) { (void)life; }

#endif

struct wmbt_life *wmbt_life_begin(int index_file) {
  struct wmbt_life *life = malloc(sizeof *life);
  if (life == NULL) return NULL;
  life->is_shown = false;
  life->header = mmap(NULL, wmbt_index_header_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, index_file, 0);
  if (life->header == MAP_FAILED) {
    const int fault = errno;
    free(life);
    errno = fault;
    return NULL;
  }
#ifdef MADV_DONTFORK
  (void)madvise(life->header, wmbt_index_header_bytes, MADV_DONTFORK);
#endif
  show(life);
  return life;
}

void wmbt_life_end(struct wmbt_life *life) {
  if (life->is_shown) hide(life);
  (void)munmap(life->header, wmbt_index_header_bytes);
  free(life);
}
