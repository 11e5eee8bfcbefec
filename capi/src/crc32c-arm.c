/*
 * CRC32C by the instructions of ARMv8. Three stripes that lie one behind the other are computed at once, as on
 * x86; they are long, for joining them takes arithmetic of about a hundred steps.
 */
#include "crc32c.h"

#include "cpu.h"

#if WMBT_ARM

#include <arm_acle.h>
#include <string.h>

enum { stripe = 8192 };

static inline uint64_t load_word(const uint8_t *from) {
  uint64_t word;
  memcpy(&word, from, sizeof word);
  return word;
}

WMBT_TARGET("+crc")
static uint32_t append_stripes(uint32_t state, const uint8_t *in) {
  uint32_t second = 0, third = 0;
  for (size_t at = 0; at < stripe; at += 8) {
    state = __crc32cd(state, load_word(in + at));
    second = __crc32cd(second, load_word(in + at + stripe));
    third = __crc32cd(third, load_word(in + at + 2 * stripe));
  }
  /* Combining moves the first past the second and adds it: right for registers that began with zero, too. */
  return wmbt_crc32c_combine(wmbt_crc32c_combine(state, second, stripe), third, stripe);
}

WMBT_TARGET("+crc")
static uint32_t append(uint32_t state, const uint8_t *in, size_t length) {
  for (; length >= 3 * stripe; in += 3 * stripe, length -= 3 * stripe) state = append_stripes(state, in);
  for (; length >= 8; in += 8, length -= 8) state = __crc32cd(state, load_word(in));
  for (; length > 0; in += 1, length -= 1) state = __crc32cb(state, *in);
  return state;
}

const struct wmbt_crc32c_kernel wmbt_crc32c_arm = {
    .name = "arm",
    .is_supported = wmbt_cpu_has_arm_crc,
    .append = append,
    .stream = NULL,
    .stream_unit = 1,
};

#else
typedef int wmbt_no_arm;
#endif
