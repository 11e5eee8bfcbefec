#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../hex.h"
#include "bounds.h"
#include "clock.h"
#include "settings.h"

static const char json_type[] = "application/json";

bool wmbt_http_unexpected(const char *operation, struct wmbt_failure *failure) {
  return wmbt_fail(failure, wmbt_lost, "%s is answered by something else", operation);
}

static void write_text(struct wmbt_writer *writer, const char *text) { wmbt_write_bytes(writer, text, strlen(text)); }

static void write_key(struct wmbt_writer *writer, const struct wmbt_key *key) {
  char digits[wmbt_digest_digits + 2];
  digits[0] = digits[sizeof digits - 1] = '"';
  wmbt_hex_write(key->bytes, digits + 1);
  wmbt_write_bytes(writer, digits, sizeof digits);
}

/* `{"tip":"…"}` for the tail of one key, `{"keys":["…","…"]}` else. */
static void write_keys(struct wmbt_writer *writer, const struct wmbt_keys *keys, bool is_tip) {
  write_text(writer, is_tip ? "{\"tip\":" : "{\"keys\":[");
  for (size_t i = 0; i < keys->count; i += 1) {
    if (i > 0) write_text(writer, ",");
    write_key(writer, &keys->keys[i]);
  }
  write_text(writer, is_tip ? "}" : "]}");
}

bool wmbt_http_request_keys(struct wmbt_call *call, struct wmbt_connection *connection, const char *operation,
                            const struct wmbt_keys *keys, struct wmbt_http_answer *answer,
                            struct wmbt_failure *failure) {
  const struct wmbt_http *http = (const struct wmbt_http *)call->remote;
  struct wmbt_writer body = {0};
  write_keys(&body, keys, strcmp(operation, "load-raw-tail") == 0);
  const struct wmbt_head head = wmbt_call_head(call, keys->ns);
  const struct wmbt_http_request request = {
      .operation = operation, .ns = keys->ns, .type = json_type, .left_ms = head.left_ms, .body_bytes = body.length,
      .body = &body,
  };
  const int64_t wait_ms = wmbt_call_wait_ms(call);
  bool is_answered = false;
  /* An answer that came before all was sent says why. */
  const bool is_sent = wmbt_http_send(connection, &http->origin, &request, &is_answered, wait_ms, failure);
  wmbt_writer_free(&body);
  return is_sent && wmbt_http_receive(connection, answer, wait_ms, failure);
}

/* Reads the answer to the end, whatever it is. */
static bool read_answer(struct wmbt_http_answer *answer, struct wmbt_http_question *question, int64_t wait_ms,
                        struct wmbt_failure *failure) {
  if (answer->head.status != 200) return wmbt_http_refuse(answer, wait_ms, failure);
  size_t length;
  char *text = wmbt_http_read_text(answer, &length, wait_ms, failure);
  bool is_read = text != NULL && wmbt_http_read_end(answer, wait_ms, failure);
  struct wmbt_json object;
  if (is_read && !wmbt_json_object(text, length, &object)) {
    is_read = wmbt_fail(failure, wmbt_lost, "%s is answered by what is no JSON object", question->operation);
  }
  is_read = is_read && question->read(&object, question, failure);
  free(text);
  return is_read;
}

bool wmbt_http_read_answer(struct wmbt_call *call, struct wmbt_connection *connection,
                           struct wmbt_http_question *question, struct wmbt_failure *failure) {
  struct wmbt_http_answer answer;
  const int64_t wait_ms = wmbt_call_wait_ms(call);
  return wmbt_http_receive(connection, &answer, wait_ms, failure) && read_answer(&answer, question, wait_ms, failure);
}

bool wmbt_http_ask(struct wmbt_call *call, struct wmbt_connection *connection, struct wmbt_http_question *question,
                   struct wmbt_failure *failure) {
  struct wmbt_http_answer answer;
  return wmbt_http_request_keys(call, connection, question->operation, &question->keys, &answer, failure) &&
         read_answer(&answer, question, wmbt_call_wait_ms(call), failure);
}

/* A question that is all of a call. */
static bool attempt_ask(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                        struct wmbt_failure *failure) {
  (void)id;
  return wmbt_http_ask(call, connection, call->state, failure);
}

