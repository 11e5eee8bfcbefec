#include "cpu.h"

#include <stdint.h>

#if WMBT_X86

#include <cpuid.h>

enum {
  ecx1_pclmul = 1 << 1,
  ecx1_sse42 = 1 << 20,
  ecx1_osxsave = 1 << 27,
  ebx7_avx2 = 1 << 5,
  ebx7_avx512f = 1 << 16,
  ebx7_avx512dq = 1 << 17,
  ebx7_avx512bw = 1 << 30,
  ecx7_vpclmul = 1 << 10,
};

/* The sign bit of an int: no enumerator. */
static const uint32_t ebx7_avx512vl = UINT32_C(1) << 31;

/* Bits of XCR0: which registers the system saves and restores for a thread. */
enum { xcr0_avx = 0x06, xcr0_avx512 = 0xe6 };

struct leaf {
  uint32_t eax, ebx, ecx, edx;
};

/* All bits are zero where the processor knows no such leaf. */
static struct leaf read_leaf(uint32_t number) {
  struct leaf leaf = {0, 0, 0, 0};
  if (!__get_cpuid_count(number, 0, &leaf.eax, &leaf.ebx, &leaf.ecx, &leaf.edx)) {
    return (struct leaf){0, 0, 0, 0};
  }
  return leaf;
}

static bool has_all(uint32_t word, uint32_t bits) { return (word & bits) == bits; }

static bool system_saves(uint32_t registers) {
  if (!has_all(read_leaf(1).ecx, ecx1_osxsave)) return false;
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return has_all(low, registers);
}

bool wmbt_cpu_has_sse42_pclmul(void) { return has_all(read_leaf(1).ecx, ecx1_sse42 | ecx1_pclmul); }

bool wmbt_cpu_has_avx2(void) { return system_saves(xcr0_avx) && has_all(read_leaf(7).ebx, ebx7_avx2); }

bool wmbt_cpu_has_avx2_vpclmul(void) {
  return wmbt_cpu_has_avx2() && wmbt_cpu_has_sse42_pclmul() && has_all(read_leaf(7).ecx, ecx7_vpclmul);
}

bool wmbt_cpu_has_avx512_vpclmul(void) {
  const uint32_t wide = ebx7_avx512vl | ebx7_avx512f | ebx7_avx512dq | ebx7_avx512bw;
  return system_saves(xcr0_avx512) && wmbt_cpu_has_avx2_vpclmul() && has_all(read_leaf(7).ebx, wide);
}

bool wmbt_cpu_has_arm_crc(void) { return false; }

#else

bool wmbt_cpu_has_sse42_pclmul(void) { return false; }
bool wmbt_cpu_has_avx2(void) { return false; }
bool wmbt_cpu_has_avx2_vpclmul(void) { return false; }
bool wmbt_cpu_has_avx512_vpclmul(void) { return false; }

#if WMBT_ARM && defined(__linux__)

#include <sys/auxv.h>

bool wmbt_cpu_has_arm_crc(void) {
  const unsigned long crc32_of_the_kernel = 1UL << 7;
  return (getauxval(AT_HWCAP) & crc32_of_the_kernel) != 0;
}

#elif WMBT_ARM && defined(__APPLE__)

/* Every ARM processor that runs macOS has them. */
bool wmbt_cpu_has_arm_crc(void) { return true; }

#else

bool wmbt_cpu_has_arm_crc(void) { return false; }

#endif
#endif
