#include "http-exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../crc32c.h"
#include "bounds.h"
#include "clock.h"

/* The namespace as in object keys: every byte outside of `A-Za-z0-9-._` escaped, and the names `.` and `..`. */
static void write_namespace(struct wmbt_writer *writer, const char *ns) {
  static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
  const bool is_dots = strcmp(ns, ".") == 0 || strcmp(ns, "..") == 0;
  const size_t plain_count = sizeof plain - (is_dots ? 2 : 1);
  for (; *ns != '\0'; ns += 1) {
    char escaped[4];
    (void)snprintf(escaped, sizeof escaped, "%%%02X", (unsigned)(unsigned char)*ns);
    const bool is_plain = memchr(plain, *ns, plain_count) != NULL;
    wmbt_write_bytes(writer, is_plain ? ns : escaped, is_plain ? 1 : 3);
  }
}

static void write_text(struct wmbt_writer *writer, const char *text) {
  wmbt_write_bytes(writer, text, strlen(text));
}

static void write_head(struct wmbt_writer *writer, const struct wmbt_http_origin *origin,
                       const struct wmbt_http_request *request) {
  char numbers[128];
  if (request->operation == NULL) {
    write_text(writer, request->path);
  } else {
    write_text(writer, "POST /wmbt/v1/ns/");
    write_namespace(writer, request->ns);
    write_text(writer, "/");
    write_text(writer, request->operation);
  }
  write_text(writer, " HTTP/1.1\r\nhost: ");
  write_text(writer, origin->authority);
  write_text(writer, "\r\nuser-agent: libwombatkv/" WMBT_AGENT_VERSION "\r\n");
  if (origin->token[0] != '\0') {
    write_text(writer, "authorization: Bearer ");
    write_text(writer, origin->token);
    write_text(writer, "\r\n");
  }
  (void)snprintf(numbers, sizeof numbers, "wombatkv-deadline-ms: %u\r\n", (unsigned)request->left_ms);
  write_text(writer, numbers);
  if (request->type != NULL) {
    write_text(writer, "content-type: ");
    write_text(writer, request->type);
    (void)snprintf(numbers, sizeof numbers, "\r\ncontent-length: %llu\r\n", (unsigned long long)request->body_bytes);
    write_text(writer, numbers);
  }
  write_text(writer, "\r\n");
}

bool wmbt_http_send(struct wmbt_connection *connection, const struct wmbt_http_origin *origin,
                    const struct wmbt_http_request *request, bool *is_answered, int64_t deadline_ms,
                    struct wmbt_failure *failure) {
  struct wmbt_writer head = {0};
  write_head(&head, origin, request);
  const bool has_body = request->body != NULL && request->body->length > 0;
  if (head.has_failed || (request->body != NULL && request->body->has_failed)) {
    wmbt_writer_free(&head);
    return wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory for a request");
  }
  struct iovec parts[2] = {wmbt_sent_bytes(head.bytes, head.length)};
  if (has_body) parts[1] = wmbt_sent_bytes(request->body->bytes, request->body->length);
  const bool is_sent =
      wmbt_connection_send(connection, parts, has_body ? 2 : 1, is_answered, deadline_ms, failure);
  wmbt_writer_free(&head);
  if (*is_answered) connection->is_last = true;
  return is_sent;
}

bool wmbt_http_send_payload(struct wmbt_connection *connection, const struct iovec *payload, bool *is_answered,
                            int64_t deadline_ms, struct wmbt_failure *failure) {
  const size_t length = payload->iov_len;
  uint8_t checksum[4];
  wmbt_put_u32(checksum, length == 0 ? 0 : wmbt_crc32c_append(0, payload->iov_base, length));
  struct iovec parts[2] = {*payload, wmbt_sent_bytes(checksum, sizeof checksum)};
  struct iovec *first = length == 0 ? parts + 1 : parts;
  const bool is_sent =
      wmbt_connection_send(connection, first, length == 0 ? 1 : 2, is_answered, deadline_ms, failure);
  if (*is_answered) connection->is_last = true;
  return is_sent;
}

/* Where unread bytes of the connection begin. */
static const uint8_t *unread(const struct wmbt_connection *connection) {
  return connection->buffer + connection->start;
}

static size_t unread_bytes(const struct wmbt_connection *connection) { return connection->end - connection->start; }

/* Looks at the head that comes next, and leaves it where it is. */
static bool peek_head(struct wmbt_connection *connection, struct wmbt_http_head *head, size_t *bytes,
                      int64_t deadline_ms, struct wmbt_failure *failure) {
  size_t looked = 0;
  for (;;) {
    const size_t there = unread_bytes(connection);
    if (!wmbt_http_head_end(unread(connection), there, &looked, bytes, failure)) return false;
    if (*bytes > 0) return wmbt_http_head_parse(unread(connection), *bytes, head, failure);
    if (!wmbt_connection_fill(connection, there + 1, deadline_ms, failure)) return false;
  }
}