static bool read_lookup(const struct wmbt_json *answer, struct wmbt_http_question *question,
                        struct wmbt_failure *failure) {
  struct wmbt_json value;
  uint64_t *matched = question->result;
  if (!wmbt_json_member(answer, "matched", &value) || !wmbt_json_count(&value, matched)) {
    return wmbt_http_unexpected(question->operation, failure);
  }
  if (*matched <= question->keys.count) return true;
  return wmbt_fail(failure, wmbt_lost, "the daemon matched %llu of %zu keys", (unsigned long long)*matched,
                   question->keys.count);
}

static bool lookup(struct wmbt_mode *mode, const struct wmbt_keys *keys, size_t *matched,
                   struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  const int64_t end_ms = wmbt_now_ms() + remote->settings.lookup_ms;
  *matched = 0;
  for (;;) {
    struct wmbt_keys part = {keys->ns, keys->keys + *matched, keys->count - *matched};
    if (part.count > WMBT_KEYS_PER_CALL_MAX) part.count = WMBT_KEYS_PER_CALL_MAX;
    uint64_t found = 0;
    struct wmbt_http_question question = {"lookup", part, read_lookup, &found};
    struct wmbt_call call = {remote, wmbt_small, end_ms, attempt_ask, &question};
    if (!wmbt_call_run(&call, failure)) return false;
    *matched += (size_t)found;
    if (found < part.count || *matched == keys->count) return true;
  }
}

static const struct wmbt_mode_calls http_calls = {
    lookup, wmbt_http_load, wmbt_http_save, wmbt_http_save_tail, wmbt_http_load_tail, wmbt_remote_close,
};

static bool read_nothing(const struct wmbt_json *answer, struct wmbt_http_question *question,
                         struct wmbt_failure *failure) {
  struct wmbt_json stored, one;
  size_t at = 0;
  if (wmbt_json_member(answer, "stored", &stored) && stored.text[0] == '[' && !wmbt_json_next(&stored, &at, &one)) {
    return true;
  }
  return wmbt_http_unexpected(question->operation, failure);
}

/* Asks for nothing. A token that is not good for this namespace may be for others, which each call says for itself. */
static bool attempt_entry(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                          struct wmbt_failure *failure) {
  (void)id;
  const int64_t wait_ms = wmbt_call_wait_ms(call);
  struct wmbt_http_question question = {"contains", {call->state, NULL, 0}, read_nothing, NULL};
  struct wmbt_http_answer answer;
  if (!wmbt_http_request_keys(call, connection, question.operation, &question.keys, &answer, failure)) return false;
  const bool is_read = read_answer(&answer, &question, wait_ms, failure);
  return is_read || (answer.head.status == 403 && failure->kind == wmbt_invalid);
}

/* Host and port as a request names them: an address in brackets when it has colons, without its zone. */
static void name_authority(const struct wmbt_endpoint *endpoint, char *into, size_t size) {
  const bool is_address = strchr(endpoint->host, ':') != NULL;
  const int length = (int)strcspn(endpoint->host, "%");
  (void)snprintf(into, size, is_address ? "[%.*s]:%s" : "%.*s:%s", length, endpoint->host, endpoint->port);
}

struct wmbt_mode *wmbt_http_open(struct wmbt_peer *peer, const struct wmbt_endpoint *endpoint,
                                 const struct wmbt_settings *settings, struct wmbt_failure *failure) {
  struct wmbt_http *http = calloc(1, sizeof *http);
  if (http == NULL) {
    wmbt_peer_free(peer);
    (void)wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory for a handle");
    return NULL;
  }
  http->remote = (struct wmbt_remote){{&http_calls}, peer, settings->calls};
  name_authority(endpoint, http->origin.authority, sizeof http->origin.authority);
  http->origin.token = peer->token;
  peer->hello.origin = &http->origin;
  peer->greet = wmbt_http_greet;
  /* The namespace is only read; the call takes what it is about as anything. */
  char ns[sizeof settings->ns];
  (void)memcpy(ns, settings->ns, sizeof ns);
  struct wmbt_call entry = {
      &http->remote, wmbt_small, wmbt_now_ms() + settings->calls.connect_ms, attempt_entry, ns,
  };
  if (wmbt_remote_reach(&http->remote, failure) && wmbt_call_run(&entry, failure)) return &http->remote.mode;
  wmbt_remote_close(&http->remote.mode);
  return NULL;
}
