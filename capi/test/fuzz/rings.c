/*
 * A ring as a store may have left it: its header, whatever stands there. An input lies over a ring that is right, in
 * pieces: where, how long, the bytes. What follows are turns of a client, between which the store takes what it was
 * left, or its words change to anything. What the client writes lies in the ring, and what it is lent is of the length
 * that it asked for.
 */
#include <string.h>

#include "../../src/shared/commit-ring.h"
#include "fuzz.h"

enum { data_bytes = 4096, ring_bytes = wmbt_ring_data_at + data_bytes, loan_length = 4096, turns_max = 16 };

static struct {
  _Alignas(4096) uint8_t bytes[ring_bytes];
} ring_memory;

static void make_ring(void) {
  (void)memset(ring_memory.bytes, 0, sizeof ring_memory.bytes);
  struct wmbt_ring_header *header = (void *)ring_memory.bytes;
  (void)memcpy(header->magic, "WKVRING", 8);
  header->version = wmbt_ring_version;
  header->data_bytes = data_bytes;
  header->seed = 7;
  for (uint32_t i = 0; i < wmbt_ring_loans_max; i += 1) {
    header->loans[i] = (struct wmbt_ring_loan){.segment = i, .offset = i, .number = i + 1, .length = loan_length};
  }
}

/* Two bytes say where the piece lies in the header, one how long it is; gives what is left. */
static size_t lay_over(const uint8_t *data, size_t size) {
  if (size < 3) return size;
  const size_t offset = ((size_t)data[0] | (size_t)data[1] << 8) % wmbt_ring_data_at;
  size_t length = data[2] % 32;
  if (length > size - 3) length = size - 3;
  if (length > wmbt_ring_data_at - offset) length = wmbt_ring_data_at - offset;
  (void)memcpy(ring_memory.bytes + offset, data + 3, length);
  return size - 3 - length;
}

static void leave(struct wmbt_ring *ring, uint32_t units) {
  const uint32_t bytes = units * wmbt_ring_unit_bytes;
  uint32_t position = 0;
  bool is_news = false;
  uint8_t *place = wmbt_ring_place(ring, bytes, &position);
  if (place == NULL) return;
  MUST(place >= ring_memory.bytes + wmbt_ring_data_at && place + bytes <= ring_memory.bytes + ring_bytes);
  (void)memset(place, 0x55, bytes);
  MUST(!wmbt_ring_publish(ring, position, bytes, &is_news) || !wmbt_ring_is_closed(ring));
  if (is_news) wmbt_ring_untold(ring);
}

static void take(struct wmbt_ring *ring, size_t count, size_t length) {
  struct wmbt_lent loans[wmbt_ring_loans_max + 1];
  bool is_news = false;
  (void)memset(loans, 0xa5, sizeof loans);
  if (!wmbt_ring_next_loans(ring, count, length, loans)) {
    /* Nothing of it is used. */
    wmbt_ring_want(ring, count, length, &is_news);
    return;
  }
  MUST(count <= wmbt_ring_loans_max);
  for (size_t i = 0; i < count; i += 1) MUST(loans[i].salt == ring->seed);
  wmbt_ring_use_loans(ring, count);
}

/* The store has merged all but so many units, and takes no more for a while when that is an odd number. */
static void merge(const struct wmbt_ring *ring, uint32_t but) {
  struct wmbt_ring_header *header = (void *)ring_memory.bytes;
  const uint32_t used = ring->head - atomic_load(&header->tail);
  atomic_store(&header->is_paused, but & 1);
  if (but < used) atomic_store(&header->tail, ring->head - but);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  make_ring();
  struct wmbt_ring ring;
  const uint8_t *const end = data + size;
  size -= size > 0;
  const unsigned pieces = size > 0 ? end[-1] % 4U : 0;
  for (unsigned i = 0; i < pieces; i += 1) size = lay_over(end - 1 - size, size);
  if (!wmbt_ring_use(&ring, ring_memory.bytes, ring_bytes)) return 0;
  MUST(ring.data_bytes == data_bytes && ring.head == 0 && ring.used == 0);
  for (unsigned turn = 0; turn < turns_max && size > 2; turn += 1) {
    const uint8_t what = end[-1 - (ptrdiff_t)size];
    size -= 1;
    if (what % 4 == 0) leave(&ring, 1U + what / 4);
    else if (what % 4 == 1) take(&ring, 1U + what / 8 * 8, (what & 4) == 0 ? loan_length : loan_length / 2);
    else if (what % 4 == 2) merge(&ring, what / 4);
    else size = lay_over(end - 1 - size, size);
    (void)wmbt_ring_is_open(&ring);
  }
  return 0;
}
