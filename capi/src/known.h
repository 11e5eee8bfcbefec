/*
 * The table of keys that are known in the bucket, as src/catalog/known-table.ts keeps it: shards of 16-byte entries,
 * each found by a tag of 13 bytes that is mixed of all of the key (docs/decisions/0034). This file computes what that
 * one computes, and is held to it by the same tests.
 */
#ifndef WMBT_KNOWN_H
#define WMBT_KNOWN_H

#include <stddef.h>
#include <stdint.h>

enum { wmbt_known_shards = 256, wmbt_known_lanes = 4 };

/* Greatest number of an owner: the last word of an entry has it in its low bits. 0 owns nothing. */
#define WMBT_KNOWN_OWNER_MOST UINT32_C(0x3fffff)
/* Bits of the last word beside the owner and the tag's last byte: it was found since the hand came by, it is marked. */
#define WMBT_KNOWN_FOUND (UINT32_C(1) << 23)
#define WMBT_KNOWN_MARK (UINT32_C(1) << 22)

/* What is mixed into keys, drawn anew for each table: a multiplier for each lane, and where the lane begins. */
struct wmbt_known_mix {
  uint32_t multipliers[wmbt_known_lanes];
  uint32_t starts[wmbt_known_lanes];
};

/* A tag as an entry holds it; all zeros in a free one. */
struct wmbt_known_entry {
  uint32_t word[wmbt_known_lanes];
};

struct wmbt_known_shard {
  /* As many as `mask` says and one; at least one is free, or a search would have no end. */
  struct wmbt_known_entry *entries;
  uint32_t mask;
};

struct wmbt_known_table {
  struct wmbt_known_mix mix;
  struct wmbt_known_shard shards[wmbt_known_shards];
};

/* Makes the tag of a key, at any address, for the owner; gives the number of the shard in which it belongs. */
uint32_t wmbt_known_tag(const struct wmbt_known_mix *mix, uint32_t owner, const uint8_t key[32],
                        struct wmbt_known_entry *tag);

/*
 * How many leading keys the owner has in the table. Keys are digests of 32 bytes, one after the other, at any address.
 * What is found is marked as found since. The memory that entries lie in is fetched ahead, for many keys at once.
 */
size_t wmbt_known_find_leading(const struct wmbt_known_table *table, const uint8_t *keys, size_t count,
                               uint32_t owner);

#endif
