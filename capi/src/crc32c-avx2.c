/* CRC32C by carry-less multiplication of 32 bytes at a time: AVX2 with VPCLMULQDQ. */
#include "crc32c.h"

#include "cpu.h"

#if WMBT_X86

#include <immintrin.h>
#include <string.h>

/* x to the powers 8 n + 32 and 8 n - 32, reflected and moved up by one, where n is the bytes folded past. */
static const uint64_t past_four_vectors[2] = {0x6992cea2, 0x0d3b6092};
static const uint64_t past_one_vector[2] = {0x1384aa63a, 0xba4fc28e};

#define TARGET "avx2,vpclmulqdq,pclmul,sse4.2"
#define VECTOR __m256i
#define VECTOR_BYTES 32
#define LOAD(from) _mm256_loadu_si256((const __m256i *)(const void *)(from))
#define STREAM(to, value) _mm256_stream_si256((__m256i *)(void *)(to), value)
#define FIRST(word) _mm256_zextsi128_si256(_mm_cvtsi32_si128((int)(word)))
#define FACTORS(pair) \
  _mm256_broadcastsi128_si256(_mm_set_epi64x((long long)(pair)[1], (long long)(pair)[0]))
#define XOR(a, b) _mm256_xor_si256(a, b)
#define FOLD(value, factors, next)                              \
  XOR(XOR(_mm256_clmulepi64_epi128(value, factors, 0x00), next), \
      _mm256_clmulepi64_epi128(value, factors, 0x11))

#include "crc32c-fold.h"

const struct wmbt_crc32c_kernel wmbt_crc32c_avx2 = {
    .name = "avx2",
    .is_supported = wmbt_cpu_has_avx2_vpclmul,
    .append = append,
    .stream = stream,
    .stream_unit = fold_unit,
};

#else
typedef int wmbt_no_avx2;
#endif
