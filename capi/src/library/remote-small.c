/* The calls whose answer is one frame. */
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "remote-use.h"
#include "remote.h"
#include "text.h"

/* One of them, over all its attempts. */
struct small {
  const char *name;
  enum wmbt_frame_type type, answer;
  const struct wmbt_keys *keys;
  enum wmbt_selection selection;
  /* Reads the answer into what is behind `out`. */
  bool (*decode)(const struct small *small, struct wmbt_reader body, struct wmbt_failure *failure);
  void *out;
};

static void encode(const struct small *small, const struct wmbt_head *head, struct wmbt_writer *body) {
  switch (small->type) {
    case wmbt_frame_delete:
      wmbt_encode_delete(body, head, small->selection, small->keys);
      break;
    case wmbt_frame_flush:
    case wmbt_frame_stats:
      wmbt_encode_head(body, head);
      break;
    default:
      wmbt_encode_keys(body, head, small->keys);
  }
}

static bool attempt(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                    struct wmbt_failure *failure) {
  const struct small *small = call->state;
  const struct wmbt_head head = wmbt_call_head(call, small->keys->ns);
  struct wmbt_writer body = {0};
  encode(small, &head, &body);
  const int64_t wait_ms = wmbt_call_wait_ms(call);
  const bool is_sent = wmbt_connection_send_message(connection, small->type, id, &body, wait_ms, failure);
  wmbt_writer_free(&body);
  if (!is_sent) return false;
  if (call->is_left_owing) return true;
  struct wmbt_frame frame;
  if (!wmbt_connection_receive(connection, id, wait_ms, &frame, failure)) return false;
  if (frame.type != small->answer) return wmbt_call_unexpected(&frame, small->name, failure);
  return small->decode(small, frame.body, failure);
}

static bool run(struct wmbt_remote *remote, struct small *small, int64_t end_ms, struct wmbt_failure *failure) {
  struct wmbt_call call = {
      .remote = remote, .use = wmbt_small, .end_ms = end_ms, .attempt = attempt, .state = small};
  return wmbt_call_run(&call, failure);
}

static bool decode_matched(const struct small *small, struct wmbt_reader body, struct wmbt_failure *failure) {
  struct wmbt_loaded *matched = small->out;
  if (!wmbt_decode_loaded("looked-up", body, matched, failure)) return false;
  if (matched->count <= small->keys->count) return true;
  return wmbt_fail(failure, wmbt_lost, "the daemon matched %u of %zu keys", (unsigned)matched->count,
                   small->keys->count);
}

bool wmbt_remote_lookup(struct wmbt_mode *mode, const struct wmbt_keys *keys, size_t *matched,
                        struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  const int64_t end_ms = wmbt_call_end_ms(keys->terms, remote->settings.lookup_ms, remote->settings.most_ms);
  *matched = 0;
  for (;;) {
    const struct wmbt_keys part = wmbt_call_part(keys, *matched);
    struct wmbt_loaded found = {0, wmbt_miss_none};
    struct small small = {.name = "lookup",
                          .type = wmbt_frame_lookup,
                          .answer = wmbt_frame_looked_up,
                          .keys = &part,
                          .decode = decode_matched,
                          .out = &found};
    if (!run(remote, &small, end_ms, failure)) return false;
    *matched += found.count;
    if (found.count < part.count) keys->terms->miss = found.miss;
    if (found.count < part.count || *matched == keys->count) return true;
  }
}

static bool decode_present(const struct small *small, struct wmbt_reader body, struct wmbt_failure *failure) {
  return wmbt_decode_present(body, small->keys->count, small->out, failure);
}

bool wmbt_remote_contains(struct wmbt_mode *mode, const struct wmbt_keys *keys, uint8_t *present,
                          struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  const int64_t end_ms = wmbt_call_end_ms(keys->terms, remote->settings.load_ms, remote->settings.most_ms);
  for (size_t first = 0; first < keys->count;) {
    const struct wmbt_keys part = wmbt_call_part(keys, first);
    struct small small = {.name = "contains",
                          .type = wmbt_frame_contains,
                          .answer = wmbt_frame_present,
                          .keys = &part,
                          .decode = decode_present,
                          .out = present + first};
    if (!run(remote, &small, end_ms, failure)) return false;
    first += part.count;
  }
  return true;
}

