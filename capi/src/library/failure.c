#include "failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool wmbt_fail(struct wmbt_failure *failure, enum wmbt_failure_kind kind, const char *format, ...) {
  failure->kind = kind;
  va_list values;
  va_start(values, format);
  (void)vsnprintf(failure->text, sizeof failure->text, format, values);
  va_end(values);
  return false;
}

void wmbt_failure_name(struct wmbt_failure *failure, const char *what) {
  char text[wmbt_failure_text_max];
  (void)memcpy(text, failure->text, sizeof text);
  const int written = snprintf(failure->text, sizeof failure->text, "%s: ", what);
  const size_t begun = written < 0 ? 0 : (size_t)written;
  if (begun < sizeof failure->text) (void)snprintf(failure->text + begun, sizeof failure->text - begun, "%s", text);
}

static const char *const words[wmbt_wire_codes] = {
    "unavailable", "busy", "corrupt", "incompatible", "too large", "invalid", "closed", "aborted",
};

const char *wmbt_failure_word(enum wmbt_failure_kind kind) {
  return kind < wmbt_wire_codes ? words[kind] : words[wmbt_unavailable];
}

enum wmbt_failure_kind wmbt_failure_kind_of(const char *text) {
  for (unsigned i = 0; i < wmbt_wire_codes; i += 1) {
    const size_t length = strlen(words[i]);
    if (strncmp(text, words[i], length) == 0 && text[length] == ':') return (enum wmbt_failure_kind)i;
  }
  return wmbt_unavailable;
}

void wmbt_quote(char *into, unsigned size, const char *text) {
  /* The longest escape, three dots, a quote and the terminator still fit. */
  const unsigned room = size < 16 ? 0 : size - 14;
  unsigned at = 0;
  into[at++] = '"';
  for (; *text != '\0' && at < room; text += 1) {
    const unsigned char one = (unsigned char)*text;
    if (one == '"' || one == '\\') into[at++] = '\\';
    if (one < 0x20 || one == 0x7f) {
      at += (unsigned)snprintf(into + at, 9, "\\u{%x}", one);
    } else {
      into[at++] = (char)one;
    }
  }
  (void)snprintf(into + at, size - at, *text == '\0' ? "\"" : "...\"");
}
