/*
 * The header of a frame, and the body of every message that a client is sent; `welcome` answers hello. Seeds: golden
 * frames.
 */
#include <string.h>

#include "../../include/wombatkv.h"
#include "../../src/crc32c.h"
#include "../../src/library/bounds.h"
#include "../../src/library/frame.h"
#include "../../src/library/messages.h"
#include "../../src/library/save-turns.h"
#include "fuzz.h"

/* What is stored of as many blocks as the message speaks of, and of another number, which it must not be taken for. */
static void read_present(struct wmbt_reader body) {
  enum { asked_max = 80 };
  struct wmbt_failure failure;
  const size_t stated = body.length < 4 ? 0 : wmbt_u32_at(body.bytes), count = stated % asked_max;
  uint8_t *present = malloc(count + 1);
  if (present == NULL) return;
  (void)memset(present, 7, count + 1);
  if (wmbt_decode_present(body, count, present, &failure)) {
    MUST(stated == count);
    for (size_t i = 0; i < count; i += 1) MUST(present[i] <= 1);
  }
  MUST(present[count] == 7 && !wmbt_decode_present(body, count + 1, present, &failure));
  free(present);
}

/* A save of payloads of these lengths, of which so many are wanted. */
static void begin_save(const struct wmbt_wanted *wanted) {
  enum { payloads_max = 4096 };
  static size_t lengths[payloads_max];
  struct wmbt_turns turns;
  struct wmbt_failure failure;
  if (wanted->count > payloads_max) return;
  for (uint32_t i = 0; i < wanted->count; i += 1) lengths[i] = (size_t)i * 1000;
  if (!wmbt_turns_begin(&turns, wanted, lengths, &failure)) return;
  MUST(turns.allowed <= turns.count && turns.count <= wanted->count);
  wmbt_turns_grant(&turns, UINT64_MAX);
  MUST(turns.allowed == turns.count);
  size_t sent = 0;
  for (const struct wmbt_turn *turn; (turn = wmbt_turns_next(&turns)) != NULL; sent += 1) {
    MUST(turn->index < wanted->count && (wanted->bits[turn->index >> 3] >> (turn->index & 7) & 1) != 0);
    wmbt_turns_sent(&turns);
  }
  MUST(sent == turns.count);
  wmbt_turns_free(&turns);
}

/* A save takes no more places than it has payloads, and gives each its own. */
static void take_places(const struct wmbt_places *places, uint32_t payloads) {
  enum { payloads_max = 4096 };
  static const size_t lengths[payloads_max];
  static uint8_t bits[payloads_max / 8];
  if (payloads == 0 || payloads > payloads_max) return;
  const struct wmbt_wanted wanted = {.count = payloads, .bits = bits};
  struct wmbt_turns turns;
  struct wmbt_failure failure;
  (void)memset(bits, 0xff, sizeof bits);
  if (!wmbt_turns_begin(&turns, &wanted, lengths, &failure)) return;
  turns.allowed = 0;
  MUST(wmbt_turns_lend(&turns, places, &failure) == (places->count <= turns.count));
  MUST(turns.allowed <= turns.count);
  for (size_t count = 0; wmbt_turns_next(&turns) != NULL;) {
    const uint32_t *crcs = wmbt_turns_filled(&turns, wmbt_turns_next(&turns)->place.salt, &count);
    MUST((crcs != NULL) == (turns.done == turns.allowed) && count <= turns.done);
  }
  wmbt_turns_free(&turns);
}

static void decode(uint8_t type, struct wmbt_reader body) {
  struct wmbt_failure failure;
  struct wmbt_welcome welcome;
  struct wmbt_payload_notice notice;
  struct wmbt_wanted wanted;
  struct wmbt_places places;
  struct wmbt_loaded loaded;
  struct wmbt_saved saved;
  struct wmbt_resident resident;
  struct wmbt_resident_tail tail;
  uint64_t granted;
  uint32_t number = 0, bytes = 0;
  switch (type) {
    case wmbt_frame_welcome: (void)wmbt_decode_welcome(body, &welcome, &failure); break;
    case wmbt_frame_looked_up: (void)wmbt_decode_loaded("looked-up", body, &loaded, &failure); break;
    case wmbt_frame_present: read_present(body); break;
    case wmbt_frame_flushed: (void)wmbt_decode_nothing("flushed", body, &failure); break;
    case wmbt_frame_prefetched:
    case wmbt_frame_deleted:
    case wmbt_frame_grant: (void)wmbt_decode_number("number", body, &granted, &failure); break;
    case wmbt_frame_payload:
      if (wmbt_decode_payload_notice(body, &notice, &failure)) MUST(notice.length <= WMBT_PAYLOAD_BYTES_MAX);
      break;
    case wmbt_frame_ring: (void)wmbt_decode_ring(body, &number, &bytes, &failure); break;
    case wmbt_frame_loaded: (void)wmbt_decode_loaded("loaded", body, &loaded, &failure); break;
    case wmbt_frame_saved: (void)wmbt_decode_saved(body, &saved, &failure); break;
    case wmbt_frame_wanted:
      if (!wmbt_decode_wanted(body, &wanted, &failure)) break;
      for (uint32_t i = 0; i < wanted.count; i += 1) number += wanted.bits[i >> 3] & 1U;
      MUST(number <= wanted.count);
      begin_save(&wanted);
      break;
    case wmbt_frame_lent:
      if (!wmbt_decode_lent(body, &places, &failure)) break;
      MUST(places.count > 0);
      for (uint32_t more = 0; more < 3; more += 1) take_places(&places, places.count + more - 1);
      break;
    case wmbt_frame_resident:
      if (!wmbt_decode_resident(body, &resident, &failure)) break;
      MUST(resident.count > 0);
      for (uint32_t i = 0; i < resident.count; i += 1) MUST(resident.tiers[i] <= WMBT_KV_TIER_OBJECT);
      break;
    case wmbt_frame_resident_tail:
      if (wmbt_decode_resident_tail(body, &tail, &failure)) MUST(tail.tier <= WMBT_KV_TIER_OBJECT);
      break;
    case wmbt_frame_error:
      wmbt_decode_error(body, &failure);
      MUST(memchr(failure.text, '\0', sizeof failure.text) != NULL);
      break;
    default: break;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t header[wmbt_frame_header_bytes];
  struct wmbt_frame_header read;
  struct wmbt_failure failure;
  if (size < sizeof header) return 0;
  (void)memcpy(header, data, sizeof header);
  (void)wmbt_frame_decode_header(header, &read, &failure);
  /* With a checksum that holds, so that what is behind it is tried. */
  wmbt_put_u32(header + 20, wmbt_crc32c_append(0, header, 20));
  if (!wmbt_frame_decode_header(header, &read, &failure)) return 0;
  decode(read.type, (struct wmbt_reader){.bytes = data + sizeof header, .length = size - sizeof header});
  return 0;
}
