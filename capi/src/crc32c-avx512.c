/* CRC32C by carry-less multiplication of 64 bytes at a time: AVX-512 with VPCLMULQDQ. */
#include "crc32c.h"

#include "cpu.h"

#if WMBT_X86

#include <immintrin.h>
#include <string.h>

/* x to the powers 8 n + 32 and 8 n - 32, reflected and moved up by one, where n is the bytes folded past. */
static const uint64_t past_four_vectors[2] = {0xdcb17aa4, 0xb9e02b86};
static const uint64_t past_one_vector[2] = {0x740eef02, 0x9e4addf8};

#define TARGET "avx512f,avx512vl,avx512bw,avx512dq,vpclmulqdq,pclmul,sse4.2"
#define VECTOR __m512i
#define VECTOR_BYTES 64
#define LOAD(from) _mm512_loadu_si512((const void *)(from))
#define STREAM(to, value) _mm512_stream_si512((void *)(to), value)
#define FIRST(word) _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)(word)))
#define FACTORS(pair) _mm512_broadcast_i32x4(_mm_set_epi64x((long long)(pair)[1], (long long)(pair)[0]))
#define XOR(a, b) _mm512_xor_si512(a, b)
/* 0x96 is the truth table of a XOR of three. */
#define FOLD(value, factors, next)                                                \
  _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(value, factors, 0x00), next, \
                            _mm512_clmulepi64_epi128(value, factors, 0x11), 0x96)

#include "crc32c-fold.h"

const struct wmbt_crc32c_kernel wmbt_crc32c_avx512 = {
    .name = "avx512",
    .is_supported = wmbt_cpu_has_avx512_vpclmul,
    .append = append,
    .stream = stream,
    .stream_unit = fold_unit,
};

#else
typedef int wmbt_no_avx512;
#endif
