#include "shared-known.h"

#include <string.h>
#include <sys/mman.h>

#include "shared-files.h"

void wmbt_known_begin(struct wmbt_reader *reader) {
  size_t length;
  void *memory = wmbt_shared_map_file(reader->directory, "known", &length);
  if (memory == NULL) return;
  if (wmbt_known_file_open(memory, length, &reader->known)) {
    reader->known_bytes = length;
  } else {
    (void)munmap(memory, length);
  }
}

void wmbt_known_end(struct wmbt_reader *reader) {
  if (reader->known_bytes > 0) (void)munmap(reader->known.header, reader->known_bytes);
  reader->known_bytes = 0;
}

bool wmbt_reader_has_stored(const struct wmbt_view *view, const struct wmbt_keys *keys) {
  const struct wmbt_reader *reader = view->reader;
  const struct wmbt_known_file *known = reader->known_bytes > 0 ? &reader->known : NULL;
  const struct wmbt_owners owners = {
      .in_index = wmbt_view_owner(view, keys->ns, wmbt_kind_block),
      .in_known = known == NULL ? 0 : wmbt_known_file_owner(known, keys->ns, strlen(keys->ns)),
  };
  return keys->count > 0 && wmbt_are_stored(&view->index, known, (const uint8_t *)keys->keys, keys->count, owners);
}
