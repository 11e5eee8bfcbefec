#include "shared-lent.h"

#include "../crc32c.h"

/* Whether the extent is still lent as it was when the store said so. */
static bool is_lent(const uint8_t *extent, const struct wmbt_lent *lent) {
  const _Atomic uint32_t *stamp = (const _Atomic uint32_t *)(const void *)(extent + wmbt_lent_stamp_at);
  return lent->number != 0 && atomic_load_explicit(&stamp[1], memory_order_acquire) == lent->number &&
         atomic_load_explicit(&stamp[0], memory_order_acquire) == lent->salt;
}

enum wmbt_fill wmbt_lent_fill(struct wmbt_client *client, uint32_t hazard, uint8_t *segment, size_t segment_bytes,
                              const struct wmbt_lent *lent, const uint8_t *payload, size_t length, uint32_t *crc) {
  const uint64_t start = (uint64_t)lent->offset * wmbt_offset_unit_bytes;
  if (start > segment_bytes || segment_bytes - start < wmbt_lent_payload_at ||
      segment_bytes - start - wmbt_lent_payload_at < length) {
    return wmbt_fill_outside;
  }
  uint8_t *extent = segment + start;
  const uint64_t location = UINT64_C(1) << 63 | (uint64_t)(lent->segment & 0xffff) << 40 | lent->offset;
  wmbt_pin_announce(client, hazard, location);
  /* The store clears the stamp and then looks for hazards, with a full fence between the two, as here. */
  wmbt_pin_fence();
  const bool may_write = is_lent(extent, lent);
  if (may_write) *crc = wmbt_crc32c_copy(0, extent + wmbt_lent_payload_at, payload, length);
  wmbt_pin_release(client, hazard);
  return may_write ? wmbt_filled : wmbt_fill_over;
}
