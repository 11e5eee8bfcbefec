#include <stdlib.h>

#include "bounds.h"
#include "clock.h"
#include "http-bulk.h"
#include "http.h"

/* A load over all its attempts, as that of remote-load.c. */
struct load {
  struct wmbt_load_progress progress;
  const char *operation;
  enum wmbt_http_form form;
};

/* The beginning of a bulk body. */
struct table {
  uint8_t preamble[wmbt_bulk_preamble_bytes];
  /* Records and attributes; owned. */
  uint8_t *bytes;
  size_t records, attribute_bytes;
};

/* Reads the table of an answer, which holds at most these keys. It is freed by the caller, whatever comes of it. */
static bool read_table(struct wmbt_http_answer *answer, const struct wmbt_keys *keys, struct table *table,
                       int64_t wait_ms, struct wmbt_failure *failure) {
  struct wmbt_bulk_preamble said;
  if (!wmbt_http_read(answer, table->preamble, sizeof table->preamble, wait_ms, failure)) return false;
  if (!wmbt_bulk_decode_preamble(table->preamble, keys->count, &said, failure)) return false;
  const size_t length = wmbt_bulk_table_bytes(&said);
  if (!answer->head.is_chunked && answer->left < length) {
    return wmbt_fail(failure, wmbt_lost, "a bulk body claims a table of %zu bytes; %llu follow", length,
                     (unsigned long long)answer->left);
  }
  table->bytes = malloc(length == 0 ? 1 : length);
  if (table->bytes == NULL) return wmbt_fail(failure, wmbt_no_memory, "unavailable: no memory for an answer");
  uint64_t payload_bytes;
  if (!wmbt_http_read(answer, table->bytes, length, wait_ms, failure)) return false;
  if (!wmbt_bulk_check_table(table->preamble, table->bytes, keys->keys, &payload_bytes, failure)) return false;
  table->records = said.records;
  table->attribute_bytes = said.attributes;
  if (answer->head.is_chunked || answer->left == payload_bytes) return true;
  return wmbt_fail(failure, wmbt_lost, "a bulk body claims payloads of %llu bytes; %llu follow",
                   (unsigned long long)payload_bytes, (unsigned long long)answer->left);
}

/* The payload of the record becomes the borrow's next one, or nothing does. */
static bool read_payload(struct wmbt_http_answer *answer, struct wmbt_borrow *borrow, const struct table *table,
                         size_t record, int64_t wait_ms, struct wmbt_failure *failure) {
  uint8_t checksum[wmbt_bulk_checksum_bytes];
  const uint32_t length = wmbt_bulk_length_of(table->bytes, record);
  const struct wmbt_bulk_facts facts = wmbt_bulk_facts_of(table->bytes, record);
  uint8_t *into = wmbt_borrow_add(borrow, length);
  if (into == NULL) {
    /* The rest of the answer is not worth reading. */
    return wmbt_fail(failure, wmbt_no_memory, "unavailable: no memory for a payload of %u bytes", (unsigned)length);
  }
  uint32_t crc = 0;
  bool is_read = wmbt_http_read_summed(answer, into, length, &crc, wait_ms, failure) &&
                 wmbt_http_read(answer, checksum, sizeof checksum, wait_ms, failure);
  if (is_read && wmbt_u32_at(checksum) != crc) {
    is_read = wmbt_fail(failure, wmbt_lost, "a payload was damaged on its way: its checksum does not hold");
  }
  if (!is_read) {
    wmbt_borrow_drop_last(borrow);
    return false;
  }
  const wmbt_kv_payload_t known = {.tokens = facts.tokens,
                                   .flags = facts.has_decoded_tokens ? WMBT_KV_DECODED : 0,
                                   .tier = facts.tier,
                                   .crc32c = crc};
  wmbt_borrow_note(borrow, borrow->filled - 1, &known);
  return true;
}

