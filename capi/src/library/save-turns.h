/*
 * Which payloads of a save the daemon wants, and how each is to come: over the socket as bytes are granted, or into
 * memory that the daemon lends. Grants and loans are for the payloads that are due next, in the order in which they
 * come.
 */
#ifndef WMBT_SAVE_TURNS_H
#define WMBT_SAVE_TURNS_H

#include "messages.h"

/* A payload that is wanted. */
struct wmbt_turn {
  /* Of the payload in the call. */
  uint32_t index;
  /* Of the first payload that a `lent` is for: their number. */
  uint32_t lent_count;
  /* It goes to the place, and not over the socket. */
  bool is_lent;
  struct wmbt_lent place;
};

struct wmbt_turns {
  /* From the last payload to the first. Those before `done` are sent, and those before `allowed` may be. */
  struct wmbt_turn *turns;
  size_t count, allowed, done;
  const size_t *lengths;
  /* Bytes that are granted and not of a payload that may be sent. */
  uint64_t granted;
  /* Of the `lent` that is being filled: its first turn, and the checksums, each at the number of its turn. */
  size_t first;
  uint32_t *crcs;
};

/*
 * Of what is wanted; `lengths` are those of all payloads of the call, and are used as long as this is. The caller frees
 * it. False with a failure.
 */
bool wmbt_turns_begin(struct wmbt_turns *turns, const struct wmbt_wanted *wanted, const size_t *lengths,
                      struct wmbt_failure *failure);
void wmbt_turns_free(struct wmbt_turns *turns);

void wmbt_turns_grant(struct wmbt_turns *turns, uint64_t bytes);

/* False, with a failure `wmbt_lost`, for more places than payloads are due. */
bool wmbt_turns_lend(struct wmbt_turns *turns, const struct wmbt_places *places, struct wmbt_failure *failure);

/* The payload that may be sent next; NULL: none may. */
const struct wmbt_turn *wmbt_turns_next(const struct wmbt_turns *turns);

/* The next one is sent. */
void wmbt_turns_sent(struct wmbt_turns *turns);

/* The next one lies in its place. Gives the checksums to tell now: none until all places of its `lent` are filled. */
const uint32_t *wmbt_turns_filled(struct wmbt_turns *turns, uint32_t crc, size_t *count);

#endif
