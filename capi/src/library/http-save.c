#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../hex.h"
#include "bounds.h"
#include "clock.h"
#include "http-bulk.h"
#include "http.h"

/* A save of one request, over all its attempts. */
struct save {
  struct wmbt_keys keys;
  const uint8_t *const *payloads;
  const size_t *lens;
  size_t byte_count;
  const char *operation;
  enum wmbt_durability durability;
  const struct wmbt_key *parent;
  struct wmbt_saved result;
  /* The last one written wins: nobody is asked whether there is one. */
  bool is_tail;
  /* The daemon has lost what it had: everything is sent. */
  bool is_whole;
};

/* What the daemon says of a save before it is sent. */
struct known {
  /* One for each block, not 0 where it need not be sent; NULL: all are sent. */
  uint8_t *present;
  /* It takes version 2 of the bulk body. */
  bool is_last_first;
};

/* A daemon that does not say so takes it of the first blocks alone that their payloads are left out. */
static bool takes_gaps(const struct wmbt_json *answer) {
  struct wmbt_json value;
  return wmbt_json_member(answer, "gaps", &value) && wmbt_json_is_word(&value, "true");
}

static bool read_known(const struct wmbt_json *answer, const struct wmbt_http_question *question,
                       struct wmbt_failure *failure) {
  struct known *known = question->result;
  struct wmbt_http_question stored = *question;
  uint64_t version;
  stored.result = known->present;
  /* A daemon that does not know of versions, or says something else of them, is sent the first. */
  known->is_last_first = wmbt_http_number(answer, "bulk", &version) && version >= 2;
  if (!wmbt_http_read_stored(answer, &stored, failure)) return false;
  if (takes_gaps(answer)) return true;
  size_t leading = 0;
  while (leading < question->keys.count && known->present[leading] != 0) leading += 1;
  memset(known->present + leading, 0, question->keys.count - leading);
  return true;
}

/*
 * Asks with the lengths of the payloads, for which the bucket is not asked for what nobody here knows. Of a save whose
 * blocks were lost meanwhile everything is sent: it asks again because another daemon may answer by now. What
 * `known` holds is the caller's, who frees it.
 */
static bool ask_known(struct wmbt_call *call, struct wmbt_connection *connection, struct known *known,
                      struct wmbt_failure *failure) {
  const struct save *save = call->state;
  *known = (struct known){0};
  if (save->is_tail || save->byte_count < WMBT_HTTP_ASK_BYTES_MIN) return true;
  known->present = malloc(save->keys.count);
  if (known->present == NULL) return wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory for a save");
  const struct wmbt_http_question question = {
      .operation = "contains", .keys = save->keys, .lens = save->lens, .read = read_known, .result = known};
  const bool is_told = wmbt_http_ask(call, connection, &question, failure);
  if (is_told && !save->is_whole) return true;
  free(known->present);
  known->present = NULL;
  return is_told;
}

static bool read_saved(const struct wmbt_json *answer, const struct wmbt_http_question *question,
                       struct wmbt_failure *failure) {
  struct wmbt_saved *saved = question->result;
  const bool is_saved = wmbt_http_number(answer, "saved", &saved->saved) &&
                        wmbt_http_number(answer, "known", &saved->known) &&
                        wmbt_http_number(answer, "savedBytes", &saved->saved_bytes);
  return is_saved ? true : wmbt_http_unexpected(question, failure);
}

