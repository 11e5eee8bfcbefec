#include "commit-ring.h"

#include <stdatomic.h>
#include <string.h>

#include "ring-entry.h"

_Static_assert(sizeof(struct wmbt_ring_header) <= wmbt_ring_data_at, "a header takes a page");

bool wmbt_ring_use(struct wmbt_ring *ring, void *memory, size_t bytes) {
  struct wmbt_ring_header *header = memory;
  if (bytes < wmbt_ring_data_at + wmbt_ring_unit_bytes) return false;
  const uint32_t data_bytes = header->data_bytes;
  const bool is_sound = memcmp(header->magic, "WKVRING", 8) == 0 && header->version == wmbt_ring_version &&
                        data_bytes >= wmbt_ring_unit_bytes && (data_bytes & (data_bytes - 1)) == 0 &&
                        data_bytes == bytes - wmbt_ring_data_at && atomic_load(&header->head) == 0;
  if (!is_sound) return false;
  *ring = (struct wmbt_ring){header, bytes, data_bytes, header->seed, 0, 0, 0};
  return true;
}

bool wmbt_ring_is_closed(const struct wmbt_ring *ring) {
  return atomic_load_explicit(&ring->header->is_closed, memory_order_relaxed) != 0;
}

bool wmbt_ring_is_open(const struct wmbt_ring *ring) {
  return !wmbt_ring_is_closed(ring) &&
         atomic_load_explicit(&ring->header->is_paused, memory_order_relaxed) == 0;
}

static uint8_t *at(const struct wmbt_ring *ring, uint32_t position) {
  const uint32_t units = ring->data_bytes / wmbt_ring_unit_bytes;
  uint8_t *data = (uint8_t *)ring->header + wmbt_ring_data_at;
  return data + (size_t)(position % units) * wmbt_ring_unit_bytes;
}

/* An entry that says only how long it is. */
static void fill_up(uint8_t *place, uint32_t units) {
  const struct wmbt_ring_entry filler = {.magic = wmbt_ring_entry_magic, .bytes = units * wmbt_ring_unit_bytes};
  (void)memcpy(place, &filler, wmbt_ring_unit_bytes);
}

uint8_t *wmbt_ring_place(struct wmbt_ring *ring, uint32_t bytes, uint32_t *position) {
  const uint32_t units = ring->data_bytes / wmbt_ring_unit_bytes;
  const uint32_t wanted = bytes / wmbt_ring_unit_bytes;
  /* Behind the loads of what the store has taken nothing of it is read any more. */
  const uint32_t tail = atomic_load_explicit(&ring->header->tail, memory_order_acquire);
  const uint32_t used = ring->head - tail;
  const uint32_t rest = units - ring->head % units;
  /* What does not fit before the end of the data goes to its beginning. */
  const uint32_t skipped = wanted > rest ? rest : 0;
  if (used > units || wanted > units || skipped + wanted > units - used) return NULL;
  if (skipped > 0) fill_up(at(ring, ring->head), skipped);
  *position = ring->head + skipped;
  return at(ring, *position);
}

/* Whether the store is to be told by this caller. */
static bool begin_telling(struct wmbt_ring_header *header) {
  return atomic_load_explicit(&header->is_told, memory_order_relaxed) == 0 &&
         atomic_exchange(&header->is_told, 1) == 0;
}

bool wmbt_ring_publish(struct wmbt_ring *ring, uint32_t position, uint32_t bytes, bool *is_news) {
  struct wmbt_ring_header *header = ring->header;
  ring->head = position + bytes / wmbt_ring_unit_bytes;
  atomic_store_explicit(&header->head, ring->head, memory_order_release);
  atomic_thread_fence(memory_order_seq_cst);
  if (atomic_load_explicit(&header->is_closed, memory_order_acquire) != 0) return false;
  *is_news = begin_telling(header);
  return true;
}

bool wmbt_ring_next_loans(const struct wmbt_ring *ring, size_t count, size_t length, struct wmbt_lent *loans) {
  const struct wmbt_ring_header *header = ring->header;
  /* Behind this load the loans are whole. What the store overwrites are those that came back to it. */
  const uint32_t there = atomic_load_explicit(&header->lent, memory_order_acquire) - ring->used;
  if (count > wmbt_ring_loans_max || there > wmbt_ring_loans_max || there < count) return false;
  for (uint32_t i = 0; i < count; i += 1) {
    const struct wmbt_ring_loan *loan = &header->loans[(ring->used + i) % wmbt_ring_loans_max];
    if (loan->length != length) return false;
    loans[i] = (struct wmbt_lent){loan->segment, loan->offset, ring->seed, loan->number};
  }
  return true;
}

void wmbt_ring_use_loans(struct wmbt_ring *ring, size_t count) { ring->used += (uint32_t)count; }

void wmbt_ring_want(struct wmbt_ring *ring, size_t count, size_t length, bool *is_news) {
  struct wmbt_ring_header *header = ring->header;
  struct wmbt_lent loan;
  const uint32_t before = atomic_load_explicit(&header->wanted_bytes, memory_order_relaxed);
  const bool has_other = before != 0 && before != length && wmbt_ring_next_loans(ring, 1, before, &loan);
  const bool is_first = has_other && ring->other_length != length;
  ring->other_length = length;
  *is_news = false;
  if (is_first) return;
  atomic_store_explicit(&header->wanted_count, (uint32_t)count, memory_order_relaxed);
  atomic_store_explicit(&header->wanted_bytes, (uint32_t)length, memory_order_relaxed);
  atomic_thread_fence(memory_order_seq_cst);
  *is_news = begin_telling(header);
}

void wmbt_ring_untold(struct wmbt_ring *ring) { atomic_store(&ring->header->is_told, 0); }
