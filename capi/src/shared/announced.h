/* What is known of a payload that is saved. */
#ifndef WMBT_ANNOUNCED_H
#define WMBT_ANNOUNCED_H

#include <stdbool.h>
#include <stdint.h>

struct wmbt_announced {
  uint32_t tokens, position;
  bool has_decoded_tokens;
};

/* Position of a payload of which none is known. */
#define WMBT_POSITION_UNKNOWN UINT32_C(0xffffffff)

#endif
