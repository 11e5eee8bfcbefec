/*
 * The client's side of a commit ring: a file of the store's shared memory in which one client leaves saves, each of
 * which is accepted from the moment when the head has moved behind it (docs/FORMAT.md, Shared memory;
 * docs/decisions/0099). src/cache/ring-layout.ts has the same.
 *
 * The client moves the head and then looks whether the ring is closed; whoever closes it then looks for the head, with
 * a full fence between the two on both sides. So of each save either the client learns that it was not taken here, or
 * it is found.
 */
#ifndef WMBT_COMMIT_RING_H
#define WMBT_COMMIT_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared-lent.h"

enum {
  wmbt_ring_data_at = 4096,
  /* What positions count in. */
  wmbt_ring_unit_bytes = 64,
  wmbt_ring_version = 1,
  /* Loans that the store has made ahead of need and the client has not used, at most. */
  wmbt_ring_loans_max = 128,
};

/* Memory for one payload of exactly that length. Its stamp is of the ring's seed and the number. */
struct wmbt_ring_loan {
  uint32_t segment, offset, number, length;
};

/* The file's first page. Each word that changes has a cache line of its own. */
struct wmbt_ring_header {
  char magic[8];
  uint32_t version, data_bytes, seed;
  uint8_t reserved_0[44];
  /* Where the next entry goes, in units, counting up and beginning at 0 again; written by the client. */
  _Atomic uint32_t head;
  uint8_t reserved_1[60];
  /* What the store has not taken yet begins there; written by the store. */
  _Atomic uint32_t tail;
  uint8_t reserved_2[60];
  /* Nothing is accepted here any more; written by the store, or whoever follows it. */
  _Atomic uint32_t is_closed;
  uint8_t reserved_3[60];
  /* The store has been told that there is news. */
  _Atomic uint32_t is_told;
  uint8_t reserved_4[60];
  /* The store has no room for more that is accepted; written by the store. */
  _Atomic uint32_t is_paused;
  uint8_t reserved_5[60];
  /* For how many payloads of what length the client wants memory; written by the client. */
  _Atomic uint32_t wanted_bytes, wanted_count;
  uint8_t reserved_6[56];
  /* Loans that were made, counting up and beginning at 0 again; written by the store. Each is at its number below. */
  _Atomic uint32_t lent;
  uint8_t reserved_7[572];
  struct wmbt_ring_loan loans[wmbt_ring_loans_max];
};

/* The store reads and writes these by their places. */
_Static_assert(offsetof(struct wmbt_ring_header, version) == 8, "as the store has it");
_Static_assert(offsetof(struct wmbt_ring_header, data_bytes) == 12, "as the store has it");
_Static_assert(offsetof(struct wmbt_ring_header, seed) == 16, "as the store has it");
_Static_assert(offsetof(struct wmbt_ring_header, head) == 64, "as the store has it");
_Static_assert(offsetof(struct wmbt_ring_header, tail) == 128, "as the store has it");
_Static_assert(offsetof(struct wmbt_ring_header, is_closed) == 192, "as the store has it");
_Static_assert(offsetof(struct wmbt_ring_header, is_told) == 256, "as the store has it");
_Static_assert(offsetof(struct wmbt_ring_header, is_paused) == 320, "as the store has it");
_Static_assert(offsetof(struct wmbt_ring_header, wanted_bytes) == 384, "as the store has it");
_Static_assert(offsetof(struct wmbt_ring_header, wanted_count) == 388, "as the store has it");
_Static_assert(offsetof(struct wmbt_ring_header, lent) == 448, "as the store has it");
_Static_assert(offsetof(struct wmbt_ring_header, loans) == 1024, "as the store has it");
_Static_assert(sizeof(struct wmbt_ring_loan) == 16, "as the store has it");

/* A ring as one client has it mapped. One thread at a time uses it. */
struct wmbt_ring {
  struct wmbt_ring_header *header;
  size_t bytes;
  uint32_t data_bytes, seed;
  /* Where the next entry goes, as this client knows it: what stands in the file it does not believe. */
  uint32_t head;
  /* Loans that it has used. */
  uint32_t used;
  /* The length of the last payloads for which there were loans of another one. */
  size_t other_length;
};

/* Whether the memory is a new ring, of this version; then `ring` is it. */
bool wmbt_ring_use(struct wmbt_ring *ring, void *memory, size_t bytes);

/* Whether nothing is accepted here ever again, and whether something may be left here now. */
bool wmbt_ring_is_closed(const struct wmbt_ring *ring);
bool wmbt_ring_is_open(const struct wmbt_ring *ring);

/*
 * A place for an entry of so many bytes, a multiple of units: its memory is the caller's until the entry is published
 * or another place is asked for. NULL when there is no room now. Gives the entry's position, which its checksum binds.
 */
uint8_t *wmbt_ring_place(struct wmbt_ring *ring, uint32_t bytes, uint32_t *position);

/*
 * Leaves the entry of the place asked for last, as long as it was asked for. False when the ring was closed meanwhile:
 * then nobody may count on the entry. `is_news` says that the store has to be told.
 */
bool wmbt_ring_publish(struct wmbt_ring *ring, uint32_t position, uint32_t bytes, bool *is_news);

/*
 * The next `count` loans, when there are so many, all of that length: false, and nothing is written, when not. They are
 * used only when `wmbt_ring_use_loans` says so.
 */
bool wmbt_ring_next_loans(const struct wmbt_ring *ring, size_t count, size_t length, struct wmbt_lent *loans);
void wmbt_ring_use_loans(struct wmbt_ring *ring, size_t count);

/*
 * There were no loans for payloads of that length: says that the client wants so many of them. For another length the
 * store gives up what it lent for the one before, with the ring: so only when it is the second time in a row. `is_news`
 * says that the store has to be told.
 */
void wmbt_ring_want(struct wmbt_ring *ring, size_t count, size_t length, bool *is_news);

/* The store could not be told: whoever leaves something next tells it. */
void wmbt_ring_untold(struct wmbt_ring *ring);

#endif
