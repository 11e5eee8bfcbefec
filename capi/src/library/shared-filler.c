#include "shared-filler.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "shared-access.h"
#include "shared-files.h"
#include "shared-fork.h"

struct wmbt_filler {
  /* By which it uses the reader; it does not look into it. */
  struct wmbt_view *view;
  struct wmbt_reader *reader;
  uint16_t hazard;
};

/* Takes a hazard; the lock is held. */
static bool take_hazard(struct wmbt_reader *reader, uint16_t *hazard) {
  const bool may_fill = !reader->is_frozen && reader->stamps != NULL && wmbt_reader_is_open(reader) &&
                        wmbt_reader_has_place(reader) && reader->free_count > 0 &&
                        wmbt_now_ms() >= reader->fill_again_ms;
  if (!may_fill) return false;
  reader->free_count -= 1;
  *hazard = reader->free[reader->free_count];
  reader->is_filling[*hazard] = true;
  return true;
}

struct wmbt_filler *wmbt_filler_begin(struct wmbt_access *access) {
  struct wmbt_view *view = wmbt_access_use(access);
  if (view == NULL) return NULL;
  struct wmbt_reader *reader = view->reader;
  struct wmbt_filler *filler = malloc(sizeof *filler);
  wmbt_readers_lock();
  const bool has_hazard = filler != NULL && take_hazard(reader, &filler->hazard);
  wmbt_readers_unlock();
  if (has_hazard) {
    filler->view = view;
    filler->reader = reader;
    return filler;
  }
  free(filler);
  wmbt_view_leave(view);
  return NULL;
}

void wmbt_filler_end(struct wmbt_filler *filler) {
  if (filler == NULL) return;
  struct wmbt_reader *reader = filler->reader;
  wmbt_readers_lock();
  reader->is_filling[filler->hazard] = false;
  reader->free[reader->free_count++] = filler->hazard;
  wmbt_readers_unlock();
  wmbt_view_leave(filler->view);
  free(filler);
}

static void drop(struct wmbt_lent_segment *segment) {
  if (segment->memory != NULL) (void)munmap(segment->memory, segment->bytes);
  free(segment);
}

/* Maps a segment to be written; NULL when there is no such file, or no descriptor or memory for it. */
static struct wmbt_lent_segment *map(const struct wmbt_reader *reader, uint32_t number) {
  const size_t touched = wmbt_lent_touched_bytes(reader->segment_bytes);
  struct wmbt_lent_segment *segment = calloc(1, sizeof *segment + touched);
  if (segment == NULL) return NULL;
  segment->touched = (_Atomic uint8_t *)(void *)(segment + 1);
  segment->bytes = reader->segment_bytes;
  segment->stamps = reader->stamps;
  char name[16];
  (void)snprintf(name, sizeof name, "segment-%u", (unsigned)number);
  size_t length;
  const int fd = wmbt_shared_file(reader->directory, name, O_RDWR, &length);
  /* A mapping beyond the end of its file would end the process that writes there. */
  if (fd >= 0 && length >= segment->bytes) segment->memory = wmbt_shared_map(fd, segment->bytes, true);
  if (fd >= 0) (void)close(fd);
  if (segment->memory != NULL) return segment;
  drop(segment);
  return NULL;
}

/* The segment as it is written to, by whichever thread mapped it first; NULL when it cannot be had. */
static const struct wmbt_lent_segment *writable(struct wmbt_reader *reader, uint32_t number) {
  if (number >= wmbt_segments_max) return NULL;
  struct wmbt_lent_segment *known = atomic_load_explicit(&reader->writable[number], memory_order_acquire);
  if (known != NULL) return known;
  struct wmbt_lent_segment *mapped = map(reader, number);
  if (mapped == NULL || atomic_compare_exchange_strong(&reader->writable[number], &known, mapped)) return mapped;
  drop(mapped);
  return known;
}

void wmbt_filler_unmap(struct wmbt_reader *reader) {
  for (unsigned i = 0; i < wmbt_segments_max; i += 1) {
    struct wmbt_lent_segment *segment = atomic_load_explicit(&reader->writable[i], memory_order_relaxed);
    if (segment != NULL) drop(segment);
  }
}

/* Nothing is filled by this reader for a while; what it finds it lends as before. */
static enum wmbt_filling fail_to_map(struct wmbt_reader *reader, uint32_t number, struct wmbt_failure *failure) {
  wmbt_readers_lock();
  reader->fill_again_ms = wmbt_now_ms() + WMBT_SHARED_AGAIN_MS;
  wmbt_readers_unlock();
  (void)wmbt_fail(failure, wmbt_lost, "segment %u of the daemon's memory cannot be written to", (unsigned)number);
  return wmbt_filling_failed;
}

/* Whether the store of the reader lives. */
static bool is_open(struct wmbt_reader *reader) {
  wmbt_readers_lock();
  const bool is_open = wmbt_reader_is_open(reader);
  wmbt_readers_unlock();
  return is_open;
}

/* Whether hazards of this reader are still seen. What it had may be another client's from a moment on. */
static bool keeps_place(struct wmbt_reader *reader) {
  wmbt_readers_lock();
  const bool has_place = wmbt_reader_has_place(reader);
  wmbt_readers_unlock();
  if (!has_place) atomic_store_explicit(&reader->is_broken, true, memory_order_relaxed);
  return has_place;
}

enum wmbt_filling wmbt_filler_fill(struct wmbt_filler *filler, const struct wmbt_lent *lent, const uint8_t *payload,
                                   size_t length, uint32_t *crc, struct wmbt_failure *failure) {
  struct wmbt_reader *reader = filler->reader;
  if (!keeps_place(reader)) {
    (void)wmbt_fail(failure, wmbt_lost, "the place among the clients of the daemon's memory is lost");
    return wmbt_filling_failed;
  }
  const struct wmbt_lent_segment *segment = writable(reader, lent->segment);
  if (segment == NULL) return fail_to_map(reader, lent->segment, failure);
  struct wmbt_client *client = &reader->clients[reader->slot];
  switch (wmbt_lent_fill(client, filler->hazard, segment, lent, payload, length, crc)) {
    case wmbt_filled:
      return wmbt_filling_done;
    case wmbt_fill_over:
      /*
       * The loan may be one of the next daemon, to which the connection is, and this the memory of the one before: its
       * stamps have another salt, so nothing was written. Nobody would answer what is never filled.
       */
      if (is_open(reader)) return wmbt_filling_over;
      (void)wmbt_fail(failure, wmbt_lost, "the daemon that had the memory is gone");
      return wmbt_filling_failed;
    default:
      (void)wmbt_fail(failure, wmbt_lost, "the daemon lends %zu bytes at %u in a segment of %zu", length,
                      (unsigned)lent->offset, segment->bytes);
      return wmbt_filling_failed;
  }
}
