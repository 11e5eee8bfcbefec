#include "shared-reader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../hex.h"
#include "../shared/shared-lent.h"
#include "shared-files.h"
#include "shared-fork.h"
#include "shared-known.h"
#include "shared-uses.h"
#include "shared-view.h"

/* Kinds and bytes of names. */
enum { namespace_kind = 1, fingerprint_kind = 2, names_max = 1024, name_bytes = 128, name_text_max = 126 };
/* What the low half of an entry's facts holds. */
enum { fact_tokens_max = 0x7fff, fact_decoded = 0x8000, fact_fingerprint_shift = 16 };
enum { offset_unit_bytes = 4096, skip_unit_bytes = 32 };

static bool map_clients(struct wmbt_reader *reader) {
  const int fd = wmbt_shared_file(reader->directory, "clients", O_RDWR, &reader->clients_bytes);
  if (fd < 0) return false;
  if (reader->clients_bytes >= wmbt_clients_bytes_min) {
    reader->clients = wmbt_shared_map(fd, reader->clients_bytes, true);
  }
  (void)close(fd);
  return reader->clients != NULL;
}

/* Without them the reader finds what there is all the same. */
static void map_stamps(struct wmbt_reader *reader) {
  void *stamps = wmbt_shared_map_file(reader->directory, "loans", &reader->stamps_bytes);
  if (stamps == NULL) return;
  reader->stamps = stamps;
  if (reader->stamps_bytes >= wmbt_stamps_max * sizeof(struct wmbt_stamp)) return;
  (void)munmap(stamps, reader->stamps_bytes);
  reader->stamps = NULL;
}

void wmbt_reader_free(struct wmbt_reader *reader) {
  for (unsigned i = 0; i < wmbt_segments_max; i += 1) {
    uint8_t *segment = atomic_load_explicit(&reader->segments[i], memory_order_relaxed);
    if (segment != NULL) (void)munmap(segment, reader->segment_bytes);
  }
  wmbt_filler_unmap(reader);
  wmbt_uses_unmap(reader);
  if (reader->clients != NULL) (void)munmap(reader->clients, reader->clients_bytes);
  if (reader->stamps != NULL) (void)munmap((void *)(uintptr_t)reader->stamps, reader->stamps_bytes);
  wmbt_known_end(reader);
  wmbt_views_free(reader);
  free(reader);
}

struct wmbt_reader *wmbt_reader_open(const char *directory) {
  const size_t length = strlen(directory);
  struct wmbt_reader *reader = length < wmbt_directory_max ? calloc(1, sizeof *reader) : NULL;
  if (reader == NULL) return NULL;
  (void)memcpy(reader->directory, directory, length + 1);
  reader->lock.fd = reader->child_lock.fd = -1;
  reader->uses = 1;
  reader->fill_again_ms = INT64_MIN / 2;
  reader->free_count = wmbt_client_hazards;
  for (unsigned i = 0; i < wmbt_client_hazards; i += 1) reader->free[i] = (uint16_t)(wmbt_client_hazards - 1 - i);
  if (wmbt_view_begin(reader) && map_clients(reader)) {
    map_stamps(reader);
    wmbt_known_begin(reader);
    if (wmbt_readers_join(reader)) return reader;
  }
  wmbt_reader_free(reader);
  return NULL;
}

bool wmbt_reader_has_place(const struct wmbt_reader *reader) {
  return atomic_load_explicit(&reader->clients[reader->slot].owner, memory_order_relaxed) == reader->owner;
}

/* One use less, the lock being held; true when it is to be freed. */
static bool leave_locked(struct wmbt_reader *reader) {
  reader->uses -= 1;
  /* Of a frozen one another process may have the pins. */
  if (reader->uses > 0 || reader->is_frozen) return false;
  wmbt_readers_part(reader);
  return true;
}

void wmbt_reader_leave(struct wmbt_reader *reader) {
  wmbt_readers_lock();
  const bool is_over = leave_locked(reader);
  wmbt_readers_unlock();
  if (is_over) wmbt_reader_free(reader);
}

void wmbt_view_leave(struct wmbt_view *view) {
  struct wmbt_reader *reader = view->reader;
  wmbt_readers_lock();
  wmbt_view_part(view);
  const bool is_over = leave_locked(reader);
  wmbt_readers_unlock();
  if (is_over) wmbt_reader_free(reader);
}

