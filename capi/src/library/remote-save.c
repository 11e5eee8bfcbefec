#include <stdlib.h>

#include "bounds.h"
#include "cancel.h"
#include "clock.h"
#include "remote-use.h"
#include "remote.h"
#include "save-turns.h"
#include "shared-filler.h"

/* A save of one call of the protocol, over all its attempts. */
struct save {
  struct wmbt_keys keys;
  const uint8_t *const *payloads;
  const size_t *lens;
  size_t byte_count;
  bool is_tail;
  struct wmbt_save_options options;
  /* Memory that was lent could not be filled: the next attempt sends everything over the connection. */
  bool is_unfilled;
  /* Of the attempt: what fills memory that is lent (NULL: nothing), what is to be sent, and the answer has come. */
  struct wmbt_filler *filler;
  struct wmbt_turns turns;
  bool is_saved;
  struct wmbt_saved result;
};

static bool send_call(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                      struct wmbt_failure *failure) {
  struct save *save = call->state;
  const struct wmbt_head head = wmbt_call_head(call, save->keys.ns);
  struct wmbt_writer body = {0};
  enum wmbt_frame_type type = wmbt_frame_save;
  if (!save->is_tail) {
    wmbt_encode_save(&body, &head, &save->options, &save->keys, save->lens);
  } else if (save->keys.terms->tokens != NULL) {
    type = wmbt_frame_save_tail;
    wmbt_encode_save_tail(&body, &head, &save->options, &save->keys, save->lens[0]);
  } else {
    type = wmbt_frame_save_raw_tail;
    wmbt_encode_save_raw_tail(&body, &head, &save->options, save->keys.keys, save->lens[0]);
  }
  const bool is_sent =
      wmbt_connection_send_message(connection, type, id, &body, wmbt_call_wait_ms(call), failure);
  wmbt_writer_free(&body);
  return is_sent;
}

static bool send_payload(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id, size_t index,
                         struct wmbt_failure *failure) {
  const struct save *save = call->state;
  union {
    const uint8_t *seen;
    void *sent;
  } const memory = {save->payloads[index]};
  const struct iovec payload = {memory.sent, save->lens[index]};
  const int64_t wait_ms = wmbt_call_wait_ms(call);
  return wmbt_connection_send_payload(connection, id, (uint32_t)index, &payload, wait_ms, failure);
}

/* Reads one frame that is not `wanted`: more is granted or lent, or the call has ended. */
static bool take_answer(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                        struct wmbt_failure *failure) {
  struct save *save = call->state;
  struct wmbt_frame frame;
  struct wmbt_places places;
  uint64_t more;
  if (!wmbt_connection_receive(connection, id, wmbt_call_wait_ms(call), &frame, failure)) return false;
  switch (frame.type) {
    case wmbt_frame_grant:
      if (!wmbt_decode_number("grant", frame.body, &more, failure)) return false;
      wmbt_turns_grant(&save->turns, more);
      return true;
    case wmbt_frame_lent:
      if (save->filler == NULL) return wmbt_call_unexpected(&frame, "a save that fills nothing", failure);
      if (wmbt_decode_lent(frame.body, &places, failure) && wmbt_turns_lend(&save->turns, &places, failure)) {
        return true;
      }
      save->is_unfilled = true;
      return false;
    case wmbt_frame_saved:
      save->is_saved = true;
      return wmbt_decode_saved(frame.body, &save->result, failure);
    case wmbt_frame_resend:
      /* What the daemon had is gone: next time it wants everything. */
      save->options.is_whole = true;
      return wmbt_fail(failure, wmbt_again, "the daemon lost what it had of the blocks");
    default:
      return wmbt_call_unexpected(&frame, "a save", failure);
  }
}

/* Reads `wanted`, and begins the turns with it. */
static bool receive_wanted(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                           struct wmbt_failure *failure) {
  struct save *save = call->state;
  struct wmbt_frame frame;
  struct wmbt_wanted wanted;
  if (!wmbt_connection_receive(connection, id, wmbt_call_wait_ms(call), &frame, failure)) return false;
  if (frame.type != wmbt_frame_wanted) return wmbt_call_unexpected(&frame, "a save", failure);
  if (!wmbt_decode_wanted(frame.body, &wanted, failure)) return false;
  if (wanted.count != save->keys.count) {
    return wmbt_fail(failure, wmbt_lost, "%u payloads are wanted or not; %zu were offered", (unsigned)wanted.count,
                     save->keys.count);
  }
  return wmbt_turns_begin(&save->turns, &wanted, save->lens, failure);
}

