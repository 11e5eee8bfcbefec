/* The framing of docs/PROTOCOL.md: 24 bytes of header with a checksum of its own, then a body. */
#ifndef WMBT_FRAME_H
#define WMBT_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"

enum { wmbt_frame_header_bytes = 24 };

/* The frames that a client sends or is sent. */
enum wmbt_frame_type {
  wmbt_frame_hello = 1,
  wmbt_frame_welcome = 2,
  wmbt_frame_error = 3,
  wmbt_frame_payload = 8,
  wmbt_frame_data = 9,
  wmbt_frame_lookup = 16,
  wmbt_frame_looked_up = 17,
  wmbt_frame_contains = 18,
  wmbt_frame_present = 19,
  wmbt_frame_load = 20,
  wmbt_frame_loaded = 21,
  wmbt_frame_load_tail = 22,
  wmbt_frame_load_raw_tail = 23,
  wmbt_frame_save = 24,
  wmbt_frame_save_tail = 25,
  wmbt_frame_save_raw_tail = 26,
  wmbt_frame_wanted = 27,
  wmbt_frame_grant = 28,
  wmbt_frame_saved = 29,
  wmbt_frame_prefetch = 30,
  wmbt_frame_prefetched = 31,
  wmbt_frame_flush = 32,
  wmbt_frame_flushed = 33,
  wmbt_frame_delete = 34,
  wmbt_frame_deleted = 35,
  wmbt_frame_stats = 36,
  wmbt_frame_statistics = 37,
  wmbt_frame_resend = 38,
  wmbt_frame_lent = 39,
  wmbt_frame_filled = 40,
  wmbt_frame_open_ring = 41,
  wmbt_frame_ring = 42,
  wmbt_frame_ring_news = 43,
  wmbt_frame_resident = 44,
  wmbt_frame_resident_tail = 45,
  wmbt_frame_borrow_raw_tail = 46,
};

struct wmbt_frame_header {
  /* Any number that stood there: what a client is not sent, it refuses where it sees it. */
  uint8_t type;
  /* The call that the frame belongs to; 0: the connection. */
  uint32_t id;
  uint32_t length;
  uint32_t crc_of_body;
};

void wmbt_frame_encode_header(const struct wmbt_frame_header *header, uint8_t bytes[wmbt_frame_header_bytes]);

/* The header of a message with this body. */
void wmbt_frame_encode_message(enum wmbt_frame_type type, uint32_t id, const uint8_t *body, size_t length,
                               uint8_t bytes[wmbt_frame_header_bytes]);

/* False, with why, for bytes that are no frame or one of another framing. */
bool wmbt_frame_decode_header(const uint8_t bytes[wmbt_frame_header_bytes], struct wmbt_frame_header *header,
                              struct wmbt_failure *failure);

#endif
