/* The pure parts of HTTP: heads, chunks, JSON, bulk bodies. */
#include "http-test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/library/http-bulk.h"
#include "../../src/library/http-head.h"
#include "../../src/library/http.h"
#include "../../src/library/json.h"
#include "frames-test.h"

static struct wmbt_key key_of(uint8_t first) {
  struct wmbt_key key;
  for (unsigned i = 0; i < 32; i += 1) key.bytes[i] = (uint8_t)(first + i);
  return key;
}

void http_bulk_bodies(void) {
  uint8_t golden[golden_max];
  struct wmbt_failure failure;
  const struct wmbt_key sent[3] = {key_of(1), key_of(33), key_of(65)};
  const size_t lens[3] = {7, 5, 0};
  const uint8_t left_out[3] = {1, 0, 0};
  const struct wmbt_key parent = key_of(100);
  const struct wmbt_terms terms = {0};
  struct wmbt_writer said_of_it = {0};
  wmbt_http_write_attributes(&said_of_it, &terms, wmbt_when_durable, &parent);
  const char *attributes = (const char *)said_of_it.bytes;
  const struct wmbt_bulk_batch batch = {
      .keys = sent, .lens = lens, .count = 3, .left_out = left_out, .attributes = attributes};
  struct wmbt_writer body = {0};
  wmbt_bulk_encode(&body, &batch);
  const size_t length = read_golden("../http-v1/save-body", golden);
  expect(wmbt_bulk_payload_bytes(&batch) == 5 + 4 + 4, "bytes of payloads");
  expect(length == body.length + 13 && memcmp(golden, body.bytes, body.length) == 0, "the body of a save");
  wmbt_writer_free(&body);
  wmbt_writer_free(&said_of_it);

  struct wmbt_bulk_preamble said;
  uint64_t payload_bytes = 0;
  const size_t loaded = read_golden("../http-v1/load-body", golden);
  expect(wmbt_bulk_decode_preamble(golden, 2, &said, &failure), failure.text);
  const size_t table = wmbt_bulk_table_bytes(&said);
  expect(wmbt_bulk_check_table(golden, golden + wmbt_bulk_preamble_bytes, sent, &payload_bytes, &failure),
         failure.text);
  expect(payload_bytes == 13 && wmbt_bulk_preamble_bytes + table + 13 == loaded, "lengths of a load");
  expect(wmbt_bulk_length_of(golden + wmbt_bulk_preamble_bytes, 0) == 5, "the length of a payload");
  const struct wmbt_bulk_facts facts = wmbt_bulk_facts_of(golden + wmbt_bulk_preamble_bytes, 0);
  expect(facts.tokens == 128 && facts.tier == 1 && facts.has_decoded_tokens, "facts of a payload");
  expect(!wmbt_bulk_decode_preamble(golden, 1, &said, &failure), "more records than keys are taken");
  /* Every bit of head and table is under the checksum, or has one value only. */
  for (size_t bit = 0; bit < 8 * (wmbt_bulk_preamble_bytes + table); bit += 1) {
    golden[bit / 8] ^= (uint8_t)(1 << (bit % 8));
    const bool is_taken =
        wmbt_bulk_decode_preamble(golden, 2, &said, &failure) && wmbt_bulk_table_bytes(&said) <= table &&
        wmbt_bulk_check_table(golden, golden + wmbt_bulk_preamble_bytes, sent, &payload_bytes, &failure);
    expect(!is_taken, "a flipped bit of a table is not seen");
    golden[bit / 8] ^= (uint8_t)(1 << (bit % 8));
  }
}

void http_bulk_bodies_last_first(void) {
  uint8_t golden[golden_max];
  const struct wmbt_key sent[3] = {key_of(1), key_of(33), key_of(65)};
  const size_t lens[3] = {7, 5, 2};
  const uint8_t left_out[3] = {1, 0, 0};
  const struct wmbt_key parent = key_of(100);
  struct wmbt_terms terms = {0};
  struct wmbt_writer asked = {0}, said_of_it = {0}, body = {0};
  const struct wmbt_http_question question = {.keys = {"default", sent, 3, &terms}, .lens = lens};
  wmbt_http_write_form(&asked, &question);
  const size_t asked_bytes = read_golden("../http-v2/asked-body", golden);
  expect(asked_bytes == asked.length && memcmp(golden, asked.bytes, asked_bytes) == 0, "the question before a save");
  wmbt_writer_free(&asked);

  wmbt_http_write_attributes(&said_of_it, &terms, wmbt_when_durable, &parent);
  const char *attributes = (const char *)said_of_it.bytes;
  const struct wmbt_bulk_batch batch = {
      .keys = sent, .lens = lens, .count = 3, .left_out = left_out, .is_last_first = true, .attributes = attributes};
  wmbt_bulk_encode(&body, &batch);
  const size_t length = read_golden("../http-v2/save-body", golden);
  expect(length == body.length + wmbt_bulk_payload_bytes(&batch), "the length of a save");
  expect(memcmp(golden, body.bytes, body.length) == 0, "the body of a save");
  wmbt_writer_free(&body);
  wmbt_writer_free(&said_of_it);
}