/* The names that are whole, and how many. */
static const uint8_t *names_of(const struct wmbt_view *view, uint32_t *count) {
  const struct wmbt_index_header *header = view->index.header;
  *count = atomic_load_explicit(&header->names, memory_order_acquire);
  if (*count > names_max) *count = names_max;
  return (const uint8_t *)header + wmbt_index_header_bytes;
}

static bool has_name(const uint8_t *name, const char *text, size_t length) {
  return name[0] == namespace_kind && name[1] == length && memcmp(name + 2, text, length) == 0;
}

uint32_t wmbt_view_owner(const struct wmbt_view *view, const char *ns, enum wmbt_kind kind) {
  uint32_t count;
  const uint8_t *names = names_of(view, &count);
  const size_t length = strlen(ns);
  for (uint32_t i = 0; length <= name_text_max && i < count; i += 1) {
    if (has_name(names + (size_t)i * name_bytes, ns, length)) return (i + 1) * 256 + (uint32_t)kind;
  }
  return 0;
}

/* Which payloads a caller takes. */
struct taste {
  bool is_exact, is_of_model;
  /* The number of the model; 0: no payload here is of it. */
  uint32_t model;
};

static struct taste taste_of(const struct wmbt_view *view, const struct wmbt_terms *terms) {
  static const struct wmbt_key unknown;
  const struct wmbt_key *wanted = terms->fingerprint;
  struct taste taste = {terms->is_exact, wanted != NULL && memcmp(wanted, &unknown, sizeof unknown) != 0, 0};
  if (!taste.is_of_model) return taste;
  uint32_t count;
  const uint8_t *names = names_of(view, &count);
  for (uint32_t i = 0; i < count; i += 1) {
    const uint8_t *name = names + (size_t)i * name_bytes;
    struct wmbt_key key;
    const bool is_one = name[0] == fingerprint_kind && name[1] == wmbt_digest_digits &&
                        wmbt_hex_parse((const char *)name + 2, key.bytes);
    if (is_one && memcmp(&key, wanted, sizeof key) == 0) taste.model = i + 1;
  }
  return taste;
}

static bool suits(const struct taste *taste, uint32_t facts) {
  if (taste->is_exact && (facts & fact_decoded) != 0) return false;
  const uint32_t model = facts >> fact_fingerprint_shift;
  return !taste->is_of_model || model == 0 || model == taste->model;
}

/* How many leading keys are found; with `found` the places of the first `most`. */
static size_t find_leading(const struct wmbt_view *view, const struct wmbt_keys *keys, uint32_t owner,
                           struct wmbt_found *found, size_t most) {
  return wmbt_index_find_leading(&view->index, (const uint8_t *)keys->keys, most, owner, found);
}

size_t wmbt_reader_find(const struct wmbt_view *view, const struct wmbt_keys *keys) {
  const uint32_t owner = wmbt_view_owner(view, keys->ns, wmbt_kind_block);
  return owner == 0 ? 0 : find_leading(view, keys, owner, NULL, keys->count);
}

void wmbt_reader_note_uses(const struct wmbt_view *view, const struct wmbt_keys *keys) {
  enum { group = 64 };
  struct wmbt_found found[group];
  const uint32_t owner = wmbt_view_owner(view, keys->ns, wmbt_kind_block);
  for (size_t first = 0; owner != 0 && first < keys->count; first += group) {
    const size_t left = keys->count - first, most = left < group ? left : group;
    const uint8_t *digests = (const uint8_t *)(keys->keys + first);
    const size_t count = wmbt_index_find_leading(&view->index, digests, most, owner, found);
    for (size_t i = 0; i < count; i += 1) wmbt_uses_note(view->reader, found[i].location);
    if (count < most) return;
  }
}

bool wmbt_reader_note_use(const struct wmbt_view *view, const char *ns, const struct wmbt_key *key,
                          enum wmbt_kind kind) {
  struct wmbt_found found;
  const uint32_t owner = wmbt_view_owner(view, ns, kind);
  if (owner == 0 || wmbt_index_find_leading(&view->index, key->bytes, 1, owner, &found) == 0) return false;
  wmbt_uses_note(view->reader, found.location);
  return true;
}

