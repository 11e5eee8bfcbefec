#include <stdatomic.h>
#include <stdlib.h>

#include "bounds.h"
#include "clock.h"
#include "remote.h"
#include "shared-lender.h"

/*
 * A load over all its attempts. What came before a connection was lost is not asked for again: the borrow's `filled`
 * says how far it got.
 */
struct load {
  struct wmbt_load_progress progress;
  bool is_tail;
};

/* What is borrowed stands before what came over a connection. */
static bool may_borrow(const struct wmbt_call *call, const struct wmbt_connection *connection) {
  const struct wmbt_remote *remote = call->remote;
  const struct load *load = call->state;
  const struct wmbt_borrow *borrow = load->progress.borrow;
  const struct wmbt_welcome *welcome = &connection->welcome;
  return (load->is_tail ? welcome->may_borrow_tails : welcome->may_borrow) && remote->access != NULL &&
         borrow->lent == borrow->filled &&
         wmbt_now_ms() >= atomic_load_explicit(&remote->borrow_again_ms, memory_order_relaxed);
}

static bool send_load(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                      struct wmbt_failure *failure) {
  const struct load *load = call->state;
  const struct wmbt_keys *keys = load->progress.keys;
  const struct wmbt_head head = wmbt_call_head(call, keys->ns);
  const size_t first = load->progress.borrow->filled;
  const struct wmbt_keys rest = {keys->ns, keys->keys + first, load->progress.end - first, keys->terms};
  struct wmbt_writer body = {0};
  enum wmbt_frame_type type = wmbt_frame_load;
  if (!load->is_tail) {
    wmbt_encode_load(&body, &head, &rest, may_borrow(call, connection));
  } else if (rest.terms->tokens != NULL) {
    type = wmbt_frame_load_tail;
    wmbt_encode_load_tail(&body, &head, &rest, may_borrow(call, connection));
  } else {
    type = may_borrow(call, connection) ? wmbt_frame_borrow_raw_tail : wmbt_frame_load_raw_tail;
    wmbt_encode_load_raw_tail(&body, &head, rest.keys);
  }
  const bool is_sent =
      wmbt_connection_send_message(connection, type, id, &body, wmbt_call_wait_ms(call), failure);
  wmbt_writer_free(&body);
  return is_sent;
}

/* The pieces of a payload, straight into its place. */
static bool receive_pieces(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id, uint8_t *into,
                           const struct wmbt_payload_notice *notice, struct wmbt_failure *failure) {
  const int64_t wait_ms = wmbt_call_wait_ms(call);
  uint32_t crc = 0;
  for (uint32_t filled = 0; filled < notice->length;) {
    struct wmbt_frame frame;
    if (!wmbt_connection_receive(connection, id, wait_ms, &frame, failure)) return false;
    if (frame.type != wmbt_frame_data) return wmbt_call_unexpected(&frame, "a payload", failure);
    if (frame.length == 0 || frame.length > notice->length - filled) {
      return wmbt_fail(failure, wmbt_lost, "a piece of %u bytes came; %u are due", (unsigned)frame.length,
                       (unsigned)(notice->length - filled));
    }
    if (!wmbt_connection_receive_data(connection, into + filled, frame.length, &crc, wait_ms, failure)) return false;
    filled += frame.length;
  }
  if (crc == notice->crc) return true;
  return wmbt_fail(failure, wmbt_lost, "a payload was damaged on its way: its checksum does not hold");
}

/* The payload that the frame announces becomes the borrow's next one, or nothing does. */
static bool receive_payload(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                            const struct wmbt_payload_notice *notice, struct wmbt_failure *failure) {
  struct wmbt_borrow *borrow = ((struct load *)call->state)->progress.borrow;
  uint8_t *into = wmbt_borrow_add(borrow, notice->length);
  if (into == NULL) {
    /* The rest of the answer is not worth reading. */
    return wmbt_fail(failure, wmbt_no_memory, "unavailable: no memory for a payload of %u bytes",
                     (unsigned)notice->length);
  }
  if (!receive_pieces(call, connection, id, into, notice, failure)) {
    wmbt_borrow_drop_last(borrow);
    return false;
  }
  const wmbt_kv_payload_t known = {.tokens = notice->tokens,
                                   .flags = notice->has_decoded_tokens ? WMBT_KV_DECODED : 0,
                                   .tier = notice->tier,
                                   .crc32c = notice->crc};
  wmbt_borrow_note(borrow, borrow->filled - 1, &known);
  return true;
}

/* Borrows the payloads that the frame speaks of. */
static bool borrow_resident(struct wmbt_call *call, struct wmbt_reader body, struct wmbt_failure *failure) {
  const struct load *load = call->state;
  struct wmbt_borrow *borrow = load->progress.borrow;
  const size_t first = borrow->filled, due = load->progress.end - first;
  struct wmbt_resident resident;
  if (!wmbt_decode_resident(body, &resident, failure)) return false;
  if (load->is_tail || borrow->lent != first || resident.count > due) {
    return wmbt_fail(failure, wmbt_lost, "%u payloads in shared memory are not expected", (unsigned)resident.count);
  }
  const struct wmbt_keys *all = load->progress.keys;
  const struct wmbt_keys keys = {all->ns, all->keys + first, resident.count, all->terms};
  wmbt_access_lend(call->remote->access, &keys, borrow);
  for (size_t i = first; borrow->shown != NULL && i < borrow->filled; i += 1) {
    borrow->shown[i].tier = resident.tiers[i - first];
  }
  if (borrow->filled - first == resident.count) return true;
  return wmbt_fail(failure, wmbt_lost, "%u payloads in shared memory cannot be borrowed", (unsigned)resident.count);
}

