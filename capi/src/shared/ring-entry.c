#include "ring-entry.h"

#include <string.h>

#include "../crc32c.h"
#include "commit-ring.h"

/* What an entry says of one block. Fields are little-endian, as all of the shared memory. */
struct row {
  uint8_t key[wmbt_ring_key_bytes];
  uint32_t length, crc, tokens, position, flags, reserved;
};

/* What stands in the place of a payload that lies in lent memory. */
struct reference {
  uint32_t segment, offset, number, reserved;
};

enum {
  /* What the checksum is of begins there. */
  described_at = offsetof(struct wmbt_ring_entry, position),
  parent_flag = 1,
  fingerprint_flag = 2,
  decoded_flag = 1,
  lent_flag = 2,
  alignment = 8,
};

_Static_assert(described_at == 12, "the position follows the checksum");
_Static_assert(sizeof(struct wmbt_ring_entry) == 96, "the namespace lies behind it");
_Static_assert(sizeof(struct row) == 56, "rows follow each other");
_Static_assert(sizeof(struct reference) == 16, "so do references");

static size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

bool wmbt_ring_lay_out(const struct wmbt_ring_blocks *blocks, struct wmbt_ring_layout *layout) {
  const size_t count = blocks->count;
  if (count > WMBT_RING_BLOCKS_MAX) return false;
  size_t payload_bytes = blocks->loans == NULL ? 0 : count * sizeof(struct reference);
  for (size_t i = 0; blocks->loans == NULL && i < count; i += 1) {
    if (blocks->lens[i] > WMBT_RING_PAYLOAD_BYTES_MAX) return false;
    payload_bytes += round_up(blocks->lens[i], alignment);
    if (payload_bytes > WMBT_RING_SAVE_BYTES_MAX) return false;
  }
  const size_t rows_at = sizeof(struct wmbt_ring_entry) + round_up(blocks->ns_bytes, alignment);
  const size_t payloads_at = rows_at + count * sizeof(struct row);
  size_t bytes = round_up(payloads_at + payload_bytes, wmbt_ring_unit_bytes);
  const size_t least = count * WMBT_RING_BLOCK_BYTES_MIN;
  if (bytes < least) bytes = least;
  *layout = (struct wmbt_ring_layout){(uint32_t)rows_at, (uint32_t)payloads_at, (uint32_t)bytes};
  return true;
}

static void put_row(struct row *row, const struct wmbt_ring_blocks *blocks, size_t index, uint32_t crc) {
  static const struct wmbt_announced unknown = {0, WMBT_POSITION_UNKNOWN, false};
  const struct wmbt_announced *announced = blocks->announced == NULL ? &unknown : &blocks->announced[index];
  (void)memcpy(row->key, blocks->keys + index * wmbt_ring_key_bytes, wmbt_ring_key_bytes);
  row->length = (uint32_t)blocks->lens[index];
  row->crc = crc;
  row->tokens = announced->tokens;
  row->position = announced->position;
  const uint32_t decoded = announced->has_decoded_tokens ? decoded_flag : 0;
  row->flags = decoded | (blocks->loans == NULL ? 0 : lent_flag);
  row->reserved = 0;
}

static void put_head(struct wmbt_ring_entry *entry, const struct wmbt_ring_layout *layout, uint32_t position,
                     const struct wmbt_ring_blocks *blocks) {
  (void)memset(entry, 0, layout->rows_at);
  entry->magic = wmbt_ring_entry_magic;
  entry->bytes = layout->bytes;
  entry->position = position;
  entry->payloads_at = layout->payloads_at;
  entry->ns_bytes = (uint16_t)blocks->ns_bytes;
  entry->flags =
      (uint16_t)((blocks->parent == NULL ? 0 : parent_flag) | (blocks->fingerprint == NULL ? 0 : fingerprint_flag));
  entry->count = (uint32_t)blocks->count;
  if (blocks->parent != NULL) (void)memcpy(entry->parent, blocks->parent, wmbt_ring_key_bytes);
  if (blocks->fingerprint != NULL) (void)memcpy(entry->fingerprint, blocks->fingerprint, wmbt_ring_key_bytes);
  (void)memcpy(entry + 1, blocks->ns, blocks->ns_bytes);
}

static uint8_t *put_payload(uint8_t *payload, const struct wmbt_ring_blocks *blocks, size_t index, uint32_t *crc) {
  const size_t length = blocks->lens[index];
  /* Of an empty payload there may be no memory. */
  *crc = length == 0 ? 0 : wmbt_crc32c_copy(0, payload, blocks->payloads[index], length);
  return payload + round_up(length, alignment);
}

static uint8_t *put_reference(uint8_t *place, const struct wmbt_ring_blocks *blocks, size_t index, uint32_t *crc) {
  const struct wmbt_lent *loan = &blocks->loans[index];
  const struct reference reference = {loan->segment, loan->offset, loan->number, 0};
  (void)memcpy(place, &reference, sizeof reference);
  *crc = blocks->crcs[index];
  return place + sizeof reference;
}

/* Payloads first: the checksum of the head covers theirs. */
void wmbt_ring_put_entry(uint8_t *place, const struct wmbt_ring_layout *layout, uint32_t position, uint32_t seed,
                         const struct wmbt_ring_blocks *blocks) {
  struct wmbt_ring_entry *entry = (struct wmbt_ring_entry *)(void *)place;
  put_head(entry, layout, position, blocks);
  uint8_t *payload = place + layout->payloads_at;
  struct row *rows = (struct row *)(void *)(place + layout->rows_at);
  for (size_t i = 0; i < blocks->count; i += 1) {
    uint32_t crc;
    payload = blocks->loans == NULL ? put_payload(payload, blocks, i, &crc) : put_reference(payload, blocks, i, &crc);
    put_row(&rows[i], blocks, i, crc);
  }
  const uint32_t bound[] = {seed, position};
  const uint32_t crc = wmbt_crc32c_append(0, (const uint8_t *)bound, sizeof bound);
  entry->crc = wmbt_crc32c_append(crc, place + described_at, layout->payloads_at - described_at);
}