/* Pins of one borrow. */
struct pins {
  struct wmbt_loan loan;
  struct wmbt_reader *reader;
  size_t count;
  uint16_t *hazards;
  struct wmbt_found found[];
};

/* Gives up those from `first` on; the lock is held. */
static void unpin_locked(struct pins *pins, size_t first) {
  struct wmbt_reader *reader = pins->reader;
  const bool has_place = wmbt_reader_has_place(reader);
  for (size_t i = first; i < pins->count && !reader->is_frozen; i += 1) {
    /* What stands there now is another client's. */
    if (has_place) wmbt_pin_release(&reader->clients[reader->slot], pins->hazards[i]);
    reader->free[reader->free_count++] = pins->hazards[i];
    reader->pinned_bytes -= (uint32_t)pins->found[i].extent;
  }
  pins->count = first;
}

static void give_back(struct wmbt_loan *loan) {
  struct pins *pins = (struct pins *)loan;
  struct wmbt_reader *reader = pins->reader;
  wmbt_readers_lock();
  unpin_locked(pins, 0);
  reader->borrows -= 1;
  const bool is_over = leave_locked(reader);
  wmbt_readers_unlock();
  free(pins);
  if (is_over) wmbt_reader_free(reader);
}

/* How many leading ones of those that were announced are still shown. */
static size_t confirm(const struct wmbt_view *view, const struct pins *pins) {
  struct wmbt_reader *reader = pins->reader;
  struct wmbt_client *client = &reader->clients[reader->slot];
  /* What is found in an index that was superseded meanwhile may be used again without a word there. */
  if (!wmbt_pin_fence_in(&view->index)) return 0;
  size_t kept = 0;
  while (kept < pins->count && wmbt_pin_confirm(&view->index, client, pins->hazards[kept], &pins->found[kept])) {
    kept += 1;
  }
  /* Looked at behind the announcements: a place that was cleared before has lost them too. */
  if (wmbt_reader_has_place(reader)) return kept;
  atomic_store_explicit(&reader->is_broken, true, memory_order_relaxed);
  return 0;
}

/* How many of what was found may be pinned beside what is; their bytes count from now on. The lock is held. */
static size_t take_bytes(struct wmbt_reader *reader, const struct pins *pins) {
  size_t count = 0;
  for (; count < pins->count; count += 1) {
    const uint32_t length = (uint32_t)pins->found[count].extent;
    if (reader->pinned_bytes > reader->pinned_bytes_max) break;
    if (length > reader->pinned_bytes_max - reader->pinned_bytes) break;
    reader->pinned_bytes += length;
  }
  return count;
}

/*
 * Announces all that were found, and keeps the leading ones that are still shown. False when there are none; else the
 * use of the view is over, and that of the reader the borrow's.
 */
static bool pin(struct wmbt_view *view, struct pins *pins) {
  struct wmbt_reader *reader = pins->reader;
  wmbt_readers_lock();
  struct wmbt_client *client = &reader->clients[reader->slot];
  if (reader->is_frozen || !wmbt_reader_has_place(reader)) pins->count = 0;
  if (pins->count > reader->free_count) pins->count = reader->free_count;
  pins->count = take_bytes(reader, pins);
  reader->free_count -= (uint32_t)pins->count;
  (void)memcpy(pins->hazards, reader->free + reader->free_count, pins->count * sizeof *pins->hazards);
  for (size_t i = 0; i < pins->count; i += 1) wmbt_pin_announce(client, pins->hazards[i], pins->found[i].location);
  const size_t kept = confirm(view, pins);
  unpin_locked(pins, kept);
  if (kept > 0) {
    reader->borrows += 1;
    wmbt_view_part(view);
  }
  wmbt_readers_unlock();
  return kept > 0;
}

