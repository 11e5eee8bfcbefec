/*
 * CRC32C (Castagnoli, reflected polynomial 0x82f63b78): checksum, copy with checksum, and the arithmetic that
 * joins checksums without reading a byte again. The fastest kernel that the processor has is chosen at the
 * first call. Every function may be called from any number of threads at once.
 */
#ifndef WMBT_CRC32C_H
#define WMBT_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The CRC32C of `a` followed by `in`, given that of `a`; 0 is the CRC32C of nothing. */
uint32_t wmbt_crc32c_append(uint32_t crc, const uint8_t *in, size_t length);

/*
 * Copies and returns what wmbt_crc32c_append(crc, from, length) returns, in one pass over the bytes. The two
 * must not overlap. From WMBT_STREAM_BYTES_MIN bytes on the stores go past the cache; they are complete, and
 * ordered before every later store, when the call returns.
 */
uint32_t wmbt_crc32c_copy(uint32_t crc, uint8_t *to, const uint8_t *from, size_t length);

/* Shorter copies stay in the cache, where whoever reads them next finds them (docs/decisions/0064). */
#define WMBT_STREAM_BYTES_MIN ((size_t)256 * 1024)

/* The CRC32C of `a` followed by `b`, given both and the length of `b`. */
uint32_t wmbt_crc32c_combine(uint32_t crc_of_a, uint32_t crc_of_b, uint64_t length_of_b);

/*
 * A checksum that is bound to where its bytes belong: the CRC32C of `namespace_digest`, `key` and the payload,
 * one after another, given that of the payload.
 */
uint32_t wmbt_crc32c_bind(const uint8_t namespace_digest[32], const uint8_t key[32], uint32_t crc_of_payload,
                          uint64_t payload_length);

/* One way to compute it. Both functions take and return the register, which is the complement of the CRC. */
struct wmbt_crc32c_kernel {
  const char *name;
  bool (*is_supported)(void);
  uint32_t (*append)(uint32_t state, const uint8_t *in, size_t length);
  /*
   * Copies with stores past the cache, ordered before every later store when it returns. `to` is aligned to 64
   * bytes, `length` is a multiple of `stream_unit`. NULL where there is no such kernel.
   */
  uint32_t (*stream)(uint32_t state, uint8_t *to, const uint8_t *from, size_t length);
  size_t stream_unit;
};

/* All kernels that were compiled, the slowest first. */
const struct wmbt_crc32c_kernel *const *wmbt_crc32c_kernels(size_t *count);

/* The kernel in use. */
const struct wmbt_crc32c_kernel *wmbt_crc32c_kernel_in_use(void);

/* As the functions above, by the kernel given. */
uint32_t wmbt_crc32c_append_by(const struct wmbt_crc32c_kernel *kernel, uint32_t crc, const uint8_t *in,
                               size_t length);
uint32_t wmbt_crc32c_copy_by(const struct wmbt_crc32c_kernel *kernel, uint32_t crc, uint8_t *to,
                             const uint8_t *from, size_t length);

extern const struct wmbt_crc32c_kernel wmbt_crc32c_portable;
extern const struct wmbt_crc32c_kernel wmbt_crc32c_sse42;
extern const struct wmbt_crc32c_kernel wmbt_crc32c_avx2;
extern const struct wmbt_crc32c_kernel wmbt_crc32c_avx512;
extern const struct wmbt_crc32c_kernel wmbt_crc32c_arm;

#endif
