#include <stdio.h>
#include <stdlib.h>

#include "../hex.h"
#include "bounds.h"
#include "clock.h"
#include "http-bulk.h"
#include "http.h"

/* `{"durable":true,"parent":"…"}`. */
enum { attributes_max = 128 };

/* A save of one request, over all its attempts. */
struct save {
  struct wmbt_keys keys;
  const uint8_t *const *payloads;
  const size_t *lens;
  size_t byte_count;
  const char *operation;
  char attributes[attributes_max];
  /* The daemon has lost what it had: everything is sent. */
  bool is_whole;
};

static bool read_stored(const struct wmbt_json *answer, struct wmbt_http_question *question,
                        struct wmbt_failure *failure) {
  struct wmbt_json stored, one;
  size_t *leading = question->result, count = 0, at = 0;
  bool is_leading = wmbt_json_member(answer, "stored", &stored);
  for (; is_leading && wmbt_json_next(&stored, &at, &one); count += 1) {
    if (*leading == count && wmbt_json_is_word(&one, "true")) *leading += 1;
  }
  return count == question->keys.count ? true : wmbt_http_unexpected(question->operation, failure);
}

/* How many of the first blocks need not be sent, because the daemon has them. */
static bool count_stored(struct wmbt_call *call, struct wmbt_connection *connection, size_t *leading,
                         struct wmbt_failure *failure) {
  const struct save *save = call->state;
  *leading = 0;
  if (save->is_whole || save->byte_count < WMBT_HTTP_ASK_BYTES_MIN) return true;
  struct wmbt_http_question question = {"contains", save->keys, read_stored, leading};
  return wmbt_http_ask(call, connection, &question, failure);
}

static bool read_saved(const struct wmbt_json *answer, struct wmbt_http_question *question,
                       struct wmbt_failure *failure) {
  struct wmbt_json value;
  uint64_t count;
  const bool is_saved = wmbt_json_member(answer, "saved", &value) && wmbt_json_count(&value, &count);
  return is_saved ? true : wmbt_http_unexpected(question->operation, failure);
}

/* Sends head and table, and the payloads that are not left out; less when the daemon answers before. */
static bool send_all(struct wmbt_call *call, struct wmbt_connection *connection, size_t left_out, bool *is_answered,
                     struct wmbt_failure *failure) {
  const struct wmbt_http *http = (const struct wmbt_http *)call->remote;
  const struct save *save = call->state;
  const int64_t wait_ms = wmbt_call_wait_ms(call);
  const struct wmbt_bulk_batch batch = {save->keys.keys, save->lens, save->keys.count, left_out, save->attributes};
  const struct wmbt_head head = wmbt_call_head(call, save->keys.ns);
  struct wmbt_writer body = {0};
  wmbt_bulk_encode(&body, &batch);
  const struct wmbt_http_request request = {
      .operation = save->operation, .ns = save->keys.ns, .type = "application/vnd.wombatkv.bulk",
      .left_ms = head.left_ms, .body_bytes = body.length + wmbt_bulk_payload_bytes(&batch), .body = &body,
  };
  bool is_sent = wmbt_http_send(connection, &http->origin, &request, is_answered, wait_ms, failure);
  wmbt_writer_free(&body);
  for (size_t i = left_out; is_sent && !*is_answered && i < batch.count; i += 1) {
    union {
      const uint8_t *seen;
      void *sent;
    } const memory = {save->payloads[i]};
    const struct iovec payload = {memory.sent, save->lens[i]};
    is_sent = wmbt_http_send_payload(connection, &payload, is_answered, wait_ms, failure);
  }
  return is_sent;
}

static bool attempt_save(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                         struct wmbt_failure *failure) {
  (void)id;
  struct save *save = call->state;
  size_t left_out;
  bool is_answered = false;
  if (!count_stored(call, connection, &left_out, failure)) return false;
  /* The daemon ends a connection on which it answered early. */
  if (connection->is_last) return wmbt_fail(failure, wmbt_lost, "the daemon closes the connection");
  if (!send_all(call, connection, left_out, &is_answered, failure)) return false;
  struct wmbt_http_question question = {save->operation, save->keys, read_saved, NULL};
  const bool is_saved = wmbt_http_read_answer(call, connection, &question, failure);
  if (!is_saved && failure->kind == wmbt_again) save->is_whole = true;
  if (!is_saved || !is_answered) return is_saved;
  return wmbt_fail(failure, wmbt_lost, "a save was answered before its payloads were sent");
}

static void name_attributes(struct save *save, bool is_durable, const struct wmbt_key *parent) {
  char digits[wmbt_digest_digits + 1] = "";
  if (parent != NULL) wmbt_hex_write(parent->bytes, digits);
  const char *durable = is_durable ? "true" : "false";
  if (parent == NULL) {
    (void)snprintf(save->attributes, sizeof save->attributes, "{\"durable\":%s}", durable);
  } else {
    (void)snprintf(save->attributes, sizeof save->attributes, "{\"durable\":%s,\"parent\":\"%s\"}", durable, digits);
  }
}

static bool run(struct wmbt_remote *remote, struct save *save, int64_t end_ms, struct wmbt_failure *failure) {
  const enum wmbt_use use = save->byte_count <= WMBT_EAGER_BYTES_MAX ? wmbt_small : wmbt_bulk;
  struct wmbt_call call = {remote, use, end_ms, attempt_save, save};
  return wmbt_call_run(&call, failure);
}

/* Where the last request begins of a save of so many blocks; `bytes` become those of its payloads. */
static size_t start_of_last(const size_t *lens, size_t end, size_t *bytes) {
  size_t start = end - 1;
  *bytes = lens[start];
  while (start > 0 && end - start < WMBT_KEYS_PER_CALL_MAX && *bytes + lens[start - 1] <= WMBT_HTTP_SAVE_BYTES_MAX) {
    start -= 1;
    *bytes += lens[start];
  }
  return start;
}

bool wmbt_http_save(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *const *payloads,
                    const size_t *lens, struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  const int64_t end_ms = wmbt_now_ms() + remote->settings.save_ms;
  /* A list longer than a request goes from its end to its beginning, so that a lookup sees all of it or none. */
  for (size_t end = keys->count, start; end > 0; end = start) {
    size_t bytes;
    start = start_of_last(lens, end, &bytes);
    struct save save = {
        .keys = {keys->ns, keys->keys + start, end - start},
        .payloads = payloads + start,
        .lens = lens + start,
        .byte_count = bytes,
        .operation = "save",
    };
    name_attributes(&save, remote->settings.is_durable, start == 0 ? NULL : &keys->keys[start - 1]);
    if (!run(remote, &save, end_ms, failure)) return false;
  }
  return true;
}

bool wmbt_http_save_tail(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *bytes, size_t length,
                         struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  struct save save = {
      .keys = *keys,
      .payloads = &bytes,
      .lens = &length,
      .byte_count = length,
      .operation = "save-raw-tail",
      /* The last one written wins: nobody is asked whether there is one. */
      .is_whole = true,
  };
  name_attributes(&save, remote->settings.is_durable, NULL);
  return run(remote, &save, wmbt_now_ms() + remote->settings.tail_ms, failure);
}
