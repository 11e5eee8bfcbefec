#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "http-exchange.h"
#include "json.h"

enum { code_max = 32, reason_max = 900 };

/* What a status says when the body says nothing. */
static enum wmbt_failure_kind kind_of_status(unsigned status) {
  switch (status) {
    case 409: return wmbt_incompatible;
    case 413: return wmbt_too_large;
    case 429: return wmbt_busy;
    default: return status >= 400 && status < 500 ? wmbt_invalid : wmbt_unavailable;
  }
}

/* `TOO_LARGE` is `too large`. */
static bool is_code(const char *code, const char *word) {
  for (; *code != '\0' && *word != '\0'; code += 1, word += 1) {
    if (*code != (*word == ' ' ? '_' : toupper((unsigned char)*word))) return false;
  }
  return *code == *word;
}

static enum wmbt_failure_kind kind_of(unsigned status, const char *code) {
  /* The request came too slowly: another one may not. */
  if (status == 408) return wmbt_lost;
  /* What was left out of a save is gone. */
  if (strcmp(code, "MISSING") == 0) return wmbt_again;
  for (int kind = 0; kind < wmbt_wire_codes; kind += 1) {
    if (is_code(code, wmbt_failure_word((enum wmbt_failure_kind)kind))) return (enum wmbt_failure_kind)kind;
  }
  return kind_of_status(status);
}

/* A member of `{"error":{…}}`; the empty string when there is none. */
static void read_error(const char *text, size_t length, const char *name, char *into, size_t size) {
  struct wmbt_json object, error, value;
  into[0] = '\0';
  if (!wmbt_json_object(text, length, &object) || !wmbt_json_member(&object, "error", &error)) return;
  if (!wmbt_json_member(&error, name, &value) || !wmbt_json_string(&value, into, size)) into[0] = '\0';
}

bool wmbt_http_refuse(struct wmbt_http_answer *answer, int64_t deadline_ms, struct wmbt_failure *failure) {
  const unsigned status = answer->head.status;
  char code[code_max], reason[reason_max];
  size_t length;
  char *text = wmbt_http_read_text(answer, &length, deadline_ms, failure);
  if (text == NULL || !wmbt_http_read_end(answer, deadline_ms, failure)) {
    free(text);
    return false;
  }
  read_error(text, length, "code", code, sizeof code);
  read_error(text, length, "reason", reason, sizeof reason);
  free(text);
  const enum wmbt_failure_kind kind = kind_of(status, code);
  if (reason[0] != '\0') return wmbt_fail(failure, kind, "%s: %s", wmbt_failure_word(kind), reason);
  const char *why = status >= 300 && status < 400 ? "redirects are not followed" : "it gives no reason";
  return wmbt_fail(failure, kind, "%s: the server answers with status %u: %s", wmbt_failure_word(kind), status, why);
}