/* What the attributes say, when all payloads have come. */
static bool take_attributes(struct load *load, const struct table *table, struct wmbt_failure *failure) {
  const char *text = (const char *)table->bytes + table->records * wmbt_bulk_record_bytes;
  struct wmbt_borrow *borrow = load->progress.borrow;
  struct wmbt_json object;
  uint64_t tokens;
  if (!wmbt_json_object(text, table->attribute_bytes, &object)) {
    return wmbt_fail(failure, wmbt_lost, "a bulk body whose attributes are no JSON object");
  }
  load->progress.has_missed = borrow->filled < load->progress.end;
  if (load->progress.has_missed) {
    const enum wmbt_miss reason = wmbt_http_reason(&object);
    /* Of a tail that is not there no reason comes. */
    load->progress.keys->terms->miss = reason == wmbt_miss_none ? wmbt_miss_unknown : reason;
  } else if (load->form == wmbt_http_of_tail && wmbt_http_number(&object, "tokens", &tokens) && borrow->shown != NULL) {
    /* How many of the tokens the tail covers. */
    borrow->shown[0].tokens = tokens > UINT32_MAX ? UINT32_MAX : (uint32_t)tokens;
  }
  return true;
}

static bool read_answer(struct load *load, struct wmbt_http_answer *answer, const struct wmbt_keys *rest,
                        int64_t wait_ms, struct wmbt_failure *failure) {
  struct table table = {.bytes = NULL};
  bool is_read = read_table(answer, rest, &table, wait_ms, failure);
  for (size_t i = 0; is_read && i < table.records; i += 1) {
    is_read = read_payload(answer, load->progress.borrow, &table, i, wait_ms, failure);
  }
  is_read = is_read && wmbt_http_read_end(answer, wait_ms, failure) && take_attributes(load, &table, failure);
  free(table.bytes);
  return is_read;
}

static bool attempt_load(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                         struct wmbt_failure *failure) {
  (void)id;
  struct load *load = call->state;
  const int64_t wait_ms = wmbt_call_wait_ms(call);
  const size_t first = load->progress.borrow->filled;
  const struct wmbt_keys *keys = load->progress.keys;
  const struct wmbt_http_question question = {
      .operation = load->operation,
      .form = load->form,
      .keys = {keys->ns, keys->keys + first, load->progress.end - first, keys->terms},
  };
  /* All had come before the last answer broke off. */
  if (question.keys.count == 0) return true;
  struct wmbt_http_answer answer;
  if (!wmbt_http_put(call, connection, &question, &answer, failure)) return false;
  if (answer.head.status != 200) return wmbt_http_refuse(&answer, wait_ms, failure);
  if (!answer.head.is_bulk) return wmbt_http_unexpected(&question, failure);
  return read_answer(load, &answer, &question.keys, wait_ms, failure);
}

static enum wmbt_outcome run(struct wmbt_remote *remote, struct load *load, int64_t end_ms,
                             struct wmbt_failure *failure) {
  struct wmbt_call call = {
      .remote = remote, .use = wmbt_bulk, .end_ms = end_ms, .attempt = attempt_load, .state = load};
  return wmbt_call_load(&call, &load->progress, failure);
}

enum wmbt_outcome wmbt_http_load(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                                 struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  struct load load = {.progress = {.keys = keys, .borrow = borrow}, .operation = "load", .form = wmbt_http_of_load};
  const struct wmbt_call_settings *settings = &remote->settings;
  return run(remote, &load, wmbt_call_end_ms(keys->terms, settings->load_ms, settings->most_ms), failure);
}

enum wmbt_outcome wmbt_http_load_tail(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                                      struct wmbt_failure *failure) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  const bool is_bound = keys->terms->tokens != NULL;
  struct load load = {.progress = {.keys = keys, .borrow = borrow},
                      .operation = is_bound ? "load-tail" : "load-raw-tail",
                      .form = is_bound ? wmbt_http_of_tail : wmbt_http_of_raw_tail};
  const struct wmbt_call_settings *settings = &remote->settings;
  return run(remote, &load, wmbt_call_end_ms(keys->terms, settings->tail_ms, settings->most_ms), failure);
}
