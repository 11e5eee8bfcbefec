#include "turns-test.h"

#include <stdlib.h>
#include <string.h>

#include "../../src/library/save-turns.h"
#include "frames-test.h"

enum { payloads_max = 40, steps = 60, rounds = 5000 };

/* A save as its test keeps it: the lengths, and of the wanted payloads from the last on how many may be sent. */
struct model {
  size_t lengths[payloads_max];
  uint32_t due[payloads_max];
  size_t count, allowed, sent;
  uint64_t granted;
};

static void begin(struct model *model, struct wmbt_turns *turns) {
  uint8_t bits[payloads_max / 8 + 1];
  for (size_t i = 0; i < sizeof bits; i += 1) bits[i] = (uint8_t)next_random();
  const uint32_t offered = 1 + (uint32_t)(next_random() % payloads_max);
  *model = (struct model){.granted = next_random() % 100};
  for (uint32_t i = 0; i < offered; i += 1) model->lengths[i] = next_random() % 50;
  for (uint32_t left = offered; left > 0; left -= 1) {
    if (((bits[(left - 1) / 8] >> ((left - 1) % 8)) & 1) != 0) model->due[model->count++] = left - 1;
  }
  const struct wmbt_wanted wanted = {.granted = model->granted, .count = offered, .bits = bits};
  struct wmbt_failure failure;
  expect(wmbt_turns_begin(turns, &wanted, model->lengths, &failure), "turns do not begin");
}

/* Lets payloads be sent as long as what is granted is enough for the next one. */
static void use_grant(struct model *model) {
  for (; model->allowed < model->count; model->allowed += 1) {
    const size_t length = model->lengths[model->due[model->allowed]];
    if (length > model->granted) return;
    model->granted -= length;
  }
}

static void lend(struct model *model, struct wmbt_turns *turns) {
  uint8_t bytes[16 * (payloads_max + 1)];
  const uint32_t count = 1 + (uint32_t)(next_random() % payloads_max);
  for (size_t i = 0; i < sizeof bytes; i += 1) bytes[i] = (uint8_t)next_random();
  const struct wmbt_places places = {count, bytes};
  struct wmbt_failure failure;
  const size_t due = model->count - model->allowed;
  const bool is_taken = wmbt_turns_lend(turns, &places, &failure);
  expect(is_taken == (count <= due), "more places than payloads are taken, or as many are not");
  if (!is_taken) return;
  for (uint32_t i = 0; i < count; i += 1) {
    const struct wmbt_turn *turn = &turns->turns[model->allowed + i];
    expect(turn->is_lent && turn->place.number == wmbt_place_at(&places, i).number, "another place than was lent");
  }
  expect(turns->turns[model->allowed].lent_count == count, "the number of places is not kept");
  model->allowed += count;
  model->granted = 0;
}

/* Sends the next payload, if one may be sent; of places the checksums come together, and in order. */
static void send_one(struct model *model, struct wmbt_turns *turns, size_t *unsaid) {
  const struct wmbt_turn *turn = wmbt_turns_next(turns);
  expect((turn == NULL) == (model->sent == model->allowed), "a payload may be sent too soon, or never");
  if (turn == NULL) return;
  expect(turn->index == model->due[model->sent], "payloads are not sent from the last to the first");
  model->sent += 1;
  if (!turn->is_lent) {
    expect(*unsaid == 0, "a payload is sent among those of a lent");
    wmbt_turns_sent(turns);
    return;
  }
  const uint32_t group = turn->lent_count;
  expect((group > 0) == (*unsaid == 0), "a lent begins within another");
  size_t count = 0;
  const uint32_t *crcs = wmbt_turns_filled(turns, (uint32_t)model->sent, &count);
  *unsaid += 1;
  if (crcs == NULL) return;
  expect(count == *unsaid, "not all checksums of a lent are told");
  for (size_t i = 0; i < count; i += 1) expect(crcs[i] == model->sent - count + 1 + i, "checksums in another order");
  *unsaid = 0;
}

void turns_of_saves(void) {
  size_t whole = 0;
  for (unsigned round = 0; round < rounds; round += 1) {
    struct model model;
    struct wmbt_turns turns;
    begin(&model, &turns);
    use_grant(&model);
    size_t unsaid = 0;
    for (unsigned step = 0; step < steps; step += 1) {
      const uint64_t kind = next_random() % 8;
      if (kind == 0) {
        const uint64_t bytes = next_random() % 64 == 0 ? UINT64_MAX : next_random() % 100;
        model.granted = bytes > UINT64_MAX - model.granted ? UINT64_MAX : model.granted + bytes;
        use_grant(&model);
        wmbt_turns_grant(&turns, bytes);
      } else if (kind == 1) {
        lend(&model, &turns);
      } else {
        send_one(&model, &turns, &unsaid);
      }
    }
    whole += turns.done == turns.count ? 1 : 0;
    wmbt_turns_free(&turns);
  }
  expect(whole > rounds / 4, "hardly a save was sent whole");
}