/* Sends head and table, and the payloads that are not left out; less when the daemon answers before. */
static bool send_all(struct wmbt_call *call, struct wmbt_connection *connection, const struct known *known,
                     bool *is_answered, struct wmbt_failure *failure) {
  const struct wmbt_http *http = (const struct wmbt_http *)call->remote;
  const struct save *save = call->state;
  const int64_t wait_ms = wmbt_call_wait_ms(call);
  const struct wmbt_head head = wmbt_call_head(call, save->keys.ns);
  struct wmbt_writer body = {0}, attributes = {0};
  wmbt_http_write_attributes(&attributes, save->keys.terms, save->durability, save->parent);
  const struct wmbt_bulk_batch batch = {.keys = save->keys.keys,
                                        .lens = save->lens,
                                        .count = save->keys.count,
                                        .announced = save->keys.terms->announced,
                                        .left_out = known->present,
                                        .is_last_first = known->is_last_first,
                                        .attributes = attributes.has_failed ? "" : (const char *)attributes.bytes};
  wmbt_bulk_encode(&body, &batch);
  body.has_failed = body.has_failed || attributes.has_failed;
  wmbt_writer_free(&attributes);
  const struct wmbt_http_request request = {
      .operation = save->operation, .ns = save->keys.ns, .type = "application/vnd.wombatkv.bulk",
      .left_ms = head.left_ms, .body_bytes = body.length + wmbt_bulk_payload_bytes(&batch), .body = &body,
  };
  bool is_sent = wmbt_http_send(connection, &http->origin, &request, is_answered, wait_ms, failure);
  wmbt_writer_free(&body);
  for (size_t at = 0; is_sent && !*is_answered && at < batch.count; at += 1) {
    const size_t i = batch.is_last_first ? batch.count - 1 - at : at;
    if (wmbt_bulk_is_left_out(&batch, i)) continue;
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
  struct known known;
  bool is_answered = false;
  if (!ask_known(call, connection, &known, failure)) return false;
  /* The daemon ends a connection on which it answered early. */
  const bool is_sent = connection->is_last ? wmbt_fail(failure, wmbt_lost, "the daemon closes the connection")
                                           : send_all(call, connection, &known, &is_answered, failure);
  free(known.present);
  if (!is_sent) return false;
  const struct wmbt_http_question question = {
      .operation = save->operation, .keys = save->keys, .read = read_saved, .result = &save->result};
  const int64_t wait_ms = wmbt_call_wait_ms(call);
  struct wmbt_http_answer answer;
  const bool is_saved = wmbt_http_receive(connection, &answer, wait_ms, failure) &&
                        wmbt_http_read_answer(&answer, &question, wait_ms, failure);
  if (!is_saved && failure->kind == wmbt_again) save->is_whole = true;
  if (!is_saved || !is_answered) return is_saved;
  return wmbt_fail(failure, wmbt_lost, "a save was answered before its payloads were sent");
}

static bool run(struct wmbt_remote *remote, struct save *save, int64_t end_ms, struct wmbt_failure *failure) {
  const enum wmbt_use use = save->byte_count <= WMBT_EAGER_BYTES_MAX ? wmbt_small : wmbt_bulk;
  struct wmbt_call call = {.remote = remote, .use = use, .end_ms = end_ms, .attempt = attempt_save, .state = save};
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

/* As the terms say, else as the settings do. */
static enum wmbt_durability durability_of(const struct wmbt_remote *remote, const struct wmbt_terms *terms) {
  const bool is_unsaid = terms->durability == wmbt_as_the_settings_say;
  return is_unsaid && remote->settings.is_durable ? wmbt_when_durable : terms->durability;
}

bool wmbt_http_save(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *const *payloads,
                    const size_t *lens, struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  struct wmbt_terms *terms = keys->terms;
  const int64_t end_ms = wmbt_call_end_ms(terms, remote->settings.save_ms, remote->settings.most_ms);
  terms->saved = (struct wmbt_saved){0};
  /* A list longer than a request goes from its end to its beginning, so that a lookup sees all of it or none. */
  for (size_t end = keys->count, start; end > 0; end = start) {
    size_t bytes;
    start = start_of_last(lens, end, &bytes);
    struct wmbt_terms part = *terms;
    if (part.announced != NULL) part.announced += start;
    struct save save = {
        .keys = {keys->ns, keys->keys + start, end - start, &part},
        .payloads = payloads + start,
        .lens = lens + start,
        .byte_count = bytes,
        .operation = "save",
        .durability = durability_of(remote, terms),
        .parent = start == 0 ? terms->parent : &keys->keys[start - 1],
    };
    if (!run(remote, &save, end_ms, failure)) return false;
    terms->saved.saved += save.result.saved;
    terms->saved.known += save.result.known;
    terms->saved.saved_bytes += save.result.saved_bytes;
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
      .operation = keys->terms->tokens == NULL ? "save-raw-tail" : "save-tail",
      .durability = durability_of(remote, keys->terms),
      .is_tail = true,
  };
  const int64_t end_ms = wmbt_call_end_ms(keys->terms, remote->settings.tail_ms, remote->settings.most_ms);
  if (!run(remote, &save, end_ms, failure)) return false;
  keys->terms->saved = save.result;
  return true;
}
