#include "hex.h"

#include <stdatomic.h>
#include <stddef.h>

#include "cpu.h"

/* One more than the value of a digit; 0 for every other character. */
static const uint8_t digit_values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static bool parse_by_table(const char *digits, uint8_t digest[wmbt_digest_bytes]) {
  bool are_digits = true;
  for (size_t i = 0; i < wmbt_digest_bytes; i += 1) {
    const unsigned high = digit_values[(uint8_t)digits[2 * i]];
    const unsigned low = digit_values[(uint8_t)digits[2 * i + 1]];
    are_digits = are_digits && high != 0 && low != 0;
    digest[i] = (uint8_t)((high - 1) << 4 | ((low - 1) & 15));
  }
  return are_digits;
}

static bool always(void) { return true; }

#if WMBT_X86

#include <immintrin.h>

/* All ones in every byte of which `low <= byte <= high` holds, all three being below 128 or negative. */
WMBT_TARGET("avx2")
static inline __m256i between(__m256i bytes, char low, char high) {
  const __m256i above = _mm256_cmpgt_epi8(bytes, _mm256_set1_epi8((char)(low - 1)));
  return _mm256_and_si256(above, _mm256_cmpgt_epi8(_mm256_set1_epi8((char)(high + 1)), bytes));
}

/* 16 bytes of 32 digits, in the lower half of each lane; clears `*are_digits` when one is none. */
WMBT_TARGET("avx2")
static inline __m256i parse_32(const char *digits, bool *are_digits) {
  const __m256i text = _mm256_loadu_si256((const __m256i *)(const void *)digits);
  const __m256i lower = _mm256_or_si256(text, _mm256_set1_epi8(0x20));
  const __m256i is_decimal = between(text, '0', '9');
  const __m256i is_letter = between(lower, 'a', 'f');
  if (_mm256_movemask_epi8(_mm256_or_si256(is_decimal, is_letter)) != -1) *are_digits = false;
  /* A letter's low four bits count from 1. */
  const __m256i nine = _mm256_and_si256(is_letter, _mm256_set1_epi8(9));
  const __m256i values = _mm256_add_epi8(_mm256_and_si256(text, _mm256_set1_epi8(15)), nine);
  /* Sixteen times the first of each pair, plus the second, as words of 16 bits. */
  const __m256i pairs = _mm256_maddubs_epi16(values, _mm256_set1_epi16(0x0110));
  return _mm256_packus_epi16(pairs, _mm256_setzero_si256());
}

WMBT_TARGET("avx2")
static bool parse_by_avx2(const char *digits, uint8_t digest[wmbt_digest_bytes]) {
  bool are_digits = true;
  const __m256i first = parse_32(digits, &are_digits);
  const __m256i second = parse_32(digits + 32, &are_digits);
  /* Lanes hold 8 bytes of the first, 8 of the second: put them in order. */
  const __m256i both = _mm256_unpacklo_epi64(first, second);
  _mm256_storeu_si256((__m256i *)(void *)digest, _mm256_permute4x64_epi64(both, 0xd8));
  return are_digits;
}

static const struct wmbt_hex_parser parsers[] = {
    {"table", always, parse_by_table},
    {"avx2", wmbt_cpu_has_avx2, parse_by_avx2},
};

#elif WMBT_ARM

#include <arm_neon.h>

/* Values of 16 digits; collects in `*bad` all ones where a character is none. */
static inline uint8x16_t values_of(uint8x16_t text, uint8x16_t *bad) {
  const uint8x16_t decimal = vsubq_u8(text, vdupq_n_u8('0'));
  const uint8x16_t letter = vsubq_u8(vorrq_u8(text, vdupq_n_u8(0x20)), vdupq_n_u8('a'));
  const uint8x16_t is_decimal = vcltq_u8(decimal, vdupq_n_u8(10));
  const uint8x16_t is_letter = vcltq_u8(letter, vdupq_n_u8(6));
  *bad = vorrq_u8(*bad, vmvnq_u8(vorrq_u8(is_decimal, is_letter)));
  return vbslq_u8(is_decimal, decimal, vaddq_u8(letter, vdupq_n_u8(10)));
}

static bool parse_by_neon(const char *digits, uint8_t digest[wmbt_digest_bytes]) {
  uint8x16_t bad = vdupq_n_u8(0);
  for (size_t half = 0; half < 2; half += 1) {
    /* The load parts the first digits of 16 pairs from the second ones. */
    const uint8x16x2_t pairs = vld2q_u8((const uint8_t *)digits + 32 * half);
    const uint8x16_t high = values_of(pairs.val[0], &bad), low = values_of(pairs.val[1], &bad);
    vst1q_u8(digest + 16 * half, vorrq_u8(vshlq_n_u8(high, 4), low));
  }
  return vmaxvq_u8(bad) == 0;
}

static const struct wmbt_hex_parser parsers[] = {
    {"table", always, parse_by_table},
    {"neon", always, parse_by_neon},
};

#else

static const struct wmbt_hex_parser parsers[] = {{"table", always, parse_by_table}};

#endif

enum { parser_count = sizeof parsers / sizeof parsers[0] };

const struct wmbt_hex_parser *wmbt_hex_parsers(unsigned *count) {
  *count = parser_count;
  return parsers;
}

bool wmbt_hex_parse(const char *digits, uint8_t digest[wmbt_digest_bytes]) {
  /* NULL until the first call. Threads that come at once choose the same. */
  static _Atomic(const struct wmbt_hex_parser *) in_use;
  const struct wmbt_hex_parser *parser = atomic_load_explicit(&in_use, memory_order_relaxed);
  if (parser == NULL) {
    parser = &parsers[parser_count - 1];
    if (!parser->is_supported()) parser = &parsers[0];
    atomic_store_explicit(&in_use, parser, memory_order_relaxed);
  }
  return parser->parse(digits, digest);
}

void wmbt_hex_write(const uint8_t digest[wmbt_digest_bytes], char *digits) {
  static const char of_value[] = "0123456789abcdef";
  for (size_t i = 0; i < wmbt_digest_bytes; i += 1) {
    digits[2 * i] = of_value[digest[i] >> 4];
    digits[2 * i + 1] = of_value[digest[i] & 15];
  }
}
