#include "http-head.h"

#include <string.h>
#include <strings.h>

/* Of a body; far more than is ever taken, and far from where sums would overflow. */
static const uint64_t body_bytes_max = (UINT64_C(1) << 53) - 1;

static bool refuse(struct wmbt_failure *failure, const char *why) {
  return wmbt_fail(failure, wmbt_lost, "what answers speaks no HTTP/1.1: %s", why);
}

bool wmbt_http_head_end(const uint8_t *bytes, size_t length, size_t *looked, size_t *end,
                        struct wmbt_failure *failure) {
  *end = 0;
  for (; *looked < length; *looked += 1) {
    const size_t at = *looked;
    if (at >= wmbt_http_head_bytes_max) return refuse(failure, "a head of more than 16384 bytes");
    const bool is_after_return = at > 0 && bytes[at - 1] == '\r';
    if (bytes[at] != '\n') {
      if (is_after_return) return refuse(failure, "a CR that ends no line");
      continue;
    }
    if (!is_after_return) return refuse(failure, "a line that ends with LF instead of CR LF");
    if (at == 1) return refuse(failure, "an empty line instead of an answer");
    if (at < 3 || bytes[at - 2] != '\n') continue;
    *end = at + 1;
    return true;
  }
  return true;
}

/* A piece of the head. */
struct slice {
  const char *text;
  size_t length;
};

static bool is_digit(char one) { return one >= '0' && one <= '9'; }

/* Everything but controls; a tab may stand between words. */
static bool is_value(struct slice value) {
  for (size_t i = 0; i < value.length; i += 1) {
    const unsigned char one = (unsigned char)value.text[i];
    if ((one < 0x20 && one != '\t') || one == 0x7f) return false;
  }
  return true;
}

