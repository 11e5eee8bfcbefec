#include "json.h"

#include <string.h>

#include "text.h"

/* Answers have three levels at most; each one more is a call of this code into itself. */
enum { depth_max = 8 };

struct cursor {
  const char *at, *end;
};

static bool is_at(const struct cursor *cursor, char one) { return cursor->at < cursor->end && *cursor->at == one; }

static bool take(struct cursor *cursor, char one) {
  if (!is_at(cursor, one)) return false;
  cursor->at += 1;
  return true;
}

static void skip_space(struct cursor *cursor) {
  while (cursor->at < cursor->end && memchr(" \t\r\n", *cursor->at, 4) != NULL) cursor->at += 1;
}

static bool is_digit(const struct cursor *cursor) {
  return cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9';
}

static bool skip_digits(struct cursor *cursor) {
  if (!is_digit(cursor)) return false;
  while (is_digit(cursor)) cursor->at += 1;
  return true;
}

static bool skip_number(struct cursor *cursor) {
  (void)take(cursor, '-');
  /* No digit follows a zero at the beginning. */
  if (!take(cursor, '0') && !skip_digits(cursor)) return false;
  if (take(cursor, '.') && !skip_digits(cursor)) return false;
  if (!take(cursor, 'e') && !take(cursor, 'E')) return true;
  if (!take(cursor, '+')) (void)take(cursor, '-');
  return skip_digits(cursor);
}

static bool skip_word(struct cursor *cursor) {
  static const char *const words[] = {"true", "false", "null"};
  for (unsigned i = 0; i < 3; i += 1) {
    const size_t length = strlen(words[i]);
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, words[i], length) != 0) continue;
    cursor->at += length;
    return true;
  }
  return false;
}

static int digit_of(char one) {
  if (one >= '0' && one <= '9') return one - '0';
  if (one >= 'a' && one <= 'f') return one - 'a' + 10;
  if (one >= 'A' && one <= 'F') return one - 'A' + 10;
  return -1;
}

/* Four digits; -1 when they are none. */
static int32_t take_unit(struct cursor *cursor) {
  int32_t unit = 0;
  for (unsigned i = 0; i < 4; i += 1) {
    const int digit = cursor->at < cursor->end ? digit_of(*cursor->at) : -1;
    if (digit < 0) return -1;
    unit = unit << 4 | digit;
    cursor->at += 1;
  }
  return unit;
}

/* The code point behind `\u`; half of a pair that stands alone is what stands for no character. */
static int32_t take_escaped_point(struct cursor *cursor) {
  enum { replacement = 0xfffd };
  const int32_t first = take_unit(cursor);
  if (first < 0xd800 || first > 0xdfff) return first;
  struct cursor ahead = *cursor;
  const bool has_more = first < 0xdc00 && take(&ahead, '\\') && take(&ahead, 'u');
  const int32_t second = has_more ? take_unit(&ahead) : -1;
  if (second < 0xdc00 || second > 0xdfff) return replacement;
  *cursor = ahead;
  return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
}

/* The code point of the escape behind a backslash; -1 when there is no such escape. */
static int32_t take_escape(struct cursor *cursor) {
  static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  if (cursor->at == cursor->end) return -1;
  const char letter = *cursor->at;
  cursor->at += 1;
  if (letter == 'u') return take_escaped_point(cursor);
  const char *found = memchr(letters, letter, sizeof letters - 1);
  return found == NULL ? -1 : meanings[found - letters];
}

static bool skip_string(struct cursor *cursor) {
  if (!take(cursor, '"')) return false;
  while (cursor->at < cursor->end && *cursor->at != '"') {
    const unsigned char one = (unsigned char)*cursor->at;
    cursor->at += 1;
    if (one < 0x20) return false;
    if (one == '\\' && take_escape(cursor) < 0) return false;
  }
  return take(cursor, '"');
}

static bool skip_value(struct cursor *cursor, unsigned depth);

/* An object, when `close` is its brace, or an array. */
static bool skip_members(struct cursor *cursor, char close, unsigned depth) {
  cursor->at += 1;
  skip_space(cursor);
  if (take(cursor, close)) return true;
  do {
    if (close == '}') {
      skip_space(cursor);
      if (!skip_string(cursor)) return false;
      skip_space(cursor);
      if (!take(cursor, ':')) return false;
    }
    if (!skip_value(cursor, depth)) return false;
  } while (take(cursor, ','));
  return take(cursor, close);
}