/* A head by its text; what is refused has a reason that holds this part. */
static const struct {
  const char *text, *refusal;
  struct wmbt_http_head head;
} heads[] = {
    {"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", NULL, {200, false, 5, true, false}},
    {"HTTP/1.1 200\r\nContent-Length:5\t\r\n\r\n", NULL, {200, false, 5, true, false}},
    {"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", NULL, {200, false, 0, false, false}},
    {"HTTP/1.1 404 N\xe9\r\ncontent-length: 1\r\nconnection: a, Close ,b\r\n\r\n", NULL, {404, false, 1, false, false}},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", NULL, {200, true, 0, true, false}},
    {"HTTP/1.1 204 \r\n\r\n", NULL, {204, false, 0, true, false}},
    {"HTTP/1.1 100 Continue\r\n\r\n", NULL, {100, false, 0, true, false}},
    {"HTTP/1.1 304 No\r\ncontent-length: 9\r\n\r\n", NULL, {304, false, 0, true, false}},
    {"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.wombatkv.bulk\r\ncontent-length: 24\r\n\r\n", NULL,
     {200, false, 24, true, true}},
    {"HTTP/1.1 200 OK\r\ncontent-length: 9007199254740991\r\n\r\n", NULL, {200, false, 9007199254740991, true, false}},
    {"HTTP/2 200 OK\r\n\r\n", "status line", {0}},
    {"HTTP/1.1 20 OK\r\n\r\n", "status line", {0}},
    {"HTTP/1.1 2000\r\n\r\n", "status line", {0}},
    {"HTTP/1.1 099 \r\n\r\n", "below 100", {0}},
    {"http/1.1 200 OK\r\n\r\n", "status line", {0}},
    {"HTTP/1.1  200 OK\r\n\r\n", "status line", {0}},
    {"HTTP/1.1 200 O\x7fK\r\n\r\n", "status line", {0}},
    {"\r\nHTTP/1.1 200 OK\r\n\r\n", "an empty line", {0}},
    {"HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n", "LF instead of CR LF", {0}},
    {"HTTP/1.1 200 OK\r\ncontent-length: 0\n\n", "LF instead of CR LF", {0}},
    {"HTTP/1.1 200 OK\rcontent-length: 0\r\n\r\n", "a CR that ends no line", {0}},
    {"HTTP/1.1 200 OK\r\r\n\r\n", "a CR that ends no line", {0}},
    {"HTTP/1.1 200 OK\r\n\r\n", "whose length nobody states", {0}},
    {"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n", "more than one Content-Length", {0}},
    {"HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\n", "that is no number", {0}},
    {"HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n", "that is no number", {0}},
    {"HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n", "that is no number", {0}},
    {"HTTP/1.1 200 OK\r\ncontent-length: 0x5\r\n\r\n", "that is no number", {0}},
    {"HTTP/1.1 200 OK\r\ncontent-length: 9007199254740992\r\n\r\n", "beyond 2^53", {0}},
    {"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999999\r\n\r\n", "beyond 2^53", {0}},
    {"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", "beside Transfer-Encoding", {0}},
    {"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n", "a transfer coding but chunked", {0}},
    {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", "coding but chunked", {0}},
    {"HTTP/1.1 200 OK\r\ntransfer-encoding: \x0b" "chunked\r\n\r\n", "a control character", {0}},
    {"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "Transfer-Encoding in HTTP/1.0", {0}},
    {"HTTP/1.1 200 OK\r\ncontent-length : 5\r\n\r\n", "whose name is none", {0}},
    {"HTTP/1.1 200 OK\r\n content-length: 5\r\n\r\n", "a folded line", {0}},
    {"HTTP/1.1 200 OK\r\na: b\r\n\tcontent-length: 5\r\n\r\n", "a folded line", {0}},
    {"HTTP/1.1 200 OK\r\n: 5\r\n\r\n", "whose name is none", {0}},
    {"HTTP/1.1 200 OK\r\ncontent-length\r\n\r\n", "without a colon", {0}},
};

/* Reads the text as a connection does that is given `step` bytes at a time. */
static bool read_head(const char *text, size_t size, size_t step, struct wmbt_http_head *head,
                      struct wmbt_failure *failure) {
  size_t looked = 0, end = 0;
  for (size_t there = step < size ? step : size; end == 0;) {
    uint8_t *exact = malloc(there);
    if (exact == NULL) exit(2);
    (void)memcpy(exact, text, there);
    bool is_read = wmbt_http_head_end(exact, there, &looked, &end, failure);
    if (is_read && end > 0) is_read = wmbt_http_head_parse(exact, end, head, failure);
    free(exact);
    if (!is_read) return false;
    if (there == size && end == 0) return wmbt_fail(failure, wmbt_lost, "the head has no end");
    there = there + step < size ? there + step : size;
  }
  return true;
}

void http_heads(void) {
  struct wmbt_failure failure = {.text = ""};
  for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i += 1) {
    const size_t steps[3] = {1, 7, 4096};
    for (unsigned s = 0; s < 3; s += 1) {
      struct wmbt_http_head head = {0};
      const bool is_read = read_head(heads[i].text, strlen(heads[i].text), steps[s], &head, &failure);
      const struct wmbt_http_head *wanted = &heads[i].head;
      const bool is_right =
          heads[i].refusal != NULL
              ? !is_read && strstr(failure.text, heads[i].refusal) != NULL
              : is_read && head.status == wanted->status && head.is_chunked == wanted->is_chunked &&
                    head.body_bytes == wanted->body_bytes && head.is_kept == wanted->is_kept &&
                    head.is_bulk == wanted->is_bulk;
      expect(is_right, heads[i].text);
      if (!is_right) expect(false, failure.text);
    }
  }
  static char text[40000];
  size_t length = (size_t)snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n");
  for (unsigned i = 0; i < 100; i += 1) length += (size_t)snprintf(text + length, 8, "a:b\r\n");
  (void)snprintf(text + length, 3, "\r\n");
  struct wmbt_http_head head;
  expect(!read_head(text, length + 2, 4096, &head, &failure), "101 lines are taken");
  expect(read_head(text, length - 3, 4096, &head, &failure) == false, "a head without an end is taken");
  (void)memset(text, 'a', sizeof text);
  (void)memcpy(text, "HTTP/1.1 200 ", 13);
  expect(!read_head(text, sizeof text, 4096, &head, &failure), "a head of 40,000 bytes is taken");
  expect(strstr(failure.text, "more than 16384 bytes") != NULL, failure.text);
}

void http_chunk_sizes(void) {
  static const struct {
    const char *line;
    /* -1: refused. */
    int64_t size;
  } lines[] = {
      {"0", 0},     {"5", 5},       {"fF", 255},    {"00a", 10},   {"1;x=y", 1}, {"2 ; q", 2},      {"10\t;", 16},
      {"", -1},     {" 5", -1},     {"5 ", -1},     {"0x5", -1},   {"-1", -1},   {"+1", -1},        {"5 5", -1},
      {";x", -1},   {"g", -1},      {"1;\x01", -1}, {"5\r", -1},   {"1f", 31},   {"ffffffffffffff", -1},
      {"1fffffffffffff", 9007199254740991},
  };
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i += 1) {
    uint64_t size = 7;
    struct wmbt_failure failure;
    const bool is_read = wmbt_http_chunk_size(lines[i].line, strlen(lines[i].line), &size, &failure);
    expect(is_read ? (int64_t)size == lines[i].size : lines[i].size < 0, lines[i].line);
  }
}

