/* A save as it lies in a ring (docs/FORMAT.md, Shared memory; src/cache/ring-layout.ts has the same). */
#ifndef WMBT_RING_ENTRY_H
#define WMBT_RING_ENTRY_H

#include "../shared/shared-lent.h"
#include "mode.h"

/* What is saved. */
struct wmbt_ring_blocks {
  const struct wmbt_keys *keys;
  const uint8_t *const *payloads;
  const size_t *lens;
  /* For each of them the memory in which its payload lies by now, and the checksum; NULL: the entry holds the payloads. */
  const struct wmbt_lent *loans;
  const uint32_t *crcs;
};

/* How the blocks of a save lie in their entry, of `bytes` in all. */
struct wmbt_ring_layout {
  uint32_t ns_bytes, rows_at, payloads_at, bytes;
};

/* False when they are more than a ring is for. */
bool wmbt_ring_lay_out(const struct wmbt_ring_blocks *blocks, struct wmbt_ring_layout *layout);

/* Writes the entry for the position of a ring with that seed. */
void wmbt_ring_put_entry(uint8_t *entry, const struct wmbt_ring_layout *layout, uint32_t position, uint32_t seed,
                         const struct wmbt_ring_blocks *blocks);

#endif
