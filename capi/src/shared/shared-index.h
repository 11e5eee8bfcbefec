/*
 * The index of the memory tier as other processes see it (docs/FORMAT.md draws it, docs/decisions/0066 says why
 * its orderings are enough). One process, the store, writes it; any number map it read-only, find payloads in
 * it, and pin them by words of a second file, which they map writable. No function here makes a system call.
 */
#ifndef WMBT_SHARED_INDEX_H
#define WMBT_SHARED_INDEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  wmbt_index_header_bytes = 4096,
  wmbt_index_names_bytes = 1024 * 128,
  /* Entries that a key may be in, counted from its home. */
  wmbt_index_window = 32,
  wmbt_client_slots = 64,
  wmbt_client_hazards = 1016,
};

/* "WKVIDX1" and a zero, as a little-endian word. */
#define WMBT_INDEX_MAGIC UINT64_C(0x0031584449564b57)

/* What the store says of an index. Nothing is found in one that is not open. */
enum wmbt_index_state {
  wmbt_index_is_open = 0,
  /* The store has closed. */
  wmbt_index_is_closed = 1,
  /* The store writes another one, which has this one's name in the directory, and showed the same at that moment
     (docs/decisions/0100). Written before anything is retired there alone. */
  wmbt_index_is_superseded = 2,
};

struct wmbt_index_header {
  uint64_t magic;
  uint32_t version;
  uint32_t log2_capacity;
  uint64_t segment_bytes;
  /* Names that are whole. Grows only. */
  _Atomic uint32_t names;
  /* One of wmbt_index_state, which is set once. */
  _Atomic uint32_t state;
  /* Where in this file the word is that tells whether the store lives (shared-life.h); 0: there is none. */
  uint32_t life_at;
  /* How many indexes the store made before this one, and one more. */
  uint32_t generation;
  /* Bytes of payloads that one client pins at most; 0: no bound. */
  uint64_t pinned_bytes_max;
  _Alignas(64) unsigned char life[128];
};

_Static_assert(sizeof(struct wmbt_index_header) <= wmbt_index_header_bytes, "a header takes a page");
/* The store reads and writes these by their places, too. */
_Static_assert(offsetof(struct wmbt_index_header, version) == 8, "as the store has it");
_Static_assert(offsetof(struct wmbt_index_header, log2_capacity) == 12, "as the store has it");
_Static_assert(offsetof(struct wmbt_index_header, names) == 24, "as the store has it");
_Static_assert(offsetof(struct wmbt_index_header, state) == 28, "as the store has it");
_Static_assert(offsetof(struct wmbt_index_header, generation) == 36, "as the store has it");
_Static_assert(offsetof(struct wmbt_index_header, pinned_bytes_max) == 40, "as the store has it");

/* Even: stable. Odd: being written. 0: never used. Every word but the first is read and written relaxed. */
struct wmbt_index_entry {
  _Alignas(64) _Atomic uint64_t sequence;
  _Atomic uint64_t key[4];
  /* Bit 63: valid. Bits 56 to 62: where the payload begins in its extent, in units of 32 bytes. Bits 40 to 55:
     segment. Bits 0 to 39: offset of the extent, in units of 4 KiB. 0: removed. */
  _Atomic uint64_t location;
  /* Length of the payload in the low half, its CRC32C in the high one. */
  _Atomic uint64_t extent;
  /* Low half: 15 bits of tokens, a bit for decoded tokens, 16 of the fingerprint's number. High half: the
     number of the namespace above 8 bits of kind. */
  _Atomic uint64_t facts;
};

_Static_assert(sizeof(struct wmbt_index_entry) == 64, "an entry is one line of the cache");
_Static_assert(offsetof(struct wmbt_index_entry, sequence) == 0, "as the store has it");
_Static_assert(offsetof(struct wmbt_index_entry, location) == 40, "as the store has it");
_Static_assert(offsetof(struct wmbt_index_entry, facts) == 56, "as the store has it");

/* The part of a location that says where in its extent the payload begins. */
#define WMBT_LOCATION_SKIP (UINT64_C(127) << 56)

/* Marks in the owner of an entry: the payload is in no file of the cache directory; the object store has it. They are
   for whoever follows a store that died; readers find the payload like any other. The store changes them by one
   store of 32 bits, without a new sequence. */
#define WMBT_OWNER_MARKS UINT32_C(0xc0)

struct wmbt_index {
  struct wmbt_index_header *header;
  struct wmbt_index_entry *entries;
  uint64_t mask;
  /* The thread of the store that lives, by its number in the system; NULL when the store does not show it. */
  const _Atomic uint32_t *life;
};

