/* A save as it lies in a ring (docs/FORMAT.md, Shared memory; src/cache/ring-layout.ts has the same). */
#ifndef WMBT_RING_ENTRY_H
#define WMBT_RING_ENTRY_H

#include "announced.h"
#include "shared-lent.h"

/*
 * Blocks of one save that is left in a ring, bytes that each of them takes there, and payload bytes of one, and of all.
 */
#define WMBT_RING_BLOCKS_MAX 1024
#define WMBT_RING_BLOCK_BYTES_MIN 512
#define WMBT_RING_PAYLOAD_BYTES_MAX 16384
#define WMBT_RING_SAVE_BYTES_MAX 1048576

enum { wmbt_ring_entry_magic = 0x45564b57, wmbt_ring_key_bytes = 32 };

/* What an entry begins with. Behind it lie the namespace, a row for each block, and the payloads. */
struct wmbt_ring_entry {
  uint32_t magic, bytes;
  /* Of the ring's seed, the position, and all that is described: from the position here to the last row. */
  uint32_t crc;
  uint32_t position, payloads_at;
  uint16_t ns_bytes, flags;
  uint32_t count, reserved;
  uint8_t parent[wmbt_ring_key_bytes], fingerprint[wmbt_ring_key_bytes];
};

/* What is saved; the memory is the caller's. */
struct wmbt_ring_blocks {
  const char *ns;
  size_t ns_bytes;
  /* The key before the first one, and the model; NULL: not known. */
  const uint8_t *parent, *fingerprint;
  /* Digests of 32 bytes, one after the other. */
  const uint8_t *keys;
  size_t count;
  /* One for each block; NULL: nothing is known. */
  const struct wmbt_announced *announced;
  const uint8_t *const *payloads;
  const size_t *lens;
  /*
   * For each of them the memory in which its payload lies by now, and the checksum; NULL: the entry holds the payloads.
   */
  const struct wmbt_lent *loans;
  const uint32_t *crcs;
};

/* How the blocks of a save lie in their entry, of `bytes` in all. */
struct wmbt_ring_layout {
  uint32_t rows_at, payloads_at, bytes;
};

/* False when they are more than a ring is for. */
bool wmbt_ring_lay_out(const struct wmbt_ring_blocks *blocks, struct wmbt_ring_layout *layout);

/* Writes the entry for the position of a ring with that seed. The place is aligned as places of a ring are. */
void wmbt_ring_put_entry(uint8_t *place, const struct wmbt_ring_layout *layout, uint32_t position, uint32_t seed,
                         const struct wmbt_ring_blocks *blocks);

#endif
