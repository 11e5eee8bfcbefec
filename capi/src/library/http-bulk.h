/*
 * The bulk body of docs/HTTP.md: a preamble, a record for each payload, attributes in JSON, and then payloads, each
 * followed by its checksum. Pure. Failures are `wmbt_lost`.
 */
#ifndef WMBT_HTTP_BULK_H
#define WMBT_HTTP_BULK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "failure.h"
#include "mode.h"

enum {
  wmbt_bulk_preamble_bytes = 24,
  wmbt_bulk_record_bytes = 64,
  wmbt_bulk_checksum_bytes = 4,
  wmbt_bulk_attributes_bytes_max = 262144,
};

/* What a request sends. */
struct wmbt_bulk_batch {
  const struct wmbt_key *keys;
  const size_t *lens;
  size_t count;
  /* One for each; NULL: nothing is known of them. */
  const struct wmbt_announced *announced;
  /* One for each, not 0 where it is believed to be stored: its payload does not follow. NULL: all follow. */
  const uint8_t *left_out;
  /* Version 2: payloads follow from the last one to the first, for a daemon that stores them as they come. */
  bool is_last_first;
  /* One JSON object. */
  const char *attributes;
};

/* Whether the payload of that index is not sent. */
static inline bool wmbt_bulk_is_left_out(const struct wmbt_bulk_batch *batch, size_t index) {
  return batch->left_out != NULL && batch->left_out[index] != 0;
}

/* Writes all of the body that stands before the payloads. */
void wmbt_bulk_encode(struct wmbt_writer *writer, const struct wmbt_bulk_batch *batch);

/* Bytes of payloads and checksums that follow it. */
uint64_t wmbt_bulk_payload_bytes(const struct wmbt_bulk_batch *batch);

struct wmbt_bulk_preamble {
  uint32_t records, attributes, crc;
};

/* False when it is none, or claims more than so many records. */
bool wmbt_bulk_decode_preamble(const uint8_t bytes[wmbt_bulk_preamble_bytes], size_t records_max,
                               struct wmbt_bulk_preamble *preamble, struct wmbt_failure *failure);

/* Bytes of records and attributes. */
size_t wmbt_bulk_table_bytes(const struct wmbt_bulk_preamble *preamble);

/*
 * Checks what follows the preamble, as it came: records for the leading of these keys, in order, with payloads that
 * may be. Gives the bytes of payloads and checksums that follow.
 */
bool wmbt_bulk_check_table(const uint8_t preamble[wmbt_bulk_preamble_bytes], const uint8_t *table,
                           const struct wmbt_key *keys, uint64_t *payload_bytes, struct wmbt_failure *failure);

/* The length of the payload of a record of a table that was checked. */
uint32_t wmbt_bulk_length_of(const uint8_t *table, size_t record);

/* What such a record says of its payload; tiers are those of frames. */
struct wmbt_bulk_facts {
  uint32_t tokens, tier;
  bool has_decoded_tokens;
};

struct wmbt_bulk_facts wmbt_bulk_facts_of(const uint8_t *table, size_t record);

#endif
