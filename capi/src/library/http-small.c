/* The calls that are one question in JSON. */
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "http.h"

static bool attempt(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                    struct wmbt_failure *failure) {
  (void)id;
  return wmbt_http_ask(call, connection, call->state, failure);
}

static bool run(struct wmbt_remote *remote, struct wmbt_http_question *question, int64_t end_ms,
                struct wmbt_failure *failure) {
  struct wmbt_call call = {
      .remote = remote, .use = wmbt_small, .end_ms = end_ms, .attempt = attempt, .state = question};
  return wmbt_call_run(&call, failure);
}

struct found {
  uint64_t count;
  enum wmbt_miss miss;
};

static bool read_matched(const struct wmbt_json *answer, const struct wmbt_http_question *question,
                         struct wmbt_failure *failure) {
  struct found *found = question->result;
  if (!wmbt_http_number(answer, "matched", &found->count)) return wmbt_http_unexpected(question, failure);
  found->miss = wmbt_http_reason(answer);
  if (found->count <= question->keys.count) return true;
  return wmbt_fail(failure, wmbt_lost, "the daemon matched %llu of %zu keys", (unsigned long long)found->count,
                   question->keys.count);
}

bool wmbt_http_lookup(struct wmbt_mode *mode, const struct wmbt_keys *keys, size_t *matched,
                      struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  const int64_t end_ms = wmbt_call_end_ms(keys->terms, remote->settings.lookup_ms, remote->settings.most_ms);
  *matched = 0;
  for (;;) {
    struct found found = {0, wmbt_miss_none};
    struct wmbt_http_question question = {
        .operation = "lookup", .keys = wmbt_call_part(keys, *matched), .read = read_matched, .result = &found};
    if (!run(remote, &question, end_ms, failure)) return false;
    *matched += (size_t)found.count;
    const bool has_missed = found.count < question.keys.count;
    if (has_missed) keys->terms->miss = found.miss == wmbt_miss_none ? wmbt_miss_unknown : found.miss;
    if (has_missed || *matched == keys->count) return true;
  }
}

bool wmbt_http_read_stored(const struct wmbt_json *answer, const struct wmbt_http_question *question,
                           struct wmbt_failure *failure) {
  struct wmbt_json stored, one;
  uint8_t *present = question->result;
  size_t count = 0, at = 0;
  if (!wmbt_json_member(answer, "stored", &stored) || stored.text[0] != '[') {
    return wmbt_http_unexpected(question, failure);
  }
  for (; count <= question->keys.count && wmbt_json_next(&stored, &at, &one); count += 1) {
    if (count < question->keys.count) present[count] = wmbt_json_is_word(&one, "true") ? 1 : 0;
  }
  return count == question->keys.count ? true : wmbt_http_unexpected(question, failure);
}

bool wmbt_http_contains(struct wmbt_mode *mode, const struct wmbt_keys *keys, uint8_t *present,
                        struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  const int64_t end_ms = wmbt_call_end_ms(keys->terms, remote->settings.load_ms, remote->settings.most_ms);
  for (size_t first = 0; first < keys->count;) {
    struct wmbt_http_question question = {.operation = "contains",
                                          .keys = wmbt_call_part(keys, first),
                                          .read = wmbt_http_read_stored,
                                          .result = present + first};
    if (!run(remote, &question, end_ms, failure)) return false;
    first += question.keys.count;
  }
  return true;
}

static bool read_loaded(const struct wmbt_json *answer, const struct wmbt_http_question *question,
                        struct wmbt_failure *failure) {
  return wmbt_http_number(answer, "loaded", question->result) ? true : wmbt_http_unexpected(question, failure);
}

/* Begins with the keys that one call takes. */
static bool begin_prefetch(struct wmbt_remote *remote, struct wmbt_http_question *question, int64_t end_ms,
                           bool *is_begun, struct wmbt_failure *failure) {
  struct wmbt_call call = {
      .remote = remote, .use = wmbt_small, .end_ms = end_ms, .attempt = attempt, .state = question};
  return wmbt_call_begin(&call, is_begun, failure);
}

bool wmbt_http_prefetch(struct wmbt_mode *mode, const struct wmbt_keys *keys, size_t *count, bool *is_begun,
                        struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  const int64_t end_ms = wmbt_call_end_ms(keys->terms, remote->settings.load_ms, remote->settings.most_ms);
  size_t there = 0;
  for (;;) {
    uint64_t came = 0;
    struct wmbt_http_question question = {
        .operation = "prefetch", .keys = wmbt_call_part(keys, there), .read = read_loaded, .result = &came};
    if (count == NULL) return begin_prefetch(remote, &question, end_ms, is_begun, failure);
    if (!run(remote, &question, end_ms, failure)) return false;
    if (came > question.keys.count) came = question.keys.count;
    there += (size_t)came;
    if (came == question.keys.count && there < keys->count) continue;
    *count = there;
    return *is_begun = true;
  }
}

static bool read_anything(const struct wmbt_json *answer, const struct wmbt_http_question *question,
                          struct wmbt_failure *failure) {
  return (void)answer, (void)question, (void)failure, true;
}

bool wmbt_http_flush(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_failure *failure) {
  struct wmbt_http_question question = {
      .path = "POST /wmbt/v1/flush", .form = wmbt_http_of_nothing, .keys = *keys, .read = read_anything};
  const int64_t end_ms = wmbt_call_end_ms(keys->terms, WMBT_FLUSH_DEADLINE_MS, INT32_MAX);
  return run((struct wmbt_remote *)mode, &question, end_ms, failure);
}

static bool read_objects(const struct wmbt_json *answer, const struct wmbt_http_question *question,
                         struct wmbt_failure *failure) {
  return wmbt_http_number(answer, "objects", question->result) ? true : wmbt_http_unexpected(question, failure);
}

bool wmbt_http_delete(struct wmbt_mode *mode, const struct wmbt_keys *keys, enum wmbt_selection selection,
                      uint64_t *objects, struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  const int64_t end_ms = wmbt_call_end_ms(keys->terms, remote->settings.delete_ms, remote->settings.most_ms);
  size_t first = 0;
  *objects = 0;
  do {
    uint64_t removed = 0;
    struct wmbt_http_question question = {.operation = "delete",
                                          .form = wmbt_http_of_delete,
                                          .selection = selection,
                                          .keys = wmbt_call_part(keys, first),
                                          .read = read_objects,
                                          .result = &removed};
    if (!run(remote, &question, end_ms, failure)) return false;
    *objects += removed;
    first += question.keys.count;
  } while (first < keys->count);
  return true;
}

/* The object as it came, without the space around it. */
static bool read_statistics(const struct wmbt_json *answer, const struct wmbt_http_question *question,
                            struct wmbt_failure *failure) {
  uint8_t *text = wmbt_borrow_add(question->result, answer->length + 1);
  if (text == NULL) return wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory for statistics");
  (void)memcpy(text, answer->text, answer->length);
  text[answer->length] = '\0';
  return true;
}

bool wmbt_http_stats(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                     struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  struct wmbt_http_question question = {
      .path = "GET /wmbt/v1/stats", .is_plain = true, .keys = *keys, .read = read_statistics, .result = borrow};
  const int64_t end_ms = wmbt_call_end_ms(keys->terms, remote->settings.lookup_ms, remote->settings.most_ms);
  return run(remote, &question, end_ms, failure);
}