/* A value and the space around it. */
static bool skip_value(struct cursor *cursor, unsigned depth) {
  skip_space(cursor);
  bool is_value;
  if (is_at(cursor, '{')) {
    is_value = depth > 0 && skip_members(cursor, '}', depth - 1);
  } else if (is_at(cursor, '[')) {
    is_value = depth > 0 && skip_members(cursor, ']', depth - 1);
  } else if (is_at(cursor, '"')) {
    is_value = skip_string(cursor);
  } else {
    is_value = is_digit(cursor) || is_at(cursor, '-') ? skip_number(cursor) : skip_word(cursor);
  }
  skip_space(cursor);
  return is_value;
}

/* The value at the cursor, which goes on behind it. */
static struct wmbt_json take_value(struct cursor *cursor) {
  skip_space(cursor);
  const char *start = cursor->at;
  if (!skip_value(cursor, depth_max)) cursor->at = cursor->end;
  const char *end = cursor->at;
  while (end > start && memchr(" \t\r\n", end[-1], 4) != NULL) end -= 1;
  return (struct wmbt_json){start, (size_t)(end - start)};
}

bool wmbt_json_object(const char *text, size_t length, struct wmbt_json *object) {
  struct cursor cursor = {text, text + length};
  skip_space(&cursor);
  if (!is_at(&cursor, '{') || !wmbt_is_utf8(text, length)) return false;
  if (!skip_value(&cursor, depth_max) || cursor.at != cursor.end) return false;
  cursor.at = text;
  *object = take_value(&cursor);
  return true;
}

static struct cursor inside(const struct wmbt_json *value) {
  return (struct cursor){value->text + 1, value->text + value->length - 1};
}

bool wmbt_json_member(const struct wmbt_json *object, const char *name, struct wmbt_json *value) {
  if (object->length < 2 || object->text[0] != '{') return false;
  const size_t length = strlen(name);
  struct cursor cursor = inside(object);
  do {
    const struct wmbt_json found = take_value(&cursor);
    if (!take(&cursor, ':')) return false;
    *value = take_value(&cursor);
    if (found.length == length + 2 && memcmp(found.text + 1, name, length) == 0) return true;
  } while (take(&cursor, ','));
  return false;
}

bool wmbt_json_next(const struct wmbt_json *array, size_t *at, struct wmbt_json *element) {
  if (array->length < 2 || array->text[0] != '[') return false;
  struct cursor cursor = inside(array);
  const char *first = cursor.at;
  cursor.at += *at;
  skip_space(&cursor);
  if (cursor.at >= cursor.end) return false;
  *element = take_value(&cursor);
  (void)take(&cursor, ',');
  *at = (size_t)(cursor.at - first);
  return true;
}

bool wmbt_json_count(const struct wmbt_json *value, uint64_t *count) {
  const uint64_t most = (UINT64_C(1) << 53) - 1;
  *count = 0;
  for (size_t i = 0; i < value->length; i += 1) {
    const int digit = digit_of(value->text[i]);
    if (digit < 0 || digit > 9) return false;
    *count = *count * 10 + (uint64_t)digit;
    if (*count > most) return false;
  }
  return value->length > 0;
}

bool wmbt_json_is_word(const struct wmbt_json *value, const char *word) {
  const size_t length = strlen(word);
  return value->length == length && memcmp(value->text, word, length) == 0;
}

/* Writes the code point in UTF-8; gives the number of bytes. */
static size_t encode_point(uint32_t point, char into[4]) {
  if (point < 0x80) {
    into[0] = (char)(point == 0 ? ' ' : point);
    return 1;
  }
  const size_t count = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  for (size_t i = count - 1; i > 0; i -= 1) {
    into[i] = (char)(0x80 | (point & 0x3f));
    point >>= 6;
  }
  into[0] = (char)((0xf00U >> count & 0xffU) | point);
  return count;
}

bool wmbt_json_string(const struct wmbt_json *value, char *into, size_t size) {
  if (size == 0 || value->length < 2 || value->text[0] != '"') return false;
  struct cursor cursor = inside(value);
  size_t length = 0;
  while (cursor.at < cursor.end) {
    char bytes[4] = {*cursor.at};
    size_t count = 1;
    cursor.at += 1;
    if (bytes[0] == '\\') {
      const int32_t point = take_escape(&cursor);
      if (point < 0) return false;
      count = encode_point((uint32_t)point, bytes);
    }
    if (length + count >= size) break;
    (void)memcpy(into + length, bytes, count);
    length += count;
  }
  into[length] = '\0';
  return true;
}