static bool is_object(const char *text) {
  struct wmbt_json object;
  return wmbt_json_object(text, strlen(text), &object);
}

static void json_texts(void) {
  static const char *const right[] = {
      "{}", " { } \n", "{\"a\":1}", "{\"a\" : -0.5e+3 , \"b\":[ ] }", "{\"a\":[true,false,null,\"\\u0041\\n\"]}",
      "{\"a\":{\"b\":{\"c\":[[[1]]]}}}", "{\"\xc3\xa9\":\"\xf0\x9f\x98\x80\"}",
  };
  static const char *const wrong[] = {
      "", "[]", "1", "{", "}", "{]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,\"a\":1}", "{a:1}", "{'a':1}",
      "{\"a\":01}", "{\"a\":1.}", "{\"a\":.5}", "{\"a\":1e}", "{\"a\":+1}", "{\"a\":tru}", "{\"a\":[1,]}",
      "{\"a\":[1 2]}", "{} {}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12g4\"}", "{\"a\":\"\n\"}", "{\"a\":\"",
      "{\"a\":\"\xff\"}", "{\"a\":1}x", "{\"a\":[[[[[[[[[[1]]]]]]]]]]}",
  };
  for (size_t i = 0; i < sizeof right / sizeof right[0]; i += 1) expect(is_object(right[i]), right[i]);
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i += 1) expect(!is_object(wrong[i]), wrong[i]);
}

