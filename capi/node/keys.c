#include "keys.h"

#include <string.h>

/* True when a digit is a letter of the upper case: those have bit 6 of their codes, and not bit 5. */
static bool has_upper_case(const char text[wmbt_digest_digits]) {
  uint64_t upper = 0;
  for (size_t at = 0; at < wmbt_digest_digits; at += sizeof upper) {
    uint64_t codes;
    memcpy(&codes, text + at, sizeof codes);
    upper |= codes >> 6 & ~(codes >> 5);
  }
  return (upper & UINT64_C(0x0101010101010101)) != 0;
}

bool wmbt_parse_key(const char text[wmbt_digest_digits], uint8_t key[wmbt_digest_bytes]) {
  return !has_upper_case(text) && wmbt_hex_parse(text, key);
}

bool wmbt_read_keys(napi_env env, napi_value value, struct wmbt_keys *keys) {
  char text[wmbt_keys_max * wmbt_digest_digits + 1];
  size_t length = 0, utf8_length = 0;
  if (napi_get_value_string_latin1(env, value, NULL, 0, &length) != napi_ok ||
      napi_get_value_string_utf8(env, value, NULL, 0, &utf8_length) != napi_ok) {
    napi_throw_type_error(env, NULL, "text was expected");
    return false;
  }
  keys->given = length / wmbt_digest_digits;
  keys->count = 0;
  if (length % wmbt_digest_digits != 0 || keys->given > wmbt_keys_max) {
    napi_throw_range_error(env, NULL, "keys have 64 characters each, and there are at most 1016");
    return false;
  }
  /* A character that takes more than a byte is no digit, though the byte that is left of it may look like one. */
  if (utf8_length != length) return true;
  if (napi_get_value_string_latin1(env, value, text, sizeof text, &length) != napi_ok) return false;
  for (; keys->count < keys->given; keys->count += 1) {
    if (!wmbt_parse_key(text + keys->count * wmbt_digest_digits, keys->digests[keys->count])) break;
  }
  return true;
}