bool wmbt_http_receive(struct wmbt_connection *connection, struct wmbt_http_answer *answer, int64_t deadline_ms,
                       struct wmbt_failure *failure) {
  /* Nobody needs more of them. */
  enum { informational_max = 8 };
  *answer = (struct wmbt_http_answer){.connection = connection};
  for (unsigned i = 0; i <= informational_max; i += 1) {
    size_t bytes;
    if (!peek_head(connection, &answer->head, &bytes, deadline_ms, failure)) return false;
    connection->start += bytes;
    if (answer->head.status < 200) continue;
    if (!answer->head.is_kept) connection->is_last = true;
    answer->left = answer->head.is_chunked ? 0 : answer->head.body_bytes;
    return true;
  }
  return wmbt_fail(failure, wmbt_lost, "informational answers without end");
}

/*
 * The next line between chunks, without its end, as far as it is not too long. It lies in the buffer until the next
 * read.
 */
static bool read_line(struct wmbt_connection *connection, const char **line, size_t *length, int64_t deadline_ms,
                      struct wmbt_failure *failure) {
  for (size_t looked = 0;;) {
    const uint8_t *bytes = unread(connection);
    const size_t there = unread_bytes(connection);
    for (; looked < there && bytes[looked] != '\n'; looked += 1) {
      if (looked < wmbt_http_chunk_line_bytes_max) continue;
      return wmbt_fail(failure, wmbt_lost, "a line between chunks of more than %d bytes",
                       (int)wmbt_http_chunk_line_bytes_max);
    }
    if (looked < there) {
      const bool is_line = looked > 0 && bytes[looked - 1] == '\r' && memchr(bytes, '\r', looked) == bytes + looked - 1;
      *line = (const char *)bytes;
      *length = looked - 1;
      connection->start += looked + 1;
      return is_line ? true : wmbt_fail(failure, wmbt_lost, "a line between chunks does not end with CR LF alone");
    }
    if (!wmbt_connection_fill(connection, there + 1, deadline_ms, failure)) return false;
  }
}

/* Trailers say nothing that is asked for. */
static bool read_trailers(struct wmbt_connection *connection, int64_t deadline_ms, struct wmbt_failure *failure) {
  const char *line;
  size_t length, sum = 0;
  for (;;) {
    if (!read_line(connection, &line, &length, deadline_ms, failure)) return false;
    if (length == 0) return true;
    sum += length;
    if (sum > wmbt_http_trailer_bytes_max) return wmbt_fail(failure, wmbt_lost, "trailers of more than 4096 bytes");
    if (!wmbt_http_trailer_check(line, length, failure)) return false;
  }
}

/* Goes on to the next chunk; the last one ends the body. */
static bool next_chunk(struct wmbt_http_answer *answer, int64_t deadline_ms, struct wmbt_failure *failure) {
  const char *line;
  size_t length;
  if (answer->has_begun) {
    if (!read_line(answer->connection, &line, &length, deadline_ms, failure)) return false;
    if (length > 0) return wmbt_fail(failure, wmbt_lost, "a chunk is longer than its size says");
  }
  answer->has_begun = true;
  if (!read_line(answer->connection, &line, &length, deadline_ms, failure)) return false;
  if (!wmbt_http_chunk_size(line, length, &answer->left, failure)) return false;
  if (answer->left > 0) return true;
  answer->has_ended = true;
  return read_trailers(answer->connection, deadline_ms, failure);
}

bool wmbt_http_read(struct wmbt_http_answer *answer, uint8_t *into, size_t length, int64_t deadline_ms,
                    struct wmbt_failure *failure) {
  return wmbt_http_read_summed(answer, into, length, NULL, deadline_ms, failure);
}

bool wmbt_http_read_summed(struct wmbt_http_answer *answer, uint8_t *into, size_t length, uint32_t *crc,
                           int64_t deadline_ms, struct wmbt_failure *failure) {
  for (size_t filled = 0; filled < length;) {
    if (answer->left == 0 && answer->head.is_chunked && !answer->has_ended) {
      if (!next_chunk(answer, deadline_ms, failure)) return false;
    }
    if (answer->left == 0) return wmbt_fail(failure, wmbt_lost, "the body of an answer ends before it should");
    const size_t rest = length - filled;
    const size_t piece = answer->left < rest ? (size_t)answer->left : rest;
    if (!wmbt_connection_receive_data(answer->connection, into + filled, piece, crc, deadline_ms, failure)) {
      return false;
    }
    filled += piece;
    answer->left -= piece;
  }
  return true;
}

bool wmbt_http_read_end(struct wmbt_http_answer *answer, int64_t deadline_ms, struct wmbt_failure *failure) {
  const bool is_open = answer->head.is_chunked && answer->left == 0 && !answer->has_ended;
  if (is_open && !next_chunk(answer, deadline_ms, failure)) return false;
  if (answer->left == 0) return true;
  return wmbt_fail(failure, wmbt_lost, "the body of an answer goes on behind its end");
}

