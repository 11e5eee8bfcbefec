/*
 * The table of keys that are known in the bucket (known.h) in a file that other processes map (docs/FORMAT.md draws it,
 * docs/decisions/0107 says why its orderings are enough). One process, the store, writes it; any number map it
 * read-only. It is never truncated, and of a region only those pages are read that had memory before. No function here
 * makes a system call.
 */
#ifndef WMBT_KNOWN_FILE_H
#define WMBT_KNOWN_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../known.h"
#include "shared-index.h"

enum {
  wmbt_known_names_at = 4096,
  wmbt_known_names_most = 1024,
  wmbt_known_name_text = 88,
  /* Entries of a shard, as powers of two: of the smallest, and of the largest that a file may have room for. */
  wmbt_known_log2_least = 4,
  wmbt_known_log2_region_least = 8,
  /*
   * Up to here a shard lies among the small ones, which are pages side by side: a fresh file takes its memory in one.
   */
  wmbt_known_log2_small = 8,
  wmbt_known_log2_region_most = 20,
  /* Entries that a search looks at. One that is longer is left to the store. */
  wmbt_known_window = 1024,
};

/* "WKVKNW1" and a zero, as a little-endian word. */
#define WMBT_KNOWN_FILE_MAGIC UINT64_C(0x0031574e4b564b57)

struct wmbt_known_header {
  uint64_t magic;
  uint32_t version;
  /* Entries that the region of a shard has room for, as a power of two. */
  uint32_t log2_region;
  struct wmbt_known_mix mix;
  /* Names that are whole. Grows only. */
  _Atomic uint32_t names;
};

/* A namespace, and the number by which its blocks are known; 0: by none any more. A number is never another name's. */
struct wmbt_known_name {
  _Atomic uint32_t owner;
  uint32_t length;
  char text[wmbt_known_name_text];
};

/* What is said of a shard. */
struct wmbt_known_head {
  /* Even: stable. Odd: being written. */
  _Atomic uint64_t sequence;
  /*
   * Entries that it has now, as a power of two, from the beginning of its page or region on. Grows only, until it is 0:
   * the shard is not here (any more), and the store is asked.
   */
  _Atomic uint32_t log2;
  uint32_t unused;
};

enum {
  wmbt_known_heads_at = wmbt_known_names_at + wmbt_known_names_most * sizeof(struct wmbt_known_name),
  wmbt_known_small_at = wmbt_known_heads_at + wmbt_known_shards * sizeof(struct wmbt_known_head),
  wmbt_known_regions_at =
      wmbt_known_small_at + (wmbt_known_shards * sizeof(struct wmbt_known_entry) << wmbt_known_log2_small),
};

_Static_assert(sizeof(struct wmbt_known_header) <= wmbt_known_names_at, "a header takes a page");
/* The store reads and writes these by their places, too. */
_Static_assert(offsetof(struct wmbt_known_header, names) == 48, "as the store has it");
_Static_assert(offsetof(struct wmbt_known_name, owner) == 0, "as the store has it");
_Static_assert(offsetof(struct wmbt_known_name, length) == 4, "as the store has it");
_Static_assert(offsetof(struct wmbt_known_name, text) == 8, "as the store has it");
_Static_assert(sizeof(struct wmbt_known_name) == 96, "as the store has it");
_Static_assert(wmbt_known_heads_at == 102400, "as the store has it");
_Static_assert(wmbt_known_small_at == 106496, "as the store has it");
_Static_assert(wmbt_known_regions_at == 1155072, "as the store has it");
_Static_assert(wmbt_known_regions_at % 4096 == 0, "regions begin with a page");

/* An entry as several processes see it; struct wmbt_known_entry says what is in it. */
struct wmbt_known_cell {
  _Atomic uint32_t word[wmbt_known_lanes];
};

_Static_assert(sizeof(struct wmbt_known_cell) == sizeof(struct wmbt_known_entry), "both are one entry");

struct wmbt_known_file {
  struct wmbt_known_header *header;
  struct wmbt_known_name *names;
  struct wmbt_known_head *heads;
  struct wmbt_known_cell *small;
  struct wmbt_known_cell *cells;
  uint32_t log2_region;
};

/* Bytes of a file whose shards may have 2^log2_region entries each. */
size_t wmbt_known_file_bytes(uint32_t log2_region);

/* Makes a file of memory of zeros, of which no shard is there yet. */
bool wmbt_known_file_create(void *memory, size_t length, uint32_t log2_region, const struct wmbt_known_mix *mix);

/* Looks at memory that may be anything. False when it is no such file, or not as long as it says. */
bool wmbt_known_file_open(void *memory, size_t length, struct wmbt_known_file *file);

/* Writes one entry of a shard that is there, all of it at once for readers; one of zeros is free. */
void wmbt_known_file_put(const struct wmbt_known_file *file, uint32_t shard, uint32_t slot,
                         const struct wmbt_known_entry *entry);

/*
 * Writes all entries of a shard, 2^log2 of them, in place of what it has: it is there from then on. Readers find it as
 * it was or as it is then. The memory is the caller's.
 */
void wmbt_known_file_place(const struct wmbt_known_file *file, uint32_t shard, const struct wmbt_known_entry *entries,
                           uint32_t log2);

/* The shard is not here any more. Nothing of it is written afterwards. */
void wmbt_known_file_withdraw(const struct wmbt_known_file *file, uint32_t shard);

/* The number by which the blocks of a namespace are known; 0 when the file does not tell. */
uint32_t wmbt_known_file_owner(const struct wmbt_known_file *file, const char *text, size_t length);

/*
 * How many leading keys of the owner are found; less when the store has to be asked for a shard. `is_marked` says
 * whether the last of them is marked. Keys are digests of 32 bytes, one after the other, at any address.
 */
size_t wmbt_known_file_find_leading(const struct wmbt_known_file *file, const uint8_t *keys, size_t count,
                                    uint32_t owner, bool *is_marked);

/* Whose blocks are looked for: the numbers of one namespace in both files; 0: it has none there. */
struct wmbt_owners {
  uint32_t in_index, in_known;
};

/*
 * True when the store would say by what it knows, and without asking the bucket, that all of the keys are stored: each
 * lies in its memory or is known in the bucket, and the last one for certain. `known` is NULL where there is no such
 * file.
 */
bool wmbt_are_stored(const struct wmbt_index *index, const struct wmbt_known_file *known, const uint8_t *keys,
                     size_t count, struct wmbt_owners owners);

#endif
