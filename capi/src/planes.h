/* Planes of bytes: values of two bytes, of which first all low bytes stand and then all high ones. */
#ifndef WMBT_PLANES_H
#define WMBT_PLANES_H

#include <stddef.h>
#include <stdint.h>

/*
 * Writes `count` values of two bytes to `to`, the low byte of each from `lows` and the high one from `highs`.
 * What is written must not overlap what is read. By SSE2 or NEON, which every processor has that this is built
 * for, or byte by byte.
 */
void wmbt_merge_planes(uint8_t *to, const uint8_t *lows, const uint8_t *highs, size_t count);

#endif
