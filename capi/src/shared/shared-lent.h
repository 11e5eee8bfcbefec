/*
 * Memory that the store lends to a client for one payload of a save (docs/decisions/0087). The client is told the
 * place, fills it, and says so; then the store accepts the payload where it lies.
 *
 * A loan has a stamp that no other loan has, and the store takes the stamp away before it uses the memory for anything
 * else. A client announces a hazard, looks for the stamp behind a full fence, and only then touches the memory: so
 * however long it was stopped in between, either it finds no stamp, or the store finds the hazard and leaves the memory
 * alone.
 *
 * Stamps lie in a file of their own, all of which has memory from the beginning. Where a loan lay there may be none any
 * more: the store gives memory back, and a read of what has none can end a process (docs/decisions/0112).
 */
#ifndef WMBT_SHARED_LENT_H
#define WMBT_SHARED_LENT_H

#include <stddef.h>
#include <stdint.h>

#include "shared-index.h"

enum {
  /* Where in its extent the payload begins. */
  wmbt_lent_payload_at = 2304,
  /* Stamps that there are; that of a loan is the one at its number modulo this. */
  wmbt_stamps_max = 16384,
  wmbt_offset_unit_bytes = 4096,
  /* Memory whose pages a mapping gets at once. */
  wmbt_lent_touch_bytes = 64 * 1024,
};

/*
 * What the store says is lent now: the salt of its memory and the number of the loan, which is not 0. Of the store
 * alone.
 */
struct wmbt_stamp {
  _Atomic uint32_t salt, number;
};

_Static_assert(sizeof(struct wmbt_stamp) == 8, "a stamp is two words");

/* A segment as a client maps it to fill what it is lent. */
struct wmbt_lent_segment {
  uint8_t *memory;
  size_t bytes;
  /* Those of the store whose segment it is, wmbt_stamps_max of them. */
  const struct wmbt_stamp *stamps;
  /* A bit for each wmbt_lent_touch_bytes that this mapping has pages for; zeros at first. */
  _Atomic uint8_t *touched;
};

/* Bytes of `touched` for a segment of that length. */
static inline size_t wmbt_lent_touched_bytes(size_t segment_bytes) {
  return segment_bytes / wmbt_lent_touch_bytes / 8 + 1;
}

/* What the store says of a loan. The offset is in units of 4 KiB. */
struct wmbt_lent {
  uint32_t segment;
  uint32_t offset;
  uint32_t salt;
  uint32_t number;
};

enum wmbt_fill {
  wmbt_filled,
  /* The memory is lent no more: nothing was written. */
  wmbt_fill_over,
  /* The payload would not lie within the segment. */
  wmbt_fill_outside,
};

/*
 * Copies the payload to the place and gives its CRC32C. The segment is that of the loan. The hazard is the caller's,
 * and is free again afterwards. The bytes are ordered before every later store.
 */
enum wmbt_fill wmbt_lent_fill(struct wmbt_client *client, uint32_t hazard, const struct wmbt_lent_segment *segment,
                              const struct wmbt_lent *lent, const uint8_t *payload, size_t length, uint32_t *crc);

#endif
