/* What the processor can do, asked once. */
#ifndef WMBT_CPU_H
#define WMBT_CPU_H

#include <stdbool.h>

#if defined(__x86_64__)
#define WMBT_X86 1
#else
#define WMBT_X86 0
#endif

#if defined(__aarch64__) && defined(__AARCH64EL__)
#define WMBT_ARM 1
#else
#define WMBT_ARM 0
#endif

/* Every format here is little-endian, and the kernels read words as they lie in memory. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "WombatKV runs on little-endian machines"
#endif

/* Marks a function that uses instructions which only its callers know to be there. */
#define WMBT_TARGET(features) __attribute__((target(features)))

/* Each is false on processors of another kind. That the system keeps the wide registers of a thread is part of
   the answer. */
bool wmbt_cpu_has_sse42_pclmul(void);
bool wmbt_cpu_has_avx2(void);
bool wmbt_cpu_has_avx2_vpclmul(void);
bool wmbt_cpu_has_avx512_vpclmul(void);
bool wmbt_cpu_has_arm_crc(void);

#endif
