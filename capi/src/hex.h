/* Hexadecimal text of digests. */
#ifndef WMBT_HEX_H
#define WMBT_HEX_H

#include <stdbool.h>
#include <stdint.h>

enum { wmbt_digest_bytes = 32, wmbt_digest_digits = 64 };

/*
 * The digest that 64 hexadecimal digits of either case stand for. False, with `digest` in any state, when one
 * of the characters is no digit. Reads exactly 64 characters: the caller has checked the length.
 */
bool wmbt_hex_parse(const char *digits, uint8_t digest[wmbt_digest_bytes]);

/* Writes 64 lower-case digits, without a terminator. */
void wmbt_hex_write(const uint8_t digest[wmbt_digest_bytes], char *digits);

/* One way to parse. */
struct wmbt_hex_parser {
  const char *name;
  bool (*is_supported)(void);
  bool (*parse)(const char *digits, uint8_t digest[wmbt_digest_bytes]);
};

/* All parsers that were compiled, the slowest first. */
const struct wmbt_hex_parser *wmbt_hex_parsers(unsigned *count);

#endif
