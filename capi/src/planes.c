#include "planes.h"

#include "cpu.h"

/* Values that are written at once. */
enum { step = 16 };

#if WMBT_X86

#include <emmintrin.h>

static inline void merge_step(uint8_t *to, const uint8_t *lows, const uint8_t *highs) {
  const __m128i low = _mm_loadu_si128((const __m128i *)(const void *)lows);
  const __m128i high = _mm_loadu_si128((const __m128i *)(const void *)highs);
  _mm_storeu_si128((__m128i *)(void *)to, _mm_unpacklo_epi8(low, high));
  _mm_storeu_si128((__m128i *)(void *)(to + step), _mm_unpackhi_epi8(low, high));
}

#elif WMBT_ARM

#include <arm_neon.h>

static inline void merge_step(uint8_t *to, const uint8_t *lows, const uint8_t *highs) {
  const uint8x16x2_t both = {{vld1q_u8(lows), vld1q_u8(highs)}};
  vst2q_u8(to, both);
}

#else

static inline void merge_step(uint8_t *to, const uint8_t *lows, const uint8_t *highs) {
  for (size_t i = 0; i < step; i += 1) {
    to[2 * i] = lows[i];
    to[2 * i + 1] = highs[i];
  }
}

#endif

void wmbt_merge_planes(uint8_t *to, const uint8_t *lows, const uint8_t *highs, size_t count) {
  size_t i = 0;
  for (; i + step <= count; i += step) merge_step(to + 2 * i, lows + i, highs + i);
  for (; i < count; i += 1) {
    to[2 * i] = lows[i];
    to[2 * i + 1] = highs[i];
  }
}
