/* The pure parts of HTTP: heads, chunk sizes, JSON, bulk bodies. Seeds: golden answers. */
#include <string.h>

#include "../../src/crc32c.h"
#include "../../src/library/bounds.h"
#include "../../src/library/http.h"
#include "../../src/library/http-bulk.h"
#include "../../src/library/http-head.h"
#include "../../src/library/json.h"
#include "fuzz.h"

enum { keys_max = 8, asked_max = 3 };

/*
 * With a checksum that holds, and with the keys that stand there, so that what is behind them is tried; and as it came,
 * where either may be wrong.
 */
static void read_bulk(const uint8_t *body, size_t size) {
  struct wmbt_bulk_preamble said;
  struct wmbt_failure failure;
  struct wmbt_key keys[keys_max];
  uint64_t payload_bytes = 0, sum = 0;
  if (size < wmbt_bulk_preamble_bytes || !wmbt_bulk_decode_preamble(body, keys_max, &said, &failure)) return;
  MUST(said.records <= keys_max);
  if (said.records > 0) {
    MUST(!wmbt_bulk_decode_preamble(body, said.records - 1, &(struct wmbt_bulk_preamble){0}, &failure));
  }
  const size_t table = wmbt_bulk_table_bytes(&said);
  if (size - wmbt_bulk_preamble_bytes < table) return;
  uint8_t *copy = malloc(wmbt_bulk_preamble_bytes + table);
  if (copy == NULL) return;
  (void)memset(keys, 0, sizeof keys);
  (void)wmbt_bulk_check_table(body, body + wmbt_bulk_preamble_bytes, keys, &payload_bytes, &failure);
  (void)memcpy(copy, body, wmbt_bulk_preamble_bytes + table);
  const uint8_t *records = copy + wmbt_bulk_preamble_bytes;
  for (size_t i = 0; i < said.records; i += 1) {
    (void)memcpy(&keys[i], records + i * wmbt_bulk_record_bytes, sizeof *keys);
  }
  wmbt_put_u32(copy + 16, wmbt_crc32c_append(wmbt_crc32c_append(0, copy, 16), records, table));
  if (wmbt_bulk_check_table(copy, records, keys, &payload_bytes, &failure)) {
    for (size_t i = 0; i < said.records; i += 1) sum += wmbt_bulk_length_of(records, i) + wmbt_bulk_checksum_bytes;
    MUST(sum == payload_bytes && sum <= keys_max * ((uint64_t)WMBT_PAYLOAD_BYTES_MAX + wmbt_bulk_checksum_bytes));
    for (size_t i = 0; i < said.records; i += 1) (void)wmbt_bulk_facts_of(records, i);
  }
  if (said.records > 0) {
    /* The last one was not asked for. */
    keys[said.records - 1].bytes[31] ^= 1;
    MUST(!wmbt_bulk_check_table(copy, records, keys, &payload_bytes, &failure));
  }
  free(copy);
}

/* What is stored of so many keys; the marks of others are not touched. */
static void read_stored(const struct wmbt_json *object, size_t asked) {
  static const struct wmbt_key keys[asked_max];
  uint8_t present[asked_max + 1];
  struct wmbt_terms terms = {0};
  struct wmbt_failure failure;
  const struct wmbt_http_question question = {
      .operation = "contains", .keys = {"n", keys, asked, &terms}, .result = present,
  };
  (void)memset(present, 7, sizeof present);
  if (wmbt_http_read_stored(object, &question, &failure)) {
    for (size_t i = 0; i < asked; i += 1) MUST(present[i] <= 1);
  }
  MUST(present[asked] == 7);
}

static void read_json(const char *text, size_t length) {
  static const char *const names[] = {"error", "code", "reason", "stored", "matched", "saved", "bulk"};
  struct wmbt_json object, value, inner;
  char string[16];
  uint64_t count;
  if (!wmbt_json_object(text, length, &object)) return;
  MUST(object.text >= text && object.length <= length);
  for (size_t asked = 0; asked <= asked_max; asked += 1) read_stored(&object, asked);
  if (wmbt_http_number(&object, "matched", &count)) MUST(count < UINT64_C(1) << 53);
  MUST(wmbt_http_reason(&object) <= 9);
  for (unsigned i = 0; i < 7; i += 1) {
    if (!wmbt_json_member(&object, names[i], &value)) continue;
    MUST(value.text > text && value.text + value.length < text + length);
    if (wmbt_json_string(&value, string, sizeof string)) MUST(strlen(string) < sizeof string);
    if (wmbt_json_count(&value, &count)) MUST(count < UINT64_C(1) << 53);
    if (wmbt_json_member(&value, "reason", &inner)) (void)wmbt_json_string(&inner, string, sizeof string);
    for (size_t at = 0, before = 0; wmbt_json_next(&value, &at, &inner); before = at) MUST(at > before);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct wmbt_http_head head;
  struct wmbt_failure failure;
  size_t looked = 0, end = 0;
  uint64_t chunk;
  if (wmbt_http_head_end(data, size, &looked, &end, &failure) && end > 0) {
    MUST(end <= size && end <= wmbt_http_head_bytes_max);
    if (wmbt_http_head_parse(data, end, &head, &failure)) MUST(!head.is_chunked || head.body_bytes == 0);
  }
  if (wmbt_http_chunk_size((const char *)data, size, &chunk, &failure)) MUST(chunk < UINT64_C(1) << 53);
  (void)wmbt_http_trailer_check((const char *)data, size, &failure);
  read_json((const char *)data + end, size - end);
  read_bulk(data + end, size - end);
  return 0;
}