/* Borrows the tail that the frame speaks of. */
static bool borrow_resident_tail(struct wmbt_call *call, struct wmbt_reader body, struct wmbt_failure *failure) {
  const struct load *load = call->state;
  const struct wmbt_keys *tip = load->progress.keys;
  struct wmbt_borrow *borrow = load->progress.borrow;
  struct wmbt_resident_tail resident;
  if (!wmbt_decode_resident_tail(body, &resident, failure)) return false;
  const bool is_expected = load->is_tail && borrow->filled == 0 && resident.tokens <= tip->terms->token_count;
  if (!is_expected || !wmbt_access_lend_tail(call->remote->access, tip, resident.tokens, borrow)) {
    return wmbt_fail(failure, wmbt_lost, "a tail of %u tokens in shared memory cannot be borrowed",
                     (unsigned)resident.tokens);
  }
  if (borrow->shown != NULL) borrow->shown[0].tier = resident.tier;
  return true;
}

/*
 * The same. When it cannot be done, by what one client pins at most or because they are gone again, the next attempt
 * has the rest sent, and so have loads of the next second.
 */
static bool take_resident(struct wmbt_call *call, const struct wmbt_frame *frame, struct wmbt_failure *failure) {
  const bool is_tail = frame->type == wmbt_frame_resident_tail;
  if ((is_tail ? borrow_resident_tail : borrow_resident)(call, frame->body, failure)) return true;
  const int64_t again_ms = wmbt_now_ms() + WMBT_SHARED_AGAIN_MS;
  atomic_store_explicit(&call->remote->borrow_again_ms, again_ms, memory_order_relaxed);
  return false;
}

static bool attempt_load(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                         struct wmbt_failure *failure) {
  struct load *load = call->state;
  const size_t first = load->progress.borrow->filled;
  if (!send_load(call, connection, id, failure)) return false;
  for (;;) {
    struct wmbt_frame frame;
    if (!wmbt_connection_receive(connection, id, wmbt_call_wait_ms(call), &frame, failure)) return false;
    const size_t came = load->progress.borrow->filled - first;
    if (frame.type == wmbt_frame_loaded) {
      struct wmbt_loaded loaded;
      if (!wmbt_decode_loaded("loaded", frame.body, &loaded, failure)) return false;
      if (loaded.count != came) {
        return wmbt_fail(failure, wmbt_lost, "%u payloads were announced, and %zu came", (unsigned)loaded.count, came);
      }
      load->progress.has_missed = load->progress.borrow->filled < load->progress.end;
      /* Of a tail that is not there no reason comes. */
      const enum wmbt_miss miss = loaded.miss == wmbt_miss_none ? wmbt_miss_unknown : loaded.miss;
      if (load->progress.has_missed) load->progress.keys->terms->miss = miss;
      return true;
    }
    const bool is_resident = frame.type == wmbt_frame_resident || frame.type == wmbt_frame_resident_tail;
    if (is_resident && call->remote->access != NULL) {
      if (!take_resident(call, &frame, failure)) return false;
      continue;
    }
    if (frame.type != wmbt_frame_payload) return wmbt_call_unexpected(&frame, "a load", failure);
    struct wmbt_payload_notice notice;
    if (!wmbt_decode_payload_notice(frame.body, &notice, failure)) return false;
    if (notice.index != came || load->progress.borrow->filled >= load->progress.end) {
      return wmbt_fail(failure, wmbt_lost, "payload %u of a load is not expected", (unsigned)notice.index);
    }
    if (!receive_payload(call, connection, id, &notice, failure)) return false;
  }
}

static enum wmbt_outcome run(struct wmbt_remote *remote, struct load *load, int64_t end_ms,
                             struct wmbt_failure *failure) {
  struct wmbt_call call = {
      .remote = remote, .use = wmbt_bulk, .end_ms = end_ms, .attempt = attempt_load, .state = load};
  return wmbt_call_load(&call, &load->progress, failure);
}

enum wmbt_outcome wmbt_remote_load(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                                   struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  struct load load = {.progress = {.keys = keys, .borrow = borrow}};
  const struct wmbt_call_settings *settings = &remote->settings;
  return run(remote, &load, wmbt_call_end_ms(keys->terms, settings->load_ms, settings->most_ms), failure);
}

enum wmbt_outcome wmbt_remote_load_tail(struct wmbt_mode *mode, const struct wmbt_keys *keys,
                                        struct wmbt_borrow *borrow, struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  struct load load = {.progress = {.keys = keys, .borrow = borrow}, .is_tail = true};
  const struct wmbt_call_settings *settings = &remote->settings;
  return run(remote, &load, wmbt_call_end_ms(keys->terms, settings->tail_ms, settings->most_ms), failure);
}