/* The segment's memory; NULL when there is no such file, or it cannot be mapped. */
static const uint8_t *segment(struct wmbt_reader *reader, uint32_t number) {
  if (number >= wmbt_segments_max) return NULL;
  uint8_t *known = atomic_load_explicit(&reader->segments[number], memory_order_acquire);
  if (known != NULL) return known;
  char name[16];
  (void)snprintf(name, sizeof name, "segment-%u", (unsigned)number);
  size_t length;
  const int fd = wmbt_shared_file(reader->directory, name, O_RDONLY, &length);
  if (fd < 0) return NULL;
  /* A mapping beyond the end of its file would end the process that reads there. */
  uint8_t *mapped = length < reader->segment_bytes ? NULL : wmbt_shared_map(fd, reader->segment_bytes, false);
  (void)close(fd);
  if (mapped == NULL) return NULL;
  if (atomic_compare_exchange_strong(&reader->segments[number], &known, mapped)) return mapped;
  (void)munmap(mapped, reader->segment_bytes);
  return known;
}

/* Where the payload lies; NULL when that is nowhere in the store's memory. */
static const uint8_t *payload_of(struct wmbt_reader *reader, const struct wmbt_found *found, size_t *length) {
  const uint64_t offset = found->location & ((UINT64_C(1) << 40) - 1);
  const uint64_t skip = (found->location & WMBT_LOCATION_SKIP) >> 56;
  const uint64_t start = offset * offset_unit_bytes + skip * skip_unit_bytes;
  *length = (uint32_t)found->extent;
  if (start > reader->segment_bytes || *length > reader->segment_bytes - start) return NULL;
  const uint8_t *memory = segment(reader, (uint32_t)(found->location >> 40) & 0xffff);
  return memory == NULL ? NULL : memory + start;
}

static struct pins *pins_new(struct wmbt_reader *reader, size_t count) {
  struct pins *pins = malloc(sizeof *pins + count * (sizeof *pins->found + sizeof *pins->hazards));
  if (pins == NULL) return NULL;
  pins->loan.give_back = give_back;
  pins->reader = reader;
  pins->hazards = (uint16_t *)(void *)(pins->found + count);
  return pins;
}

/* Shows the borrow what is pinned behind what it has, as far as it can be had and is taken; gives how much that is. */
static size_t fill(struct wmbt_reader *reader, const struct pins *pins, const struct taste *taste,
                   struct wmbt_borrow *borrow) {
  for (size_t i = 0; i < pins->count; i += 1) {
    const struct wmbt_found *found = &pins->found[i];
    const size_t at = borrow->filled + i;
    const uint32_t facts = (uint32_t)found->facts;
    if (!suits(taste, facts)) return i;
    const uint8_t *payload = payload_of(reader, found, &borrow->lengths[at]);
    if (payload == NULL) {
      /* What it shows cannot be had: the store is asked from now on. */
      atomic_store_explicit(&reader->is_broken, true, memory_order_relaxed);
      return i;
    }
    borrow->payloads[at] = payload;
    wmbt_uses_note(reader, found->location);
    const wmbt_kv_payload_t known = {.tokens = facts & fact_tokens_max,
                                     .flags = (facts & fact_decoded) != 0 ? WMBT_KV_DECODED : 0,
                                     .tier = WMBT_KV_TIER_MEMORY,
                                     .crc32c = (uint32_t)(found->extent >> 32)};
    wmbt_borrow_note(borrow, at, &known);
  }
  return pins->count;
}

void wmbt_reader_lend(struct wmbt_view *view, const struct wmbt_keys *keys, enum wmbt_kind kind,
                      struct wmbt_borrow *borrow) {
  struct wmbt_reader *reader = view->reader;
  const uint32_t owner = wmbt_view_owner(view, keys->ns, kind);
  const size_t most = keys->count < wmbt_client_hazards ? keys->count : wmbt_client_hazards;
  struct pins *pins = owner == 0 ? NULL : pins_new(reader, most);
  /* Numbers of names are those of one index. */
  const struct taste taste = taste_of(view, keys->terms);
  if (pins != NULL) pins->count = find_leading(view, keys, owner, pins->found, most);
  if (pins == NULL || pins->count == 0 || !pin(view, pins)) {
    free(pins);
    wmbt_view_leave(view);
    return;
  }
  const size_t lent = fill(reader, pins, &taste, borrow);
  if (lent < pins->count) {
    wmbt_readers_lock();
    unpin_locked(pins, lent);
    wmbt_readers_unlock();
  }
  borrow->filled += lent;
  borrow->lent = borrow->filled;
  pins->loan.next = borrow->loan;
  borrow->loan = &pins->loan;
}