void wmbt_remote_note_use(struct wmbt_mode *mode, const struct wmbt_keys *keys) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  const struct wmbt_keys part = wmbt_call_part(keys, 0);
  struct small small = {
      .name = "contains", .type = wmbt_frame_contains, .answer = wmbt_frame_present, .keys = &part};
  struct wmbt_call call = {.remote = remote,
                           .use = wmbt_small,
                           .end_ms = wmbt_now_ms() + WMBT_NOTE_MS,
                           .attempt = attempt,
                           .state = &small};
  bool is_begun;
  struct wmbt_failure ignored;
  /* A use that it does not hear of costs nothing but a place in an order. */
  (void)wmbt_call_begin(&call, &is_begun, &ignored);
}

static bool decode_number(const struct small *small, struct wmbt_reader body, struct wmbt_failure *failure) {
  return wmbt_decode_number(small->name, body, small->out, failure);
}

/* Begins with the keys that one call takes. */
static bool begin_prefetch(struct wmbt_remote *remote, struct small *small, int64_t end_ms, bool *is_begun,
                           struct wmbt_failure *failure) {
  struct wmbt_call call = {.remote = remote, .use = wmbt_small, .end_ms = end_ms, .attempt = attempt, .state = small};
  return wmbt_call_begin(&call, is_begun, failure);
}

bool wmbt_remote_prefetch(struct wmbt_mode *mode, const struct wmbt_keys *keys, size_t *count, bool *is_begun,
                          struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  const int64_t end_ms = wmbt_call_end_ms(keys->terms, remote->settings.load_ms, remote->settings.most_ms);
  size_t there = 0;
  for (;;) {
    const struct wmbt_keys part = wmbt_call_part(keys, there);
    uint64_t came = 0;
    struct small small = {.name = "prefetched",
                          .type = wmbt_frame_prefetch,
                          .answer = wmbt_frame_prefetched,
                          .keys = &part,
                          .decode = decode_number,
                          .out = &came};
    if (count == NULL) return begin_prefetch(remote, &small, end_ms, is_begun, failure);
    if (!run(remote, &small, end_ms, failure)) return false;
    if (came > part.count) came = part.count;
    there += (size_t)came;
    if (came == part.count && there < keys->count) continue;
    *count = there;
    return *is_begun = true;
  }
}

static bool decode_nothing(const struct small *small, struct wmbt_reader body, struct wmbt_failure *failure) {
  return wmbt_decode_nothing(small->name, body, failure);
}

bool wmbt_remote_flush(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  struct small small = {.name = "flushed",
                        .type = wmbt_frame_flush,
                        .answer = wmbt_frame_flushed,
                        .keys = keys,
                        .decode = decode_nothing};
  return run(remote, &small, wmbt_call_end_ms(keys->terms, WMBT_FLUSH_DEADLINE_MS, INT32_MAX), failure);
}

bool wmbt_remote_delete(struct wmbt_mode *mode, const struct wmbt_keys *keys, enum wmbt_selection selection,
                        uint64_t *objects, struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  const int64_t end_ms = wmbt_call_end_ms(keys->terms, remote->settings.delete_ms, remote->settings.most_ms);
  *objects = 0;
  size_t first = 0;
  do {
    const struct wmbt_keys part = wmbt_call_part(keys, first);
    uint64_t removed = 0;
    struct small small = {.name = "deleted",
                          .type = wmbt_frame_delete,
                          .answer = wmbt_frame_deleted,
                          .keys = &part,
                          .selection = selection,
                          .decode = decode_number,
                          .out = &removed};
    if (!run(remote, &small, end_ms, failure)) return false;
    *objects += removed;
    first += part.count;
  } while (first < keys->count);
  return true;
}

/* What was read is gone with the next frame, so it is copied here. */
static bool decode_statistics(const struct small *small, struct wmbt_reader body, struct wmbt_failure *failure) {
  const bool is_text = wmbt_is_utf8((const char *)body.bytes, body.length) &&
                       memchr(body.bytes, 0, body.length) == NULL;
  if (body.length == 0 || !is_text) return wmbt_fail(failure, wmbt_lost, "the statistics of the daemon are no text");
  uint8_t *text = wmbt_borrow_add(small->out, body.length + 1);
  if (text == NULL) return wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory for statistics");
  (void)memcpy(text, body.bytes, body.length);
  text[body.length] = '\0';
  return true;
}

bool wmbt_remote_stats(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                       struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  struct small small = {.name = "statistics",
                        .type = wmbt_frame_stats,
                        .answer = wmbt_frame_statistics,
                        .keys = keys,
                        .decode = decode_statistics,
                        .out = borrow};
  const int64_t end_ms = wmbt_call_end_ms(keys->terms, remote->settings.lookup_ms, remote->settings.most_ms);
  return run(remote, &small, end_ms, failure);
}
