#include "http-bulk.h"

#include <string.h>

#include "../crc32c.h"
#include "bounds.h"

/* Flags of a record, and tiers of an answer. */
enum { decoded_flag = 1, left_out_flag = 2, tier_max = 3 };

static const uint8_t magic[8] = {'W', 'M', 'B', 'T', 'H', 'T', 'P', '1'};
static const uint8_t last_first_magic[8] = {'W', 'M', 'B', 'T', 'H', 'T', 'P', '2'};

static void write_record(struct wmbt_writer *writer, const struct wmbt_bulk_batch *batch, size_t index) {
  static const struct wmbt_announced unknown = {0, WMBT_POSITION_UNKNOWN, false};
  const uint8_t zeros[12] = {0};
  const bool is_left_out = wmbt_bulk_is_left_out(batch, index);
  const struct wmbt_announced *known = batch->announced == NULL ? &unknown : &batch->announced[index];
  wmbt_write_bytes(writer, batch->keys[index].bytes, sizeof batch->keys[index].bytes);
  wmbt_write_u32(writer, is_left_out ? 0 : (uint32_t)batch->lens[index]);
  wmbt_write_u32(writer, known->tokens);
  wmbt_write_u32(writer, known->position);
  wmbt_write_u32(writer, (known->has_decoded_tokens ? decoded_flag : 0U) | (is_left_out ? left_out_flag : 0U));
  /* A payload on its way in has no tier. */
  wmbt_write_u32(writer, 0);
  wmbt_write_bytes(writer, zeros, sizeof zeros);
}

void wmbt_bulk_encode(struct wmbt_writer *writer, const struct wmbt_bulk_batch *batch) {
  const size_t start = writer->length, attributes = strlen(batch->attributes);
  const uint8_t zeros[8] = {0};
  wmbt_write_bytes(writer, batch->is_last_first ? last_first_magic : magic, sizeof magic);
  wmbt_write_u32(writer, (uint32_t)batch->count);
  wmbt_write_u32(writer, (uint32_t)attributes);
  wmbt_write_bytes(writer, zeros, sizeof zeros);
  for (size_t i = 0; i < batch->count; i += 1) write_record(writer, batch, i);
  wmbt_write_bytes(writer, batch->attributes, attributes);
  if (writer->has_failed) return;
  uint8_t *bytes = writer->bytes + start;
  const uint32_t crc = wmbt_crc32c_append(0, bytes, 16);
  const size_t rest = writer->length - start - wmbt_bulk_preamble_bytes;
  wmbt_put_u32(bytes + 16, wmbt_crc32c_append(crc, bytes + wmbt_bulk_preamble_bytes, rest));
}

uint64_t wmbt_bulk_payload_bytes(const struct wmbt_bulk_batch *batch) {
  uint64_t sum = 0;
  for (size_t i = 0; i < batch->count; i += 1) {
    if (!wmbt_bulk_is_left_out(batch, i)) sum += batch->lens[i] + wmbt_bulk_checksum_bytes;
  }
  return sum;
}

bool wmbt_bulk_decode_preamble(const uint8_t bytes[wmbt_bulk_preamble_bytes], size_t records_max,
                               struct wmbt_bulk_preamble *preamble, struct wmbt_failure *failure) {
  if (memcmp(bytes, magic, sizeof magic) != 0) {
    return wmbt_fail(failure, wmbt_lost, "the answer does not begin with the magic of a bulk body");
  }
  *preamble = (struct wmbt_bulk_preamble){wmbt_u32_at(bytes + 8), wmbt_u32_at(bytes + 12), wmbt_u32_at(bytes + 16)};
  if (preamble->records > records_max || preamble->attributes > wmbt_bulk_attributes_bytes_max) {
    return wmbt_fail(failure, wmbt_lost, "a bulk body claims %u records and %u bytes of attributes; %zu were asked for",
                     (unsigned)preamble->records, (unsigned)preamble->attributes, records_max);
  }
  if (wmbt_u32_at(bytes + 20) == 0) return true;
  return wmbt_fail(failure, wmbt_lost, "a bulk body whose preamble does not end with zeros");
}

size_t wmbt_bulk_table_bytes(const struct wmbt_bulk_preamble *preamble) {
  return (size_t)preamble->records * wmbt_bulk_record_bytes + preamble->attributes;
}

static bool check_record(const uint8_t *record, size_t index, const struct wmbt_key *key,
                         struct wmbt_failure *failure) {
  bool is_sound = wmbt_u32_at(record + 44) <= decoded_flag && wmbt_u32_at(record + 48) <= tier_max;
  for (unsigned i = 52; i < wmbt_bulk_record_bytes; i += 1) is_sound = is_sound && record[i] == 0;
  if (!is_sound) return wmbt_fail(failure, wmbt_lost, "record %zu of a bulk body is not what it should be", index);
  if (memcmp(record, key->bytes, sizeof key->bytes) != 0) {
    return wmbt_fail(failure, wmbt_lost, "record %zu of a bulk body is of a payload that was not asked for", index);
  }
  if (wmbt_u32_at(record + 32) <= WMBT_PAYLOAD_BYTES_MAX) return true;
  return wmbt_fail(failure, wmbt_lost, "record %zu of a bulk body claims %u bytes; at most %d can be stored", index,
                   (unsigned)wmbt_u32_at(record + 32), WMBT_PAYLOAD_BYTES_MAX);
}

bool wmbt_bulk_check_table(const uint8_t preamble[wmbt_bulk_preamble_bytes], const uint8_t *table,
                           const struct wmbt_key *keys, uint64_t *payload_bytes, struct wmbt_failure *failure) {
  const struct wmbt_bulk_preamble said = {wmbt_u32_at(preamble + 8), wmbt_u32_at(preamble + 12),
                                          wmbt_u32_at(preamble + 16)};
  const size_t length = wmbt_bulk_table_bytes(&said);
  uint32_t crc = wmbt_crc32c_append(0, preamble, 16);
  if (length > 0) crc = wmbt_crc32c_append(crc, table, length);
  if (crc != said.crc) return wmbt_fail(failure, wmbt_lost, "the checksum of a bulk body's table does not hold");
  *payload_bytes = 0;
  for (size_t i = 0; i < said.records; i += 1) {
    if (!check_record(table + i * wmbt_bulk_record_bytes, i, &keys[i], failure)) return false;
    *payload_bytes += (uint64_t)wmbt_bulk_length_of(table, i) + wmbt_bulk_checksum_bytes;
  }
  return true;
}

uint32_t wmbt_bulk_length_of(const uint8_t *table, size_t record) {
  return wmbt_u32_at(table + record * wmbt_bulk_record_bytes + 32);
}

struct wmbt_bulk_facts wmbt_bulk_facts_of(const uint8_t *table, size_t record) {
  const uint8_t *bytes = table + record * wmbt_bulk_record_bytes;
  const uint32_t tier = wmbt_u32_at(bytes + 48);
  /* Tiers are numbered from 1 here, and one that is not said counts as the first. */
  return (struct wmbt_bulk_facts){wmbt_u32_at(bytes + 36), tier == 0 ? 0 : tier - 1,
                                  wmbt_u32_at(bytes + 44) == decoded_flag};
}
