#include "text.h"

#include <stdint.h>

/* The lowest code point that a sequence of so many bytes may stand for. */
static const uint32_t lowest[5] = {0, 0, 0x80, 0x800, 0x10000};

/* Bytes of the sequence that this byte begins; 0 for one that begins none. */
static size_t sequence_bytes(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  if (first >= 0xf0 && first <= 0xf4) return 4;
  return 0;
}

bool wmbt_is_utf8(const char *text, size_t length) {
  const unsigned char *bytes = (const unsigned char *)text;
  for (size_t at = 0; at < length;) {
    const size_t count = sequence_bytes(bytes[at]);
    if (count == 0 || count > length - at) return false;
    uint32_t point = count == 1 ? bytes[at] : bytes[at] & (0x7fU >> count);
    for (size_t i = 1; i < count; i += 1) {
      if ((bytes[at + i] & 0xc0) != 0x80) return false;
      point = point << 6 | (bytes[at + i] & 0x3fU);
    }
    const bool is_surrogate = point >= 0xd800 && point <= 0xdfff;
    if (point < lowest[count] || point > 0x10ffff || is_surrogate) return false;
    at += count;
  }
  return true;
}
