#include "save-turns.h"

#include <stdlib.h>

static bool is_wanted(const struct wmbt_wanted *wanted, uint32_t index) {
  return ((wanted->bits[index >> 3] >> (index & 7)) & 1) != 0;
}

bool wmbt_turns_begin(struct wmbt_turns *turns, const struct wmbt_wanted *wanted, const size_t *lengths,
                      struct wmbt_failure *failure) {
  size_t count = 0;
  for (uint32_t i = 0; i < wanted->count; i += 1) count += is_wanted(wanted, i) ? 1 : 0;
  *turns = (struct wmbt_turns){.count = count, .lengths = lengths};
  if (count == 0) return true;
  turns->turns = calloc(count, sizeof *turns->turns + sizeof *turns->crcs);
  if (turns->turns == NULL) return wmbt_fail(failure, wmbt_no_memory, "unavailable: no memory for a save");
  turns->crcs = (uint32_t *)(void *)(turns->turns + count);
  for (uint32_t left = wanted->count, at = 0; left > 0; left -= 1) {
    if (is_wanted(wanted, left - 1)) turns->turns[at++].index = left - 1;
  }
  wmbt_turns_grant(turns, wanted->granted);
  return true;
}

void wmbt_turns_free(struct wmbt_turns *turns) {
  free(turns->turns);
  *turns = (struct wmbt_turns){0};
}

void wmbt_turns_grant(struct wmbt_turns *turns, uint64_t bytes) {
  turns->granted = bytes > UINT64_MAX - turns->granted ? UINT64_MAX : turns->granted + bytes;
  for (; turns->allowed < turns->count; turns->allowed += 1) {
    const size_t length = turns->lengths[turns->turns[turns->allowed].index];
    if (length > turns->granted) return;
    turns->granted -= length;
  }
}

bool wmbt_turns_lend(struct wmbt_turns *turns, const struct wmbt_places *places, struct wmbt_failure *failure) {
  const size_t due = turns->count - turns->allowed;
  if (places->count > due) {
    return wmbt_fail(failure, wmbt_lost, "memory for %u payloads is lent; %zu are due", (unsigned)places->count, due);
  }
  /* What was granted before was for payloads before these. */
  turns->granted = 0;
  for (uint32_t i = 0; i < places->count; i += 1) {
    struct wmbt_turn *turn = &turns->turns[turns->allowed + i];
    turn->is_lent = true;
    turn->place = wmbt_place_at(places, i);
  }
  turns->turns[turns->allowed].lent_count = places->count;
  turns->allowed += places->count;
  return true;
}

const struct wmbt_turn *wmbt_turns_next(const struct wmbt_turns *turns) {
  return turns->done < turns->allowed ? &turns->turns[turns->done] : NULL;
}

void wmbt_turns_sent(struct wmbt_turns *turns) { turns->done += 1; }

const uint32_t *wmbt_turns_filled(struct wmbt_turns *turns, uint32_t crc, size_t *count) {
  if (turns->turns[turns->done].lent_count > 0) turns->first = turns->done;
  turns->crcs[turns->done] = crc;
  turns->done += 1;
  *count = turns->done - turns->first;
  return *count == turns->turns[turns->first].lent_count ? turns->crcs + turns->first : NULL;
}