static bool is_token(struct slice name) {
  static const char allowed[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  for (size_t i = 0; i < name.length; i += 1) {
    if (memchr(allowed, name.text[i], sizeof allowed - 1) == NULL) return false;
  }
  return name.length > 0;
}

/* Spaces and tabs only: what else counts as space elsewhere stays, and is refused. */
static struct slice trimmed(struct slice slice) {
  while (slice.length > 0 && (slice.text[0] == ' ' || slice.text[0] == '\t')) {
    slice.text += 1;
    slice.length -= 1;
  }
  while (slice.length > 0 && memchr(" \t", slice.text[slice.length - 1], 2) != NULL) slice.length -= 1;
  return slice;
}

static bool equals(struct slice slice, const char *word) {
  return slice.length == strlen(word) && strncasecmp(slice.text, word, slice.length) == 0;
}

/* Whether the list, whose members are parted by commas, has the word. */
static bool lists(struct slice list, const char *word) {
  for (size_t at = 0; at <= list.length;) {
    const char *comma = memchr(list.text + at, ',', list.length - at);
    const size_t end = comma == NULL ? list.length : (size_t)(comma - list.text);
    if (equals(trimmed((struct slice){list.text + at, end - at}), word)) return true;
    at = end + 1;
  }
  return false;
}

/* What the lines say so far. */
struct fields {
  unsigned lengths, codings, types;
  bool is_bulk, is_closing;
  uint64_t body_bytes;
};

static bool take_length(struct slice value, struct fields *fields, struct wmbt_failure *failure) {
  fields->lengths += 1;
  if (fields->lengths > 1) return refuse(failure, "more than one Content-Length");
  fields->body_bytes = 0;
  for (size_t i = 0; i < value.length; i += 1) {
    if (!is_digit(value.text[i])) return refuse(failure, "a Content-Length that is no number");
    fields->body_bytes = fields->body_bytes * 10 + (uint64_t)(value.text[i] - '0');
    if (fields->body_bytes > body_bytes_max) return refuse(failure, "a Content-Length beyond 2^53");
  }
  return value.length > 0 ? true : refuse(failure, "a Content-Length that is no number");
}

static bool take_field(struct slice name, struct slice value, struct fields *fields, struct wmbt_failure *failure) {
  if (equals(name, "content-length")) return take_length(value, fields, failure);
  if (equals(name, "transfer-encoding")) {
    fields->codings += 1;
    if (fields->codings > 1 || !equals(value, "chunked")) return refuse(failure, "a transfer coding but chunked");
  } else if (equals(name, "connection")) {
    fields->is_closing = fields->is_closing || lists(value, "close");
  } else if (equals(name, "content-type")) {
    fields->types += 1;
    fields->is_bulk = fields->types == 1 && equals(value, "application/vnd.wombatkv.bulk");
  }
  return true;
}

static bool take_line(struct slice line, struct fields *fields, struct wmbt_failure *failure) {
  const char *colon = memchr(line.text, ':', line.length);
  if (line.length > 0 && memchr(" \t", line.text[0], 2) != NULL) return refuse(failure, "a folded line of a head");
  if (colon == NULL) return refuse(failure, "a line of a head without a colon");
  const struct slice name = {line.text, (size_t)(colon - line.text)};
  /* A space before the colon is the classic way to hide a header from one of two readers. */
  if (!is_token(name)) return refuse(failure, "a line of a head whose name is none");
  const struct slice value = trimmed((struct slice){colon + 1, line.length - name.length - 1});
  if (!is_value(value)) return refuse(failure, "a control character in a head");
  return take_field(name, value, fields, failure);
}

/* `HTTP/1.1 200 OK`; the words behind the status may be missing. */
static bool take_status(struct slice line, struct wmbt_http_head *head, struct wmbt_failure *failure) {
  const char *text = line.text;
  const bool is_whole = line.length >= 12 && memcmp(text, "HTTP/1.", 7) == 0 && is_digit(text[7]) && text[8] == ' ' &&
                        is_digit(text[9]) && is_digit(text[10]) && is_digit(text[11]) &&
                        (line.length == 12 || text[12] == ' ') && is_value(line);
  if (!is_whole) return refuse(failure, "its bytes begin with no status line");
  head->status = (unsigned)(text[9] - '0') * 100 + (unsigned)(text[10] - '0') * 10 + (unsigned)(text[11] - '0');
  if (head->status < 100) return refuse(failure, "a status below 100");
  head->is_kept = text[7] != '0';
  return true;
}

/* RFC 9112, section 6: the one length that every reader finds. */
static bool take_framing(const struct fields *fields, struct wmbt_http_head *head, struct wmbt_failure *failure) {
  if (fields->codings > 0 && fields->lengths > 0) return refuse(failure, "Content-Length beside Transfer-Encoding");
  if (fields->codings > 0 && !head->is_kept) return refuse(failure, "Transfer-Encoding in HTTP/1.0");
  const bool is_bodiless = head->status < 200 || head->status == 204 || head->status == 304;
  if (!is_bodiless && fields->codings == 0 && fields->lengths == 0) {
    return refuse(failure, "an answer whose length nobody states");
  }
  head->is_chunked = !is_bodiless && fields->codings > 0;
  head->body_bytes = is_bodiless ? 0 : fields->body_bytes;
  head->is_bulk = fields->is_bulk;
  head->is_kept = head->is_kept && !fields->is_closing;
  return true;
}

bool wmbt_http_head_parse(const uint8_t *bytes, size_t length, struct wmbt_http_head *head,
                          struct wmbt_failure *failure) {
  const char *text = (const char *)bytes;
  struct fields fields = {0};
  *head = (struct wmbt_http_head){0};
  unsigned lines = 0;
  /* The empty line at the end is none of them. */
  for (size_t at = 0; at + 2 < length; lines += 1) {
    const char *end = memchr(text + at, '\r', length - at);
    if (end == NULL) return refuse(failure, "a head without an end");
    const struct slice line = {text + at, (size_t)(end - text) - at};
    if (lines > wmbt_http_fields_max) return refuse(failure, "a head of more than 100 lines");
    if (!(lines == 0 ? take_status(line, head, failure) : take_line(line, &fields, failure))) return false;
    at += line.length + 2;
  }
  return lines == 0 ? refuse(failure, "an empty head") : take_framing(&fields, head, failure);
}

bool wmbt_http_chunk_size(const char *line, size_t length, uint64_t *size, struct wmbt_failure *failure) {
  *size = 0;
  size_t digits = 0;
  for (; digits < length; digits += 1) {
    const char *found = memchr("0123456789abcdefABCDEF", line[digits], 22);
    if (found == NULL) break;
    const char one = *found;
    const unsigned value = is_digit(one) ? (unsigned)(one - '0') : ((unsigned)one & 7U) + 9;
    *size = *size << 4 | value;
    if (*size > body_bytes_max) return refuse(failure, "a chunk beyond 2^53 bytes");
  }
  const struct slice rest = trimmed((struct slice){line + digits, length - digits});
  const bool is_size = digits > 0 && (digits == length || (rest.length > 0 && rest.text[0] == ';')) && is_value(rest);
  return is_size ? true : refuse(failure, "a chunk without its size");
}

bool wmbt_http_trailer_check(const char *line, size_t length, struct wmbt_failure *failure) {
  struct fields ignored = {0};
  return take_line((struct slice){line, length}, &ignored, failure);
}