/* The next part of a text of which nobody knows the length: what is left of the chunk, or nothing at the end. */
static bool read_chunk(struct wmbt_http_answer *answer, struct wmbt_writer *text, int64_t deadline_ms,
                       struct wmbt_failure *failure) {
  uint8_t piece[1024];
  if (answer->left == 0 && !next_chunk(answer, deadline_ms, failure)) return false;
  const size_t count = answer->left < sizeof piece ? (size_t)answer->left : sizeof piece;
  if (!wmbt_http_read(answer, piece, count, deadline_ms, failure)) return false;
  if (text->length + count > WMBT_HTTP_TEXT_BYTES_MAX) {
    return wmbt_fail(failure, wmbt_lost, "an answer has more than %d bytes of text", WMBT_HTTP_TEXT_BYTES_MAX);
  }
  wmbt_write_bytes(text, piece, count);
  return true;
}

static char *read_chunked_text(struct wmbt_http_answer *answer, size_t *length, int64_t deadline_ms,
                               struct wmbt_failure *failure) {
  struct wmbt_writer text = {0};
  bool is_read = true;
  while (is_read && !answer->has_ended) is_read = read_chunk(answer, &text, deadline_ms, failure);
  *length = text.length;
  wmbt_write_u8(&text, 0);
  if (is_read && !text.has_failed) return (char *)text.bytes;
  if (is_read) (void)wmbt_fail(failure, wmbt_no_memory, "unavailable: no memory for an answer");
  wmbt_writer_free(&text);
  return NULL;
}

char *wmbt_http_read_text(struct wmbt_http_answer *answer, size_t *length, int64_t deadline_ms,
                          struct wmbt_failure *failure) {
  if (answer->head.is_chunked) return read_chunked_text(answer, length, deadline_ms, failure);
  if (answer->left > WMBT_HTTP_TEXT_BYTES_MAX) {
    (void)wmbt_fail(failure, wmbt_lost, "an answer claims %llu bytes of text; at most %d are taken",
                    (unsigned long long)answer->left, WMBT_HTTP_TEXT_BYTES_MAX);
    return NULL;
  }
  *length = (size_t)answer->left;
  char *text = malloc(*length + 1);
  if (text == NULL) {
    (void)wmbt_fail(failure, wmbt_no_memory, "unavailable: no memory for an answer of %zu bytes", *length);
    return NULL;
  }
  text[*length] = '\0';
  if (wmbt_http_read(answer, (uint8_t *)text, *length, deadline_ms, failure)) return text;
  free(text);
  return NULL;
}

/* Makes all of a short answer lie in the buffer; nothing is used up before, so that a later call can go on. */
static bool gather(struct wmbt_connection *connection, int64_t deadline_ms, struct wmbt_failure *failure) {
  struct wmbt_http_head head;
  size_t bytes;
  if (!peek_head(connection, &head, &bytes, deadline_ms, failure)) return false;
  const bool is_short = !head.is_chunked && head.body_bytes <= WMBT_READ_BYTES / 2;
  if (!is_short) return wmbt_fail(failure, wmbt_lost, "what answers is no daemon of WombatKV: it answers at length");
  return wmbt_connection_fill(connection, bytes + (size_t)head.body_bytes, deadline_ms, failure);
}

bool wmbt_http_settle(struct wmbt_connection *connection, uint32_t id, int64_t deadline_ms,
                      struct wmbt_failure *failure) {
  (void)id;
  struct wmbt_http_answer answer;
  if (!gather(connection, deadline_ms, failure)) return false;
  if (!wmbt_http_receive(connection, &answer, deadline_ms, failure)) return false;
  connection->start += (size_t)answer.left;
  return connection->is_last ? wmbt_fail(failure, wmbt_lost, "the daemon closes the connection") : true;
}

bool wmbt_http_greet(struct wmbt_connection *connection, const struct wmbt_hello *hello, int64_t deadline_ms,
                     struct wmbt_failure *failure) {
  const struct wmbt_http_request ping = {.path = "GET /wmbt/v1/ping", .left_ms = WMBT_CONNECT_MS};
  bool is_answered = false;
  if (!connection->has_sent_hello) {
    /* It is short enough for the socket to take it whole. */
    if (!wmbt_http_send(connection, hello->origin, &ping, &is_answered, wmbt_now_ms() + 1, failure)) {
      if (failure->kind == wmbt_expired) failure->kind = wmbt_lost;
      return false;
    }
    connection->has_sent_hello = true;
  }
  struct wmbt_http_answer answer;
  if (!gather(connection, deadline_ms, failure)) return false;
  if (!wmbt_http_receive(connection, &answer, deadline_ms, failure)) return false;
  if (answer.head.status != 200) return wmbt_http_refuse(&answer, deadline_ms, failure);
  if (answer.left == 0 && !connection->is_last) return true;
  return wmbt_fail(failure, wmbt_lost, "what answers is no daemon of WombatKV: it answers a ping with something else");
}
