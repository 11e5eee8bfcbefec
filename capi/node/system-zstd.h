/*
 * Decompression by the zstd that the system has: `libzstd.so.1`, which is found when it is first needed
 * (docs/decisions/0124). Where there is none, or one that is too old or lacks a function, others do the work.
 */
#ifndef WMBT_SYSTEM_ZSTD_H
#define WMBT_SYSTEM_ZSTD_H

#include <stddef.h>
#include <stdint.h>

enum wmbt_unpacking {
  wmbt_unpacked,
  /* Not done: there is no such library, or no memory for its work. */
  wmbt_not_unpacked,
  /* It is not one frame of that many bytes. */
  wmbt_damaged,
};

/*
 * Fills the target with the content of one frame, whose magic number and blocks were looked at
 * (src/format/zstd-frame.ts). Never writes beyond the target, whatever the frame says; of one that is damaged some of
 * the target is written, and `fault` says why in words that stay. Any thread.
 */
enum wmbt_unpacking wmbt_system_unpack(uint8_t *target, size_t target_bytes, const uint8_t *frame, size_t frame_bytes,
                                       const char **fault);

#endif
