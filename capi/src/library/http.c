#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"

bool wmbt_http_unexpected(const struct wmbt_http_question *question, struct wmbt_failure *failure) {
  const char *name = question->operation != NULL ? question->operation : question->path;
  return wmbt_fail(failure, wmbt_lost, "%s is answered by something else", name);
}

static bool send_question(struct wmbt_call *call, struct wmbt_connection *connection,
                          const struct wmbt_http_question *question, struct wmbt_failure *failure) {
  const struct wmbt_http *http = (const struct wmbt_http *)call->remote;
  const struct wmbt_head head = wmbt_call_head(call, question->keys.ns);
  struct wmbt_writer body = {0};
  if (!question->is_plain) wmbt_http_write_form(&body, question);
  const struct wmbt_http_request request = {
      .operation = question->operation,
      .ns = head.ns,
      .path = question->path,
      .type = question->is_plain ? NULL : "application/json",
      .left_ms = head.left_ms,
      .body_bytes = body.length,
      .body = &body,
  };
  /* An answer that comes before all was sent says why. */
  bool is_answered = false;
  const int64_t wait_ms = wmbt_call_wait_ms(call);
  const bool is_sent = wmbt_http_send(connection, &http->origin, &request, &is_answered, wait_ms, failure);
  wmbt_writer_free(&body);
  return is_sent;
}

bool wmbt_http_put(struct wmbt_call *call, struct wmbt_connection *connection,
                   const struct wmbt_http_question *question, struct wmbt_http_answer *answer,
                   struct wmbt_failure *failure) {
  return send_question(call, connection, question, failure) &&
         wmbt_http_receive(connection, answer, wmbt_call_wait_ms(call), failure);
}

bool wmbt_http_read_answer(struct wmbt_http_answer *answer, const struct wmbt_http_question *question,
                           int64_t deadline_ms, struct wmbt_failure *failure) {
  if (answer->head.status != 200) return wmbt_http_refuse(answer, deadline_ms, failure);
  size_t length;
  char *text = wmbt_http_read_text(answer, &length, deadline_ms, failure);
  bool is_read = text != NULL && wmbt_http_read_end(answer, deadline_ms, failure);
  struct wmbt_json object;
  if (is_read && !wmbt_json_object(text, length, &object)) {
    is_read = wmbt_fail(failure, wmbt_lost, "what answers is no JSON object");
  }
  is_read = is_read && question->read(&object, question, failure);
  free(text);
  return is_read;
}

bool wmbt_http_ask(struct wmbt_call *call, struct wmbt_connection *connection,
                   const struct wmbt_http_question *question, struct wmbt_failure *failure) {
  struct wmbt_http_answer answer;
  const int64_t wait_ms = wmbt_call_wait_ms(call);
  if (call->is_left_owing) return send_question(call, connection, question, failure);
  return wmbt_http_put(call, connection, question, &answer, failure) &&
         wmbt_http_read_answer(&answer, question, wait_ms, failure);
}

static const struct wmbt_mode_calls http_calls = {
    .lookup = wmbt_http_lookup,
    .load = wmbt_http_load,
    .save = wmbt_http_save,
    .save_tail = wmbt_http_save_tail,
    .load_tail = wmbt_http_load_tail,
    .contains = wmbt_http_contains,
    .prefetch = wmbt_http_prefetch,
    .flush = wmbt_http_flush,
    .delete_blocks = wmbt_http_delete,
    .stats = wmbt_http_stats,
    .close = wmbt_remote_close,
};

/* Asks for nothing. A token that is not good for this namespace may be for others, which each call says for itself. */
static bool attempt_entry(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                          struct wmbt_failure *failure) {
  (void)id;
  const struct wmbt_http_question *question = call->state;
  struct wmbt_http_answer answer;
  if (!wmbt_http_put(call, connection, question, &answer, failure)) return false;
  const bool is_read = wmbt_http_read_answer(&answer, question, wmbt_call_wait_ms(call), failure);
  return is_read || (answer.head.status == 403 && failure->kind == wmbt_invalid);
}

static bool enter(struct wmbt_http *http, const struct wmbt_settings *settings, struct wmbt_failure *failure) {
  struct wmbt_terms terms = {0};
  struct wmbt_http_question question = {
      .operation = "contains", .keys = {settings->ns, NULL, 0, &terms}, .read = wmbt_http_read_stored};
  struct wmbt_call entry = {
      .remote = &http->remote,
      .use = wmbt_small,
      .end_ms = wmbt_now_ms() + settings->calls.connect_ms,
      .attempt = attempt_entry,
      .state = &question,
  };
  return wmbt_remote_reach(&http->remote, failure) && wmbt_call_run(&entry, failure);
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
  http->remote = (struct wmbt_remote){{&http_calls}, peer, settings->calls, NULL, 0};
  name_authority(endpoint, http->origin.authority, sizeof http->origin.authority);
  http->origin.token = peer->token;
  peer->hello.origin = &http->origin;
  peer->greet = wmbt_http_greet;
  peer->settle = wmbt_http_settle;
  if (enter(http, settings, failure)) return &http->remote.mode;
  wmbt_remote_close(&http->remote.mode);
  return NULL;
}