/* Copies the next payload to its place, and says so when it is the last one of its `lent`. */
static enum wmbt_filling fill_next(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                                   struct wmbt_failure *failure) {
  struct save *save = call->state;
  const struct wmbt_turn *turn = wmbt_turns_next(&save->turns);
  uint32_t crc = 0;
  const enum wmbt_filling filling = wmbt_filler_fill(save->filler, &turn->place, save->payloads[turn->index],
                                                     save->lens[turn->index], &crc, failure);
  save->is_unfilled = save->is_unfilled || filling == wmbt_filling_failed;
  if (filling != wmbt_filling_done) return filling;
  size_t count;
  const uint32_t *crcs = wmbt_turns_filled(&save->turns, crc, &count);
  if (crcs == NULL) return wmbt_filling_done;
  struct wmbt_writer body = {0};
  wmbt_encode_filled(&body, crcs, count);
  const int64_t wait_ms = wmbt_call_wait_ms(call);
  const bool is_sent = wmbt_connection_send_message(connection, wmbt_frame_filled, id, &body, wait_ms, failure);
  wmbt_writer_free(&body);
  return is_sent ? wmbt_filling_done : wmbt_filling_failed;
}

static enum wmbt_filling send_next(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                                   struct wmbt_failure *failure) {
  struct save *save = call->state;
  const struct wmbt_turn *turn = wmbt_turns_next(&save->turns);
  if (wmbt_cancel_is_set()) {
    (void)wmbt_cancel_fail(failure);
    return wmbt_filling_failed;
  }
  if (turn->is_lent) return fill_next(call, connection, id, failure);
  if (!send_payload(call, connection, id, turn->index, failure)) return wmbt_filling_failed;
  wmbt_turns_sent(&save->turns);
  return wmbt_filling_done;
}

/*
 * Sends what the daemon wants, from the last payload to the first, as it may be. Reads what comes meanwhile, so that a
 * refusal stops the sending. What is lent no more stops it too: what the daemon has to say of that is on its way.
 */
static bool send_wanted(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                        struct wmbt_failure *failure) {
  struct save *save = call->state;
  if (!receive_wanted(call, connection, id, failure)) return false;
  while (save->turns.done < save->turns.count) {
    while (wmbt_turns_next(&save->turns) == NULL || wmbt_connection_has_news(connection)) {
      if (!take_answer(call, connection, id, failure)) return false;
      if (save->is_saved) return wmbt_fail(failure, wmbt_lost, "a save was answered before its payloads were sent");
    }
    const enum wmbt_filling filling = send_next(call, connection, id, failure);
    if (filling == wmbt_filling_over) return true;
    if (filling == wmbt_filling_failed) return false;
  }
  return true;
}

static bool send_unasked(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                         struct wmbt_failure *failure) {
  const struct save *save = call->state;
  for (size_t left = save->keys.count; left > 0; left -= 1) {
    if (!send_payload(call, connection, id, left - 1, failure)) return false;
  }
  return true;
}

static bool send_and_wait(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                          struct wmbt_failure *failure) {
  const struct save *save = call->state;
  if (!send_call(call, connection, id, failure)) return false;
  const bool is_sent = save->options.is_unasked ? send_unasked(call, connection, id, failure)
                                                : send_wanted(call, connection, id, failure);
  if (!is_sent) return false;
  while (!save->is_saved) {
    if (!take_answer(call, connection, id, failure)) return false;
  }
  return true;
}