/* What a client shows of itself. Only its owner writes it, and the store once that is gone. */
struct wmbt_client {
  _Alignas(64) _Atomic uint32_t is_active;
  /* Hazards in use lie below this. Grows only, also when threads of the client announce side by side. */
  _Atomic uint32_t hazards_end;
  /* A number that the client has made up and no other has; 0: none, or the store has cleared it. A client that finds
     another one has lost its place, and with it its pins. */
  _Atomic uint64_t owner;
  /* The generation of the oldest index that the client has mapped; 0: none. The store counts by it what memory indexes
     take that it has superseded, and no more follows from it. */
  _Atomic uint32_t oldest_index;
  uint32_t unused[11];
  /* Locations that the client reads; 0: none. */
  _Atomic uint64_t hazards[wmbt_client_hazards];
};

_Static_assert(sizeof(struct wmbt_client) == 8192, "a client takes two pages");
_Static_assert(offsetof(struct wmbt_client, oldest_index) == 16, "as the store has it");

/* What is stored under a key. */
struct wmbt_found {
  uint64_t sequence;
  uint64_t location;
  uint64_t extent;
  uint64_t facts;
  uint32_t entry;
};

/* Bytes of the file of an index of 2^log2_capacity entries. */
size_t wmbt_index_bytes(uint32_t log2_capacity);

/* Makes an index of memory of zeros. */
bool wmbt_index_create(void *memory, size_t length, uint32_t log2_capacity, uint64_t segment_bytes);

/* Looks at memory that may be anything. False when it is no index, or not as long as it says. */
bool wmbt_index_open(void *memory, size_t length, struct wmbt_index *index);

enum wmbt_index_standing {
  wmbt_index_lives,
  /* The store lives, or did a moment ago, and has another index. */
  wmbt_index_was_replaced,
  /* The store has closed or died, or does not show whether it lives. */
  wmbt_index_has_ended,
};

/* No call to the system. */
enum wmbt_index_standing wmbt_index_standing(const struct wmbt_index *index);

/* The number of an entry for the key that is free or removed; -1 when none is in its window, or the key is. */
int64_t wmbt_index_place(const struct wmbt_index *index, const uint64_t key[4], uint32_t owner);

/* Shows a payload. The entry is one that wmbt_index_place gave. `facts` holds the owner in its high half. */
void wmbt_index_publish(const struct wmbt_index *index, uint32_t entry, const uint64_t key[4],
                        const struct wmbt_found *payload);

/* Shows in another index what the entry shows, with its marks. The number of its entry there; -1 when none is free. */
int64_t wmbt_index_carry(const struct wmbt_index *from, uint32_t entry, const struct wmbt_index *to);

/* Hides what the entry shows. Afterwards wmbt_clients_hold tells whether somebody still reads it. */
void wmbt_index_retire(const struct wmbt_index *index, uint32_t entry);

/*
 * Finds the key for the owner (the number of a namespace above the kind). False also while the entry is being
 * written: the caller asks the store then.
 */
bool wmbt_index_find(const struct wmbt_index *index, const uint64_t key[4], uint32_t owner, struct wmbt_found *found);

/*
 * How many leading keys of an owner are found. Keys are digests of 32 bytes, one after the other, at any address; with
 * `found` each gets what is stored under it.
 */
size_t wmbt_index_find_leading(const struct wmbt_index *index, const uint8_t *keys, size_t count, uint32_t owner,
                               struct wmbt_found *found);

/* Pinning, in two steps around one wmbt_pin_fence_in() for a whole batch. */
void wmbt_pin_announce(struct wmbt_client *client, uint32_t hazard, uint64_t location);
void wmbt_pin_fence(void);
/* The same. False when the index is not the store's any more: then nothing that was announced is pinned. */
bool wmbt_pin_fence_in(const struct wmbt_index *index);
/* True when the announced payload is still shown: it is pinned. Else the hazard is cleared. */
bool wmbt_pin_confirm(const struct wmbt_index *index, struct wmbt_client *client, uint32_t hazard,
                      const struct wmbt_found *found);
void wmbt_pin_release(struct wmbt_client *client, uint32_t hazard);

/* The number of the first client that pins the extent there, wherever in it the payload begins; -1: none.
   Looks after everything that was retired before. */
int wmbt_clients_hold(const struct wmbt_client *clients, uint64_t location);

/* Forgets what a client pinned that is gone. */
void wmbt_client_clear(struct wmbt_client *client);

#endif
