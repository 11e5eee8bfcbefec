/* What requests say in JSON, and what members of answers mean. */
#include <stdio.h>
#include <string.h>

#include "../hex.h"
#include "http.h"

static void write_text(struct wmbt_writer *writer, const char *text) { wmbt_write_bytes(writer, text, strlen(text)); }

static void write_key(struct wmbt_writer *writer, const struct wmbt_key *key) {
  char digits[wmbt_digest_digits + 2];
  digits[0] = digits[sizeof digits - 1] = '"';
  wmbt_hex_write(key->bytes, digits + 1);
  wmbt_write_bytes(writer, digits, sizeof digits);
}

static void write_keys(struct wmbt_writer *writer, const struct wmbt_keys *keys) {
  write_text(writer, "\"keys\":[");
  for (size_t i = 0; i < keys->count; i += 1) {
    if (i > 0) write_text(writer, ",");
    write_key(writer, &keys->keys[i]);
  }
  write_text(writer, "]");
}

static void write_lengths(struct wmbt_writer *writer, const size_t *lens, size_t count) {
  char number[24];
  write_text(writer, ",\"lengths\":[");
  for (size_t i = 0; i < count; i += 1) {
    (void)snprintf(number, sizeof number, i == 0 ? "%zu" : ",%zu", lens[i]);
    write_text(writer, number);
  }
  write_text(writer, "]");
}

static void write_tokens(struct wmbt_writer *writer, const struct wmbt_terms *terms) {
  char number[16];
  write_text(writer, "\"tokens\":[");
  for (size_t i = 0; i < terms->token_count; i += 1) {
    (void)snprintf(number, sizeof number, i == 0 ? "%ld" : ",%ld", (long)terms->tokens[i]);
    write_text(writer, number);
  }
  write_text(writer, "]");
}

static void write_named(struct wmbt_writer *writer, const char *name, const struct wmbt_key *key) {
  if (key == NULL) return;
  write_text(writer, name);
  write_key(writer, key);
}

static void write_selection(struct wmbt_writer *writer, const struct wmbt_http_question *question) {
  switch (question->selection) {
    case wmbt_select_blocks:
      write_text(writer, "\"kind\":\"blocks\",");
      write_keys(writer, &question->keys);
      break;
    case wmbt_select_subtree:
      write_named(writer, "\"kind\":\"subtree\",\"root\":", question->keys.keys);
      break;
    case wmbt_select_namespace:
    default:
      write_text(writer, "\"kind\":\"namespace\"");
  }
}

void wmbt_http_write_form(struct wmbt_writer *writer, const struct wmbt_http_question *question) {
  const struct wmbt_terms *terms = question->keys.terms;
  const enum wmbt_http_form form = question->form;
  write_text(writer, "{");
  if (form == wmbt_http_of_keys || form == wmbt_http_of_load) write_keys(writer, &question->keys);
  if (question->lens != NULL) write_lengths(writer, question->lens, question->keys.count);
  if (form == wmbt_http_of_tail || form == wmbt_http_of_raw_tail) write_named(writer, "\"tip\":", question->keys.keys);
  if (form == wmbt_http_of_tail) {
    write_text(writer, ",");
    write_tokens(writer, terms);
  }
  if (form == wmbt_http_of_load || form == wmbt_http_of_tail) {
    if (terms->is_exact) write_text(writer, ",\"exact\":true");
    write_named(writer, ",\"fingerprint\":", terms->fingerprint);
  }
  if (form == wmbt_http_of_delete) write_selection(writer, question);
  write_text(writer, "}");
}

void wmbt_http_write_attributes(struct wmbt_writer *writer, const struct wmbt_terms *terms,
                                enum wmbt_durability durability, const struct wmbt_key *parent) {
  /* A comma before each but the first. */
  const size_t start = writer->length;
  if (durability != wmbt_as_the_settings_say) {
    write_text(writer, durability == wmbt_when_durable ? ",\"durable\":true" : ",\"durable\":false");
  }
  write_named(writer, ",\"parent\":", parent);
  write_named(writer, ",\"fingerprint\":", terms->fingerprint);
  if (terms->tokens != NULL) {
    write_text(writer, ",");
    write_tokens(writer, terms);
  }
  if (writer->length == start) write_text(writer, "{");
  if (!writer->has_failed) writer->bytes[start] = '{';
  wmbt_write_bytes(writer, "}", 2);
}

bool wmbt_http_number(const struct wmbt_json *object, const char *name, uint64_t *number) {
  struct wmbt_json value;
  return wmbt_json_member(object, name, &value) && wmbt_json_count(&value, number);
}

enum wmbt_miss wmbt_http_reason(const struct wmbt_json *object) {
  /* In the order of their numbers, from 1. */
  static const char *const reasons[] = {"unknown",  "evicted",     "corrupt",      "decoded", "other-fingerprint",
                                        "deadline", "unavailable", "incompatible", "closed"};
  struct wmbt_json value;
  char word[32];
  if (!wmbt_json_member(object, "reason", &value) || !wmbt_json_string(&value, word, sizeof word)) {
    return wmbt_miss_none;
  }
  for (unsigned i = 0; i < sizeof reasons / sizeof reasons[0]; i += 1) {
    if (strcmp(word, reasons[i]) == 0) return (enum wmbt_miss)(i + 1);
  }
  /* One that a newer daemon has. */
  return wmbt_miss_unknown;
}
