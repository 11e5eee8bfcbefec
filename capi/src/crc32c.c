#include "crc32c.h"

#include <stdatomic.h>
#include <string.h>

#include "cpu.h"

static const struct wmbt_crc32c_kernel *const kernels[] = {
    &wmbt_crc32c_portable,
#if WMBT_X86
    &wmbt_crc32c_sse42, &wmbt_crc32c_avx2, &wmbt_crc32c_avx512,
#elif WMBT_ARM
    &wmbt_crc32c_arm,
#endif
};

enum {
  kernel_count = sizeof kernels / sizeof kernels[0],
  cache_line = 64,
  /* Bytes that are checksummed and then copied while the first-level cache still holds them. */
  cached_piece = 8 * 1024,
};

/* NULL until the first call. Threads that come at once choose the same. */
static _Atomic(const struct wmbt_crc32c_kernel *) in_use;

/*
 * True when the kernel computes what the portable one does, over enough bytes for each of its loops. A kernel
 * was written for processors that not every test machine has; one that is wrong on this one is not used.
 */
static bool agrees_with_portable(const struct wmbt_crc32c_kernel *kernel) {
  enum { bytes = 3 * 1024 + 7 };
  static const uint32_t start = 0x12345678;
  _Alignas(64) uint8_t pattern[bytes];
  _Alignas(64) uint8_t copy[bytes];
  for (size_t i = 0; i < bytes; i += 1) pattern[i] = (uint8_t)(i * i + 31 * i);
  const uint32_t expected = wmbt_crc32c_portable.append(start, pattern, bytes);
  if (kernel->append(start, pattern, bytes) != expected) return false;
  if (kernel->stream == NULL) return true;
  const size_t streamed = bytes - bytes % kernel->stream_unit;
  const uint32_t crc = wmbt_crc32c_portable.append(start, pattern, streamed);
  return kernel->stream(start, copy, pattern, streamed) == crc && memcmp(copy, pattern, streamed) == 0;
}

static const struct wmbt_crc32c_kernel *choose(void) {
  for (size_t i = kernel_count; i > 1; i -= 1) {
    if (kernels[i - 1]->is_supported() && agrees_with_portable(kernels[i - 1])) return kernels[i - 1];
  }
  return &wmbt_crc32c_portable;
}

const struct wmbt_crc32c_kernel *wmbt_crc32c_kernel_in_use(void) {
  const struct wmbt_crc32c_kernel *kernel = atomic_load_explicit(&in_use, memory_order_acquire);
  if (kernel != NULL) return kernel;
  kernel = choose();
  atomic_store_explicit(&in_use, kernel, memory_order_release);
  return kernel;
}

const struct wmbt_crc32c_kernel *const *wmbt_crc32c_kernels(size_t *count) {
  *count = kernel_count;
  return kernels;
}

uint32_t wmbt_crc32c_append_by(const struct wmbt_crc32c_kernel *kernel, uint32_t crc, const uint8_t *in,
                               size_t length) {
  return ~kernel->append(~crc, in, length);
}

/* Checksum and copy by turns, each piece being in the first-level cache for the second. */
static uint32_t copy_cached(const struct wmbt_crc32c_kernel *kernel, uint32_t state, uint8_t *to,
                            const uint8_t *from, size_t length) {
  for (size_t at = 0; at < length; at += cached_piece) {
    const size_t piece = length - at < cached_piece ? length - at : cached_piece;
    state = kernel->append(state, from + at, piece);
    memcpy(to + at, from + at, piece);
  }
  return state;
}

uint32_t wmbt_crc32c_copy_by(const struct wmbt_crc32c_kernel *kernel, uint32_t crc, uint8_t *to,
                             const uint8_t *from, size_t length) {
  uint32_t state = ~crc;
  if (kernel->stream == NULL || length < WMBT_STREAM_BYTES_MIN) {
    return ~copy_cached(kernel, state, to, from, length);
  }
  const size_t head = (cache_line - (uintptr_t)to % cache_line) % cache_line;
  const size_t streamed = (length - head) - (length - head) % kernel->stream_unit;
  state = copy_cached(kernel, state, to, from, head);
  state = kernel->stream(state, to + head, from + head, streamed);
  const size_t done = head + streamed;
  return ~copy_cached(kernel, state, to + done, from + done, length - done);
}

uint32_t wmbt_crc32c_append(uint32_t crc, const uint8_t *in, size_t length) {
  return wmbt_crc32c_append_by(wmbt_crc32c_kernel_in_use(), crc, in, length);
}

uint32_t wmbt_crc32c_copy(uint32_t crc, uint8_t *to, const uint8_t *from, size_t length) {
  return wmbt_crc32c_copy_by(wmbt_crc32c_kernel_in_use(), crc, to, from, length);
}

/* powers_of_x[k] is x to the power 2^k, modulo the polynomial, in reflected form: the highest bit is x^0. From
   k = 31 on they repeat, for x to the power 2^31 is x. */
static const uint32_t powers_of_x[31] = {
    0x40000000, 0x20000000, 0x08000000, 0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18,
    0x510ac59a, 0xb82be955, 0xb8fdb1e7, 0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62,
    0x28461564, 0xbf455269, 0xe2ea32dc, 0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915,
    0x734d5309, 0xbc1ac763, 0x7d0722cc, 0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42,
};

/* The product of two polynomials modulo ours, all in reflected form. */
static uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 0x80000000; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = (b >> 1) ^ ((b & 1) != 0 ? 0x82f63b78 : 0);
  }
  return product;
}

uint32_t wmbt_crc32c_combine(uint32_t crc_of_a, uint32_t crc_of_b, uint64_t length_of_b) {
  uint32_t crc = crc_of_a;
  /* A byte is eight bits: its power begins at x^8, the third square. */
  unsigned power = 3;
  for (uint64_t rest = length_of_b; rest != 0; rest >>= 1) {
    if ((rest & 1) != 0) crc = multiply(powers_of_x[power % 31], crc);
    power += 1;
  }
  return crc ^ crc_of_b;
}

uint32_t wmbt_crc32c_bind(const uint8_t namespace_digest[32], const uint8_t key[32], uint32_t crc_of_payload,
                          uint64_t payload_length) {
  const uint32_t crc = wmbt_crc32c_append(wmbt_crc32c_append(0, namespace_digest, 32), key, 32);
  return wmbt_crc32c_combine(crc, crc_of_payload, payload_length);
}
