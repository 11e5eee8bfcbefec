#include "shared-view.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "shared-files.h"

void wmbt_views_show(const struct wmbt_reader *reader) {
  const struct wmbt_view *oldest = reader->view;
  while (oldest->older != NULL) oldest = oldest->older;
  if (!wmbt_reader_has_place(reader)) return;
  atomic_store_explicit(&reader->clients[reader->slot].oldest_index, oldest->index.header->generation,
                        memory_order_relaxed);
}

static void unmap(struct wmbt_view *view) {
  (void)munmap(view->index.header, view->bytes);
  free(view);
}

/* The index that has the name now. NULL when it is no index, or there is no memory or descriptor for it. */
static struct wmbt_view *map(struct wmbt_reader *reader) {
  struct wmbt_view *view = calloc(1, sizeof *view);
  if (view == NULL) return NULL;
  void *memory = wmbt_shared_map_file(reader->directory, "index", &view->bytes);
  if (memory != NULL && wmbt_index_open(memory, view->bytes, &view->index)) {
    view->reader = reader;
    return view;
  }
  if (memory != NULL) (void)munmap(memory, view->bytes);
  free(view);
  return NULL;
}

bool wmbt_view_begin(struct wmbt_reader *reader) {
  struct wmbt_view *view = map(reader);
  if (view == NULL) return false;
  if (wmbt_index_standing(&view->index) != wmbt_index_lives) {
    unmap(view);
    return false;
  }
  reader->segment_bytes = view->index.header->segment_bytes;
  const uint64_t most = view->index.header->pinned_bytes_max;
  reader->pinned_bytes_max = most == 0 ? UINT64_MAX : most;
  reader->view = view;
  return true;
}

static void remove_from_list(struct wmbt_view *view) {
  struct wmbt_view **place = &view->reader->view;
  while (*place != view) place = &(*place)->older;
  *place = view->older;
}

/* An old one that nobody looks into is of no use. */
static void drop_if_over(struct wmbt_view *view) {
  const struct wmbt_reader *reader = view->reader;
  if (view->calls > 0 || view == reader->view) return;
  remove_from_list(view);
  unmap(view);
  wmbt_views_show(reader);
}

void wmbt_view_part(struct wmbt_view *view) {
  view->calls -= 1;
  drop_if_over(view);
}

/* Maps what the store has rebuilt. False when that is not there, or is not of the same memory. */
static bool renew(struct wmbt_reader *reader) {
  struct wmbt_view *old = reader->view, *view = map(reader);
  if (view == NULL) return false;
  if (view->index.header->segment_bytes != reader->segment_bytes) {
    unmap(view);
    return false;
  }
  view->older = old;
  reader->view = view;
  drop_if_over(old);
  return true;
}

/* A store rebuilds its index again only after many saves: whoever finds it superseded twice in a row asks the store. */
enum { renewals_max = 2 };

bool wmbt_reader_is_open(struct wmbt_reader *reader) {
  if (atomic_load_explicit(&reader->is_broken, memory_order_relaxed)) return false;
  for (int renewals = 0;; renewals += 1) {
    const enum wmbt_index_standing standing = wmbt_index_standing(&reader->view->index);
    if (standing != wmbt_index_was_replaced) return standing == wmbt_index_lives;
    if (renewals == renewals_max || !renew(reader)) return false;
  }
}

struct wmbt_view *wmbt_view_use(struct wmbt_reader *reader) {
  reader->uses += 1;
  reader->view->calls += 1;
  return reader->view;
}

void wmbt_views_free(struct wmbt_reader *reader) {
  for (struct wmbt_view *view = reader->view, *older; view != NULL; view = older) {
    older = view->older;
    unmap(view);
  }
  reader->view = NULL;
}