void http_json(void) {
  static const char text[] = " {\"n\": 12 ,\"big\":9007199254740992,\"neg\":-1,"
                             "\"s\":\"a\\\"\\u00e9\\ud83d\\ude00\\u0000\\ud800\","
                             "\"list\":[1 , true,[]],\"o\":{\"n\":3}} ";
  struct wmbt_json object, value, one;
  uint64_t count = 0;
  char string[64];
  json_texts();
  expect(wmbt_json_object(text, sizeof text - 1, &object), "an object");
  expect(wmbt_json_member(&object, "n", &value) && wmbt_json_count(&value, &count) && count == 12, "a count");
  expect(wmbt_json_member(&object, "big", &value) && !wmbt_json_count(&value, &count), "a count beyond 2^53");
  expect(wmbt_json_member(&object, "neg", &value) && !wmbt_json_count(&value, &count), "a negative count");
  expect(wmbt_json_member(&object, "s", &value) && wmbt_json_string(&value, string, sizeof string), "a string");
  expect(strcmp(string, "a\"\xc3\xa9\xf0\x9f\x98\x80 \xef\xbf\xbd") == 0, string);
  expect(wmbt_json_string(&value, string, 3) && strcmp(string, "a\"") == 0, "a string that is cut");
  expect(!wmbt_json_member(&object, "x", &value), "a member that is not there");
  expect(wmbt_json_member(&object, "o", &value) && wmbt_json_member(&value, "n", &one), "a member of a member");
  expect(wmbt_json_member(&object, "list", &value), "a list");
  size_t at = 0, elements = 0;
  while (wmbt_json_next(&value, &at, &one)) elements += 1;
  expect(elements == 3 && wmbt_json_is_word(&one, "[]"), "elements of a list");
  expect(!wmbt_json_member(&value, "n", &one) && !wmbt_json_string(&value, string, 9), "a list is something else");
}

/* Whatever comes out, nothing is read beyond the bytes. */
static void read_anything(const uint8_t *bytes, size_t length) {
  struct wmbt_http_head head;
  struct wmbt_failure failure;
  struct wmbt_json object, value, one;
  size_t looked = 0, end = 0, at = 0;
  uint64_t count;
  char text[40];
  if (wmbt_http_head_end(bytes, length, &looked, &end, &failure) && end > 0) {
    (void)wmbt_http_head_parse(bytes, end, &head, &failure);
  }
  (void)wmbt_http_chunk_size((const char *)bytes, length, &count, &failure);
  (void)wmbt_http_trailer_check((const char *)bytes, length, &failure);
  if (!wmbt_json_object((const char *)bytes + end, length - end, &object)) return;
  if (wmbt_json_member(&object, "stored", &value)) {
    while (wmbt_json_next(&value, &at, &one)) (void)wmbt_json_count(&one, &count);
  }
  if (wmbt_json_member(&object, "bulk", &value)) (void)wmbt_json_count(&value, &count);
  if (wmbt_json_member(&object, "error", &value) && wmbt_json_member(&value, "reason", &one)) {
    (void)wmbt_json_string(&one, text, sizeof text);
  }
}

void http_changed_messages(void) {
  static const char *const names[] = {"v1/looked-up", "v1/present", "v1/saved",          "v1/error",
                                      "v1/loaded",    "v2/present", "v1/loaded-chunked"};
  uint8_t golden[golden_max];
  for (unsigned round = 0; round < 50000; round += 1) {
    char name[64];
    (void)snprintf(name, sizeof name, "../http-%s", names[next_random() % 7]);
    size_t length = read_golden(name, golden);
    if (next_random() % 4 == 0) length = next_random() % (length + 1);
    uint8_t *exact = malloc(length == 0 ? 1 : length);
    if (exact == NULL) exit(2);
    (void)memcpy(exact, golden, length);
    for (uint64_t changes = next_random() % 4; length > 0 && changes > 0; changes -= 1) {
      exact[next_random() % length] = (uint8_t)next_random();
    }
    read_anything(exact, length);
    free(exact);
  }
}