static bool attempt_save(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                         struct wmbt_failure *failure) {
  struct save *save = call->state;
  const size_t eager = connection->welcome.eager_bytes_max;
  save->is_saved = false;
  save->options.is_unasked = save->byte_count <= (eager < WMBT_EAGER_BYTES_MAX ? eager : WMBT_EAGER_BYTES_MAX);
  const bool may_fill = !save->options.is_unasked && !save->is_unfilled && connection->welcome.may_fill;
  save->filler = may_fill && call->remote->access != NULL ? wmbt_filler_begin(call->remote->access) : NULL;
  save->options.is_filling = save->filler != NULL;
  const bool is_done = send_and_wait(call, connection, id, failure);
  wmbt_turns_free(&save->turns);
  wmbt_filler_end(save->filler);
  return is_done;
}

static size_t sum_of(const size_t *lens, size_t count) {
  size_t sum = 0;
  for (size_t i = 0; i < count; i += 1) sum += lens[i];
  return sum;
}

/* As the terms say, else as the settings do. */
static struct wmbt_save_options options_of(const struct wmbt_remote *remote, const struct wmbt_terms *terms) {
  struct wmbt_save_options options = {.durability = terms->durability, .fingerprint = terms->fingerprint};
  const bool is_unsaid = options.durability == wmbt_as_the_settings_say;
  if (is_unsaid && remote->settings.is_durable) options.durability = wmbt_when_durable;
  return options;
}

void wmbt_remote_fill_by(struct wmbt_mode *mode, struct wmbt_access *access) {
  ((struct wmbt_remote *)mode)->access = access;
}

bool wmbt_remote_is_for_acceptance(const struct wmbt_mode *mode, const struct wmbt_terms *terms) {
  const struct wmbt_remote *remote = (const struct wmbt_remote *)mode;
  const enum wmbt_durability durability = options_of(remote, terms).durability;
  if (durability != wmbt_as_the_settings_say) return durability == wmbt_when_accepted;
  return wmbt_peer_is_accepting(remote->peer);
}

static void add_result(struct wmbt_terms *terms, const struct wmbt_saved *result) {
  terms->saved.saved += result->saved;
  terms->saved.known += result->known;
  terms->saved.saved_bytes += result->saved_bytes;
}

bool wmbt_remote_save(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *const *payloads,
                      const size_t *lens, struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  struct wmbt_terms *terms = keys->terms;
  const int64_t end_ms = wmbt_call_end_ms(terms, remote->settings.save_ms, remote->settings.most_ms);
  terms->saved = (struct wmbt_saved){0};
  /* A list longer than a call goes from its end to its beginning, so that a lookup sees all of it or none. */
  for (size_t end = keys->count; end > 0;) {
    const size_t count = end < WMBT_KEYS_PER_CALL_MAX ? end : WMBT_KEYS_PER_CALL_MAX;
    const size_t start = end - count;
    struct wmbt_terms part = *terms;
    if (part.announced != NULL) part.announced += start;
    struct save save = {
        .keys = {keys->ns, keys->keys + start, count, &part},
        .payloads = payloads + start,
        .lens = lens + start,
        .byte_count = sum_of(lens + start, count),
        .options = options_of(remote, terms),
    };
    save.options.parent = start == 0 ? terms->parent : &keys->keys[start - 1];
    const enum wmbt_use use = save.byte_count <= WMBT_EAGER_BYTES_MAX ? wmbt_small : wmbt_bulk;
    struct wmbt_call call = {
        .remote = remote, .use = use, .end_ms = end_ms, .attempt = attempt_save, .state = &save};
    if (!wmbt_call_run(&call, failure)) return false;
    add_result(terms, &save.result);
    end = start;
  }
  return true;
}

bool wmbt_remote_save_tail(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *bytes, size_t length,
                           struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  struct save save = {
      .keys = *keys,
      .payloads = &bytes,
      .lens = &length,
      .byte_count = length,
      .is_tail = true,
      .options = options_of(remote, keys->terms),
  };
  const enum wmbt_use use = length <= WMBT_EAGER_BYTES_MAX ? wmbt_small : wmbt_bulk;
  const int64_t end_ms = wmbt_call_end_ms(keys->terms, remote->settings.tail_ms, remote->settings.most_ms);
  struct wmbt_call call = {
      .remote = remote, .use = use, .end_ms = end_ms, .attempt = attempt_save, .state = &save};
  if (!wmbt_call_run(&call, failure)) return false;
  keys->terms->saved = save.result;
  return true;
}
