#include "shared-lent.h"

#include "../crc32c.h"

/* Whether the extent is still lent as it was when the store said so. The extent is not looked at. */
static bool is_lent(const struct wmbt_stamp *stamps, const struct wmbt_lent *lent) {
  const struct wmbt_stamp *stamp = &stamps[lent->number % wmbt_stamps_max];
  return lent->number != 0 && atomic_load_explicit(&stamp->number, memory_order_acquire) == lent->number &&
         atomic_load_explicit(&stamp->salt, memory_order_acquire) == lent->salt;
}

/*
 * Has the system map the pages of the range, where this mapping has not met them. The range is lent, so it has memory.
 * A page is read first: whoever only reads gets huge pages whole and others sixteen at a time, and those of a shared
 * file in memory may be written to as well, where a writer takes a fault for each page (docs/decisions/0110).
 */
static void touch(const struct wmbt_lent_segment *segment, uint64_t start, uint64_t end) {
  const uint64_t first = start / wmbt_lent_touch_bytes, last = (end - 1) / wmbt_lent_touch_bytes;
  for (uint64_t at = first; at <= last; at += 1) {
    const uint8_t bit = (uint8_t)(1u << (at % 8));
    const uint8_t before = atomic_fetch_or_explicit(&segment->touched[at / 8], bit, memory_order_relaxed);
    const uint64_t place = at == first ? start : at * wmbt_lent_touch_bytes;
    if ((before & bit) == 0) (void)*(const volatile uint8_t *)(segment->memory + place);
  }
}

enum wmbt_fill wmbt_lent_fill(struct wmbt_client *client, uint32_t hazard, const struct wmbt_lent_segment *segment,
                              const struct wmbt_lent *lent, const uint8_t *payload, size_t length, uint32_t *crc) {
  const uint64_t start = (uint64_t)lent->offset * wmbt_offset_unit_bytes;
  if (start > segment->bytes || segment->bytes - start < wmbt_lent_payload_at ||
      segment->bytes - start - wmbt_lent_payload_at < length) {
    return wmbt_fill_outside;
  }
  uint8_t *extent = segment->memory + start;
  const uint64_t location = UINT64_C(1) << 63 | (uint64_t)(lent->segment & 0xffff) << 40 | lent->offset;
  wmbt_pin_announce(client, hazard, location);
  /* The store clears the stamp and then looks for hazards, with a full fence between the two, as here. */
  wmbt_pin_fence();
  const bool may_write = is_lent(segment->stamps, lent);
  if (may_write) {
    touch(segment, start, start + wmbt_lent_payload_at + length);
    *crc = wmbt_crc32c_copy(0, extent + wmbt_lent_payload_at, payload, length);
  }
  wmbt_pin_release(client, hazard);
  return may_write ? wmbt_filled : wmbt_fill_over;
}
