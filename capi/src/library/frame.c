#include "frame.h"

#include <string.h>

#include "bytes.h"
#include "../crc32c.h"

static const uint8_t magic[4] = {'W', 'K', 'V', 'P'};
static const uint8_t framing_version = 1;

void wmbt_frame_encode_header(const struct wmbt_frame_header *header, uint8_t bytes[wmbt_frame_header_bytes]) {
  (void)memcpy(bytes, magic, sizeof magic);
  bytes[4] = framing_version;
  bytes[5] = header->type;
  bytes[6] = bytes[7] = 0;
  wmbt_put_u32(bytes + 8, header->id);
  wmbt_put_u32(bytes + 12, header->length);
  wmbt_put_u32(bytes + 16, header->crc_of_body);
  wmbt_put_u32(bytes + 20, wmbt_crc32c_append(0, bytes, 20));
}

void wmbt_frame_encode_message(enum wmbt_frame_type type, uint32_t id, const uint8_t *body, size_t length,
                               uint8_t bytes[wmbt_frame_header_bytes]) {
  const uint32_t crc = length == 0 ? 0 : wmbt_crc32c_append(0, body, length);
  const struct wmbt_frame_header header = {(uint8_t)type, id, (uint32_t)length, crc};
  wmbt_frame_encode_header(&header, bytes);
}

bool wmbt_frame_decode_header(const uint8_t bytes[wmbt_frame_header_bytes], struct wmbt_frame_header *header,
                              struct wmbt_failure *failure) {
  if (memcmp(bytes, magic, sizeof magic) != 0) {
    return wmbt_fail(failure, wmbt_lost, "what answers is no daemon of WombatKV: its bytes begin no frame");
  }
  if (bytes[4] != framing_version) {
    return wmbt_fail(failure, wmbt_incompatible, "framing version %u; this library speaks %u", bytes[4],
                     framing_version);
  }
  if (wmbt_u32_at(bytes + 20) != wmbt_crc32c_append(0, bytes, 20)) {
    return wmbt_fail(failure, wmbt_lost, "the checksum of a frame header does not hold");
  }
  if (bytes[6] != 0 || bytes[7] != 0) {
    return wmbt_fail(failure, wmbt_incompatible, "unknown frame flags %u", bytes[6] | (unsigned)bytes[7] << 8);
  }
  header->type = bytes[5];
  header->id = wmbt_u32_at(bytes + 8);
  header->length = wmbt_u32_at(bytes + 12);
  header->crc_of_body = wmbt_u32_at(bytes + 16);
  return true;
}
