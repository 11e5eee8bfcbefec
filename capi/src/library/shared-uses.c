#include "shared-uses.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared-files.h"

enum { unit_bytes = 4096 };

static size_t uses_bytes(const struct wmbt_reader *reader) { return reader->segment_bytes / unit_bytes; }

/* The file of the segment, by whichever thread mapped it first; NULL when it cannot be had. */
static _Atomic uint8_t *map(struct wmbt_reader *reader, uint32_t number) {
  char name[16];
  (void)snprintf(name, sizeof name, "uses-%u", (unsigned)number);
  size_t length;
  const int fd = wmbt_shared_file(reader->directory, name, O_RDWR, &length);
  /* A mapping beyond the end of its file would end the process that writes there. */
  uint8_t *mapped = fd >= 0 && length >= uses_bytes(reader) ? wmbt_shared_map(fd, uses_bytes(reader), true) : NULL;
  if (fd >= 0) (void)close(fd);
  if (mapped == NULL) {
    /* Not tried again: what is not noted is evicted earlier, and a call to the system for each use would be worse. */
    atomic_store_explicit(&reader->notes_no_uses, true, memory_order_relaxed);
    return NULL;
  }
  _Atomic uint8_t *uses = (_Atomic uint8_t *)(void *)mapped, *known = NULL;
  if (atomic_compare_exchange_strong(&reader->uses_of[number], &known, uses)) return uses;
  (void)munmap(mapped, uses_bytes(reader));
  return known;
}

void wmbt_uses_note(struct wmbt_reader *reader, uint64_t location) {
  const uint32_t number = (uint32_t)(location >> 40) & 0xffff;
  const uint64_t unit = location & ((UINT64_C(1) << 40) - 1);
  if (number >= wmbt_segments_max || unit >= uses_bytes(reader)) return;
  _Atomic uint8_t *uses = atomic_load_explicit(&reader->uses_of[number], memory_order_acquire);
  if (uses == NULL && !atomic_load_explicit(&reader->notes_no_uses, memory_order_relaxed)) uses = map(reader, number);
  if (uses == NULL) return;
  /* A look disturbs nobody; a store takes the line away from everybody who has it. Nothing follows from the byte but an
     order of eviction. */
  if (atomic_load_explicit(&uses[unit], memory_order_relaxed) != 0) return;
  atomic_store_explicit(&uses[unit], 1, memory_order_relaxed);
}

void wmbt_uses_unmap(struct wmbt_reader *reader) {
  for (unsigned i = 0; i < wmbt_segments_max; i += 1) {
    _Atomic uint8_t *uses = atomic_load_explicit(&reader->uses_of[i], memory_order_relaxed);
    if (uses != NULL) (void)munmap((void *)(uintptr_t)uses, uses_bytes(reader));
  }
}
