/* BLAKE3 as its specification words it, slowly: what the kernels are compared with. */
#ifndef WMBT_REFERENCE_BLAKE3_H
#define WMBT_REFERENCE_BLAKE3_H

#include <stddef.h>
#include <stdint.h>

void reference_blake3(const uint8_t *in, size_t length, uint8_t digest[32]);

#endif
