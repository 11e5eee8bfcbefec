#include "ring-entry.h"

#include <string.h>

#include "../crc32c.h"
#include "bounds.h"
#include "bytes.h"
#include "commit-ring.h"

enum {
  crc_at = 8,
  /* What the checksum is of begins there. */
  described_at = 12,
  parent_at = 32,
  fingerprint_at = 64,
  ns_at = 96,
  row_bytes = 56,
  parent_flag = 1,
  fingerprint_flag = 2,
  decoded_flag = 1,
  lent_flag = 2,
  alignment = 8,
  /* What stands in the place of a payload that lies in lent memory. */
  reference_bytes = 16,
};

static size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

bool wmbt_ring_lay_out(const struct wmbt_ring_blocks *blocks, struct wmbt_ring_layout *layout) {
  const size_t count = blocks->keys->count;
  if (count > WMBT_RING_BLOCKS_MAX) return false;
  size_t payload_bytes = blocks->loans == NULL ? 0 : count * reference_bytes;
  for (size_t i = 0; blocks->loans == NULL && i < count; i += 1) {
    if (blocks->lens[i] > WMBT_RING_PAYLOAD_BYTES_MAX) return false;
    payload_bytes += round_up(blocks->lens[i], alignment);
    if (payload_bytes > WMBT_RING_SAVE_BYTES_MAX) return false;
  }
  const size_t ns_bytes = strlen(blocks->keys->ns);
  const size_t rows_at = ns_at + round_up(ns_bytes, alignment);
  const size_t payloads_at = rows_at + count * row_bytes;
  size_t bytes = round_up(payloads_at + payload_bytes, wmbt_ring_unit_bytes);
  const size_t least = count * WMBT_RING_BLOCK_BYTES_MIN;
  if (bytes < least) bytes = least;
  *layout = (struct wmbt_ring_layout){(uint32_t)ns_bytes, (uint32_t)rows_at, (uint32_t)payloads_at, (uint32_t)bytes};
  return true;
}

static void put_u16(uint8_t *bytes, uint32_t value) {
  bytes[0] = (uint8_t)value;
  bytes[1] = (uint8_t)(value >> 8);
}

/* What an entry says of one block, whose payload has that checksum. */
static void put_row(uint8_t *row, const struct wmbt_ring_blocks *blocks, size_t index, uint32_t crc) {
  const struct wmbt_terms *terms = blocks->keys->terms;
  static const struct wmbt_announced unknown = {0, WMBT_POSITION_UNKNOWN, false};
  const struct wmbt_announced *announced = terms->announced == NULL ? &unknown : &terms->announced[index];
  (void)memcpy(row, blocks->keys->keys[index].bytes, 32);
  wmbt_put_u32(row + 32, (uint32_t)blocks->lens[index]);
  wmbt_put_u32(row + 36, crc);
  wmbt_put_u32(row + 40, announced->tokens);
  wmbt_put_u32(row + 44, announced->position);
  const uint32_t decoded = announced->has_decoded_tokens ? decoded_flag : 0;
  wmbt_put_u32(row + 48, decoded | (blocks->loans == NULL ? 0 : lent_flag));
  wmbt_put_u32(row + 52, 0);
}

static void put_head(uint8_t *entry, const struct wmbt_ring_layout *layout, uint32_t position,
                     const struct wmbt_ring_blocks *blocks) {
  const struct wmbt_terms *terms = blocks->keys->terms;
  (void)memset(entry, 0, layout->rows_at);
  wmbt_put_u32(entry, wmbt_ring_entry_magic);
  wmbt_put_u32(entry + 4, layout->bytes);
  wmbt_put_u32(entry + described_at, position);
  wmbt_put_u32(entry + 16, layout->payloads_at);
  put_u16(entry + 20, layout->ns_bytes);
  put_u16(entry + 22, (terms->parent == NULL ? 0u : parent_flag) | (terms->fingerprint == NULL ? 0u : fingerprint_flag));
  wmbt_put_u32(entry + 24, (uint32_t)blocks->keys->count);
  if (terms->parent != NULL) (void)memcpy(entry + parent_at, terms->parent->bytes, 32);
  if (terms->fingerprint != NULL) (void)memcpy(entry + fingerprint_at, terms->fingerprint->bytes, 32);
  (void)memcpy(entry + ns_at, blocks->keys->ns, layout->ns_bytes);
}

static uint8_t *put_payload(uint8_t *payload, const struct wmbt_ring_blocks *blocks, size_t index, uint32_t *crc) {
  const size_t length = blocks->lens[index];
  /* Of an empty payload there may be no memory. */
  *crc = length == 0 ? 0 : wmbt_crc32c_copy(0, payload, blocks->payloads[index], length);
  return payload + round_up(length, alignment);
}

static uint8_t *put_reference(uint8_t *reference, const struct wmbt_ring_blocks *blocks, size_t index, uint32_t *crc) {
  const struct wmbt_lent *loan = &blocks->loans[index];
  wmbt_put_u32(reference, loan->segment);
  wmbt_put_u32(reference + 4, loan->offset);
  wmbt_put_u32(reference + 8, loan->number);
  wmbt_put_u32(reference + 12, 0);
  *crc = blocks->crcs[index];
  return reference + reference_bytes;
}

/* Payloads first: the checksum of the head covers theirs. */
void wmbt_ring_put_entry(uint8_t *entry, const struct wmbt_ring_layout *layout, uint32_t position, uint32_t seed,
                         const struct wmbt_ring_blocks *blocks) {
  put_head(entry, layout, position, blocks);
  uint8_t *payload = entry + layout->payloads_at;
  for (size_t i = 0; i < blocks->keys->count; i += 1) {
    uint32_t crc;
    payload = blocks->loans == NULL ? put_payload(payload, blocks, i, &crc) : put_reference(payload, blocks, i, &crc);
    put_row(entry + layout->rows_at + i * row_bytes, blocks, i, crc);
  }
  uint8_t place[8];
  wmbt_put_u32(place, seed);
  wmbt_put_u32(place + 4, position);
  const uint32_t crc = wmbt_crc32c_append(0, place, sizeof place);
  wmbt_put_u32(entry + crc_at, wmbt_crc32c_append(crc, entry + described_at, layout->payloads_at - described_at));
}
