/*
 * Whole answers as they come over a socket, of HTTP and of frames, whose checksums are set right but behind a `-`, with
 * which an input may begin. Seeds: both kinds of golden messages.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/crc32c.h"
#include "../../src/library/clock.h"
#include "../../src/library/connection.h"
#include "../../src/library/http-exchange.h"
#include "../../src/library/http.h"
#include "fuzz.h"

enum { stream_max = 65536, ids_max = 8, answers_max = 4 };

/* A connection on which these bytes come, and then nothing more. */
static struct wmbt_connection *connection_of(const uint8_t *bytes, size_t length) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return NULL;
  const struct wmbt_target nowhere = {0};
  struct wmbt_connection *connection = wmbt_connection_new(&nowhere);
  const ssize_t sent = length == 0 ? 0 : send(ends[1], bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  (void)close(ends[1]);
  if (connection != NULL && sent == (ssize_t)length) {
    connection->fd = ends[0];
    connection->made = wmbt_descriptor_of(ends[0]);
    return connection;
  }
  wmbt_connection_free(connection);
  (void)close(ends[0]);
  return NULL;
}

/* Sets the checksums of all frames right, as far as there are some. */
static void repair(uint8_t *bytes, size_t length) {
  for (size_t at = 0; length - at >= wmbt_frame_header_bytes;) {
    uint8_t *header = bytes + at, *body = header + wmbt_frame_header_bytes;
    const size_t rest = length - at - wmbt_frame_header_bytes, stated = wmbt_u32_at(header + 12);
    const size_t size = stated < rest ? stated : rest;
    const bool has_checksum = header[5] != wmbt_frame_data && size > 0;
    wmbt_put_u32(header + 16, has_checksum ? wmbt_crc32c_append(0, body, size) : 0);
    wmbt_put_u32(header + 20, wmbt_crc32c_append(0, header, 20));
    at += wmbt_frame_header_bytes + size;
  }
}

static void read_frames(struct wmbt_connection *connection, int64_t end_ms) {
  static uint8_t into[WMBT_PIECE_BYTES_MAX];
  struct wmbt_frame frame;
  struct wmbt_failure failure;
  uint32_t crc = 0;
  for (uint32_t id = 0; id < ids_max; id += 1) {
    if (!wmbt_connection_receive(connection, id, end_ms, &frame, &failure)) continue;
    MUST(frame.id == id);
    if (frame.type != wmbt_frame_data) continue;
    (void)wmbt_connection_receive_data(connection, into, frame.length, (id & 1) == 0 ? &crc : NULL, end_ms,
                                      &failure);
  }
}

/* As the answer to a question. */
static bool read_stored(struct wmbt_http_answer *answer, int64_t end_ms) {
  enum { key_count = 3 };
  static const struct wmbt_key keys[key_count];
  uint8_t present[key_count];
  struct wmbt_terms terms = {0};
  struct wmbt_failure failure;
  const struct wmbt_http_question question = {
      .operation = "contains",
      .keys = {"n", keys, key_count, &terms},
      .read = wmbt_http_read_stored,
      .result = present,
  };
  return wmbt_http_read_answer(answer, &question, end_ms, &failure);
}

/* One answer; true when another may follow. */
static bool read_answer(struct wmbt_connection *connection, int64_t end_ms) {
  struct wmbt_http_answer answer;
  struct wmbt_failure failure;
  size_t length = 0;
  if (!wmbt_http_receive(connection, &answer, end_ms, &failure)) return false;
  MUST(answer.head.status >= 200);
  if (answer.head.status != 200) {
    MUST(!wmbt_http_refuse(&answer, end_ms, &failure));
    return failure.kind != wmbt_lost;
  }
  if (!answer.head.is_bulk && (answer.head.body_bytes & 1) != 0) return read_stored(&answer, end_ms);
  uint8_t first[7];
  if (answer.head.is_bulk && !wmbt_http_read(&answer, first, sizeof first, end_ms, &failure)) return false;
  char *text = wmbt_http_read_text(&answer, &length, end_ms, &failure);
  if (text != NULL) MUST(text[length] == '\0' && length <= WMBT_HTTP_TEXT_BYTES_MAX);
  free(text);
  return text != NULL && wmbt_http_read_end(&answer, end_ms, &failure);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uint8_t copy[stream_max];
  if (size == 0 || size > sizeof copy) return 0;
  (void)memcpy(copy, data, size);
  const bool is_http = data[0] == 'H', is_raw = data[0] == '-';
  if (is_raw) {
    size -= 1;
    (void)memmove(copy, copy + 1, size);
  } else if (!is_http) {
    repair(copy, size);
  }
  struct wmbt_connection *connection = connection_of(copy, size);
  if (connection == NULL) return 0;
  const int64_t end_ms = wmbt_now_ms() + 5000;
  if (is_http) {
    for (unsigned i = 0; i < answers_max && read_answer(connection, end_ms);) i += 1;
  } else {
    read_frames(connection, end_ms);
  }
  wmbt_connection_free(connection);
  /* All has come: nobody waits. */
  MUST(wmbt_now_ms() < end_ms);
  return 0;
}
