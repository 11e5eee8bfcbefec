#include "refusing.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

/* What the library's files call in place of functions of the system (test/capi/c-program.ts). */
void *wmbt_refusing_malloc(size_t size);
void *wmbt_refusing_calloc(size_t count, size_t size);
void *wmbt_refusing_realloc(void *memory, size_t size);
int wmbt_refusing_posix_memalign(void **memory, size_t alignment, size_t size);
void *wmbt_refusing_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);

/* Requests that are given until one is refused; 0: all are given. */
static _Atomic size_t left;
static _Atomic bool has_refused;

void refusing_begin(size_t number) {
  atomic_store(&has_refused, false);
  atomic_store(&left, number);
}

bool refusing_end(void) {
  atomic_store(&left, 0);
  return atomic_load(&has_refused);
}

static bool is_refused(void) {
  size_t before = atomic_load(&left);
  while (before > 0 && !atomic_compare_exchange_weak(&left, &before, before - 1)) continue;
  if (before != 1) return false;
  atomic_store(&has_refused, true);
  errno = ENOMEM;
  return true;
}

void *wmbt_refusing_malloc(size_t size) { return is_refused() ? NULL : malloc(size); }

void *wmbt_refusing_calloc(size_t count, size_t size) { return is_refused() ? NULL : calloc(count, size); }

void *wmbt_refusing_realloc(void *memory, size_t size) { return is_refused() ? NULL : realloc(memory, size); }

int wmbt_refusing_posix_memalign(void **memory, size_t alignment, size_t size) {
  return is_refused() ? ENOMEM : posix_memalign(memory, alignment, size);
}

void *wmbt_refusing_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
  return is_refused() ? MAP_FAILED : mmap(address, length, protection, flags, fd, offset);
}
