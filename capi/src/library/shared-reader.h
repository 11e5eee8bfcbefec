/*
 * The memory of a store on this host, read where it lies: without a call to the system and without a copy. What is
 * found is there; what is not found may be elsewhere, and the store knows. Every function may be called by many
 * threads at once.
 */
#ifndef WMBT_SHARED_READER_H
#define WMBT_SHARED_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../shared/known-file.h"
#include "../shared/shared-index.h"
#include "borrow.h"
#include "descriptor.h"
#include "mode.h"

/* Files of payloads, at most; and the bytes of the longest path of a directory. */
enum { wmbt_segments_max = 256, wmbt_directory_max = 4096 };

/* Bytes that a file of clients has at least. */
enum { wmbt_clients_bytes_min = wmbt_client_slots * sizeof(struct wmbt_client) };

/* What lies in memory, as an owner says it below the number of its namespace. */
enum wmbt_kind { wmbt_kind_block = 1, wmbt_kind_tail = 2, wmbt_kind_raw_tail = 3 };

struct wmbt_lent_segment;
struct wmbt_stamp;

/*
 * An index as a reader has it mapped. When the store has rebuilt its index (docs/decisions/0100) the reader maps the
 * new one, and the old one goes with the last call that looks into it.
 */
struct wmbt_view {
  struct wmbt_reader *reader;
  struct wmbt_index index;
  size_t bytes;
  /* Guarded by the lock of the readers: calls that may look into it, and the view that this one came after. */
  size_t calls;
  struct wmbt_view *older;
};

struct wmbt_reader {
  /* Of the list of all readers, under the lock: fork() has to find them (shared-fork.c). */
  struct wmbt_reader *next;
  struct wmbt_client *clients;
  size_t clients_bytes;
  /* By which it sees what the store lends; NULL: nothing is filled. */
  const struct wmbt_stamp *stamps;
  size_t stamps_bytes;
  uint64_t segment_bytes;
  /* What is pinned may be at most so long, so that one client cannot pin the whole memory tier. */
  uint64_t pinned_bytes_max;
  /* What the store knows in the bucket; no bytes: it does not tell. */
  struct wmbt_known_file known;
  size_t known_bytes;
  /* Mapped when something in them is first found, and as long as the reader is there. */
  _Atomic(uint8_t *) segments[wmbt_segments_max];
  /* The same once more, as they are written to, where something was filled (shared-filler.c). */
  _Atomic(struct wmbt_lent_segment *) writable[wmbt_segments_max];
  /* What of them was used, as the store is told (shared-uses.c), and whether that cannot be had. */
  _Atomic(_Atomic uint8_t *) uses_of[wmbt_segments_max];
  _Atomic bool notes_no_uses;
  /* Something of it cannot be had: it finds nothing any more, and what is pinned stays. */
  _Atomic bool is_broken;

  /* All below is guarded by the lock. The newest view; older ones are in use. */
  struct wmbt_view *view;
  /* What uses the reader, borrows among it; the last one ends it. */
  size_t uses, borrows;
  /* The part of `clients` that is this process's, and the open file by which it is locked; -1: no part is. */
  uint32_t slot;
  struct wmbt_descriptor lock;
  /* What it shows there, by which it sees whether the part is still its own. */
  uint64_t owner;
  /* Those of a child that is being forked; -1: none. */
  uint32_t child_slot;
  struct wmbt_descriptor child_lock;
  uint64_t child_owner;
  /* Two processes have the same pins, so neither gives them up. */
  bool is_frozen;
  /* Hazards by which saves are filled: a forked child does not take them over. */
  bool is_filling[wmbt_client_hazards];
  /* Until then nothing is filled: memory could not be mapped. */
  int64_t fill_again_ms;
  /* Bytes of the payloads that are pinned. */
  uint64_t pinned_bytes;
  /* Hazards that pin nothing: the first so many. */
  uint32_t free_count;
  uint16_t free[wmbt_client_hazards];
  char directory[wmbt_directory_max];
};

/*
 * Joins the clients of the store whose shared memory is in the directory; the caller uses the reader. NULL when there
 * is none, when it is dead, foreign or of another version, or has no room for one more client.
 */
struct wmbt_reader *wmbt_reader_open(const char *directory);

/*
 * False once the store has closed or died: what it had is elsewhere. An index that the store has rebuilt is mapped,
 * which takes system calls, and is the view from then on. The lock of the readers is held.
 */
bool wmbt_reader_is_open(struct wmbt_reader *reader);

/* One use more, for a call that looks into the index of now. The lock of the readers is held. */
struct wmbt_view *wmbt_view_use(struct wmbt_reader *reader);

/*
 * Whether the part of `clients` is still this process's: an engine that closes all descriptors has closed the lock, and
 * another client may have the part, or the store have cleared it. The lock of the readers is held.
 */
bool wmbt_reader_has_place(const struct wmbt_reader *reader);

/* One use less, of which the last one parts from the store. */
void wmbt_reader_leave(struct wmbt_reader *reader);

/* The same for the use of a call. */
void wmbt_view_leave(struct wmbt_view *view);

/* Unmaps and frees what has no place among the clients, or none any more. */
void wmbt_reader_free(struct wmbt_reader *reader);

/* The part of that which is for memory that was filled (shared-filler.c). */
void wmbt_filler_unmap(struct wmbt_reader *reader);

/* The owner of the namespace's payloads of the kind in the index; 0 when the store knows no such name. */
uint32_t wmbt_view_owner(const struct wmbt_view *view, const char *ns, enum wmbt_kind kind);

/* How many leading keys are in memory now. */
size_t wmbt_reader_find(const struct wmbt_view *view, const struct wmbt_keys *keys);

/* The keys that are in memory are of use, though nothing of them is lent. */
void wmbt_reader_note_uses(const struct wmbt_view *view, const struct wmbt_keys *keys);

/* The same of one payload of any kind. False when it is not in memory. */
bool wmbt_reader_note_use(const struct wmbt_view *view, const char *ns, const struct wmbt_key *key,
                          enum wmbt_kind kind);

/*
 * Lends the borrow, in which there are none but such, the payloads of the leading keys that are in memory behind those
 * that it has, as far as there are hazards and as is pinned at most. The caller's use of the view is over with it. The
 * key of a tail is its digest, that of a raw tail its tip.
 */
void wmbt_reader_lend(struct wmbt_view *view, const struct wmbt_keys *keys, enum wmbt_kind kind,
                      struct wmbt_borrow *borrow);

#endif
