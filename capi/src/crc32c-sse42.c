/*
 * CRC32C by the instructions of SSE4.2. One takes a word a cycle but answers after three, so three stripes that
 * lie one behind the other are computed at once, and joined by carry-less multiplications.
 */
#include "crc32c.h"

#include "cpu.h"

#if WMBT_X86

#include <immintrin.h>
#include <string.h>

/* Joining costs about 20 ns: little beside a long stripe, and still less than the words of a short one. */
enum { long_stripe = 8192, short_stripe = 256 };

/* x to the power 8 n - 33 modulo the polynomial, reflected, where n is one stripe or two. */
static const uint64_t past_one_long = 0x54a86326, past_two_long = 0x1dc403cc;
static const uint64_t past_one_short = 0xb9e02b86, past_two_short = 0xdd7e3b0c;

static inline uint64_t load_word(const uint8_t *from) {
  uint64_t word;
  memcpy(&word, from, sizeof word);
  return word;
}

/* The register after as many bytes of zero as `past` stands for. */
WMBT_TARGET("sse4.2,pclmul")
static inline uint64_t move_past(uint64_t state, uint64_t past) {
  const __m128i product =
      _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)state), _mm_cvtsi64_si128((long long)past), 0);
  return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

WMBT_TARGET("sse4.2,pclmul")
static inline uint64_t append_stripes(uint64_t state, const uint8_t *in, size_t stripe) {
  uint64_t second = 0, third = 0;
  for (size_t at = 0; at < stripe; at += 8) {
    state = _mm_crc32_u64(state, load_word(in + at));
    second = _mm_crc32_u64(second, load_word(in + at + stripe));
    third = _mm_crc32_u64(third, load_word(in + at + 2 * stripe));
  }
  const bool is_long = stripe == long_stripe;
  state = move_past(state, is_long ? past_two_long : past_two_short);
  return state ^ move_past(second, is_long ? past_one_long : past_one_short) ^ third;
}

WMBT_TARGET("sse4.2,pclmul")
static uint32_t append(uint32_t start, const uint8_t *in, size_t length) {
  uint64_t state = start;
  for (; length >= 3 * long_stripe; in += 3 * long_stripe, length -= 3 * long_stripe) {
    state = append_stripes(state, in, long_stripe);
  }
  for (; length >= 3 * short_stripe; in += 3 * short_stripe, length -= 3 * short_stripe) {
    state = append_stripes(state, in, short_stripe);
  }
  for (; length >= 8; in += 8, length -= 8) state = _mm_crc32_u64(state, load_word(in));
  for (; length > 0; in += 1, length -= 1) state = _mm_crc32_u8((uint32_t)state, *in);
  return (uint32_t)state;
}

/* Copies one line of a stripe past the cache. `to` is aligned to its length. */
WMBT_TARGET("sse4.2,pclmul")
static inline void stream_line(uint8_t *to, const uint8_t *from) {
  for (size_t at = 0; at < 64; at += 16) {
    _mm_stream_si128((__m128i *)(void *)(to + at), _mm_loadu_si128((const __m128i *)(const void *)(from + at)));
  }
}

WMBT_TARGET("sse4.2,pclmul")
static uint64_t stream_stripes(uint64_t state, uint8_t *to, const uint8_t *from) {
  uint64_t second = 0, third = 0;
  for (size_t line = 0; line < short_stripe; line += 64) {
    stream_line(to + line, from + line);
    stream_line(to + line + short_stripe, from + line + short_stripe);
    stream_line(to + line + 2 * short_stripe, from + line + 2 * short_stripe);
    for (size_t at = line; at < line + 64; at += 8) {
      state = _mm_crc32_u64(state, load_word(from + at));
      second = _mm_crc32_u64(second, load_word(from + at + short_stripe));
      third = _mm_crc32_u64(third, load_word(from + at + 2 * short_stripe));
    }
  }
  return move_past(state, past_two_short) ^ move_past(second, past_one_short) ^ third;
}

static uint32_t stream(uint32_t start, uint8_t *to, const uint8_t *from, size_t length) {
  uint64_t state = start;
  for (size_t at = 0; at < length; at += 3 * short_stripe) state = stream_stripes(state, to + at, from + at);
  _mm_sfence();
  return (uint32_t)state;
}

const struct wmbt_crc32c_kernel wmbt_crc32c_sse42 = {
    .name = "sse42",
    .is_supported = wmbt_cpu_has_sse42_pclmul,
    .append = append,
    .stream = stream,
    .stream_unit = 3 * short_stripe,
};

#else
typedef int wmbt_no_sse42;
#endif
