#include "connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../crc32c.h"
#include "cancel.h"
#include "clock.h"

#ifndef MSG_NOSIGNAL
/* There a socket has an option instead, set where it is made. */
#define MSG_NOSIGNAL 0
#endif

static bool fail_expired(struct wmbt_failure *failure) {
  return wmbt_fail(failure, wmbt_expired, "unavailable: no answer from the daemon by the deadline");
}

static bool fail_system(struct wmbt_failure *failure, int error) {
  char why[128];
  if (strerror_r(error, why, sizeof why) != 0) (void)memcpy(why, "unknown error", sizeof "unknown error");
  return wmbt_fail(failure, wmbt_lost, "the connection to the daemon ended: %s", why);
}

/* Waits until the socket is ready for `events` or has failed. */
static bool wait_for(int fd, short events, int64_t deadline_ms, struct wmbt_failure *failure) {
  for (;;) {
    struct pollfd one = {.fd = fd, .events = events};
    if (wmbt_cancel_is_set()) return wmbt_cancel_fail(failure);
    const int count = poll(&one, 1, wmbt_cancel_wait_ms(wmbt_left_ms(deadline_ms)));
    if (count > 0) return true;
    if (count < 0 && errno != EINTR && errno != EAGAIN) return fail_system(failure, errno);
    if (wmbt_left_ms(deadline_ms) == 0) return fail_expired(failure);
  }
}

/* What a call of the system that did not work means: true to try it again. */
static bool may_repeat(int fd, short events, int64_t deadline_ms, struct wmbt_failure *failure) {
  if (errno == EINTR) return true;
  if (errno == EAGAIN || errno == EWOULDBLOCK) return wait_for(fd, events, deadline_ms, failure);
  return fail_system(failure, errno);
}

bool wmbt_connection_is_quiet(const struct wmbt_connection *connection) {
  if (!wmbt_descriptor_is_ours(&connection->made)) return false;
  return connection->start == connection->end && wmbt_descriptor_look(connection->fd) == 0;
}

bool wmbt_connection_has_news(const struct wmbt_connection *connection) {
  return connection->start < connection->end || wmbt_descriptor_look(connection->fd) != 0;
}

void wmbt_connection_free(struct wmbt_connection *connection) {
  if (connection == NULL) return;
  wmbt_descriptor_close(&connection->made);
  free(connection);
}

/* Takes away what was sent; gives the number of parts that are left. */
static size_t drop_sent(struct iovec **parts, size_t count, size_t sent) {
  while (count > 0 && sent >= (*parts)->iov_len) {
    sent -= (*parts)->iov_len;
    *parts += 1;
    count -= 1;
  }
  if (count == 0) return 0;
  (*parts)->iov_base = (uint8_t *)(*parts)->iov_base + sent;
  (*parts)->iov_len -= sent;
  return count;
}

/* Sends all parts. With `is_answered` it listens meanwhile. */
static bool send_parts(struct wmbt_connection *connection, struct iovec *parts, size_t count, bool *is_answered,
                       int64_t deadline_ms, struct wmbt_failure *failure) {
  const short events = is_answered == NULL ? POLLOUT : POLLOUT | POLLIN;
  while (count > 0) {
    if (is_answered != NULL && wmbt_connection_has_news(connection)) return *is_answered = true;
    struct msghdr message = {.msg_iov = parts};
    message.msg_iovlen = (__typeof__(message.msg_iovlen))count;
    const ssize_t sent = sendmsg(connection->fd, &message, MSG_NOSIGNAL);
    if (sent >= 0) {
      count = drop_sent(&parts, count, (size_t)sent);
    } else if (is_answered != NULL && (errno == EPIPE || errno == ECONNRESET)) {
      return *is_answered = true;
    } else if (!may_repeat(connection->fd, events, deadline_ms, failure)) {
      return false;
    }
    if (wmbt_cancel_is_set()) return wmbt_cancel_fail(failure);
  }
  return true;
}

bool wmbt_connection_send(struct wmbt_connection *connection, struct iovec *parts, size_t count, bool *is_answered,
                          int64_t deadline_ms, struct wmbt_failure *failure) {
  return send_parts(connection, parts, count, is_answered, deadline_ms, failure);
}

struct iovec wmbt_sent_bytes(const void *bytes, size_t length) {
  union {
    const void *seen;
    void *sent;
  } const memory = {bytes};
  return (struct iovec){memory.sent, length};
}

bool wmbt_connection_send_message(struct wmbt_connection *connection, enum wmbt_frame_type type, uint32_t id,
                                  const struct wmbt_writer *body, int64_t deadline_ms, struct wmbt_failure *failure) {
  if (body->has_failed) return wmbt_fail(failure, wmbt_unavailable, "no memory for a message");
  if (body->length > connection->welcome.body_bytes_max || body->length > WMBT_MESSAGE_BYTES_MAX) {
    return wmbt_fail(failure, wmbt_too_large, "a message has %zu bytes; the daemon takes %u", body->length,
                     (unsigned)connection->welcome.body_bytes_max);
  }
  uint8_t header[wmbt_frame_header_bytes];
  wmbt_frame_encode_message(type, id, body->bytes, body->length, header);
  struct iovec parts[2] = {wmbt_sent_bytes(header, sizeof header), wmbt_sent_bytes(body->bytes, body->length)};
  return send_parts(connection, parts, body->length == 0 ? 1 : 2, NULL, deadline_ms, failure);
}

bool wmbt_connection_send_payload(struct wmbt_connection *connection, uint32_t id, uint32_t index,
                                  const struct iovec *payload, int64_t deadline_ms, struct wmbt_failure *failure) {
  const uint8_t *bytes = payload->iov_base;
  const size_t length = payload->iov_len;
  const uint32_t crc = length == 0 ? 0 : wmbt_crc32c_append(0, bytes, length);
  const struct wmbt_payload_notice notice = {.index = index, .length = (uint32_t)length, .crc = crc};
  uint8_t first[wmbt_frame_header_bytes + wmbt_payload_notice_bytes];
  wmbt_encode_payload_notice(first + wmbt_frame_header_bytes, &notice);
  wmbt_frame_encode_message(wmbt_frame_payload, id, first + wmbt_frame_header_bytes, wmbt_payload_notice_bytes, first);
  size_t most = connection->welcome.data_bytes_max;
  if (most > WMBT_PIECE_BYTES_MAX) most = WMBT_PIECE_BYTES_MAX;
  size_t at = 0;
  do {
    const size_t piece = length - at < most ? length - at : most;
    const struct wmbt_frame_header header = {wmbt_frame_data, id, (uint32_t)piece, 0};
    uint8_t second[wmbt_frame_header_bytes];
    wmbt_frame_encode_header(&header, second);
    struct iovec parts[3];
    size_t count = 0;
    if (at == 0) parts[count++] = wmbt_sent_bytes(first, sizeof first);
    if (piece > 0) parts[count++] = wmbt_sent_bytes(second, sizeof second);
    if (piece > 0) parts[count++] = wmbt_sent_bytes(bytes + at, piece);
    if (!send_parts(connection, parts, count, NULL, deadline_ms, failure)) return false;
    at += piece;
  } while (at < length);
  return true;
}

/* Reads what is there into the memory, at least one byte. */
static bool read_some(struct wmbt_connection *connection, uint8_t *into, size_t size, size_t *count,
                      int64_t deadline_ms, struct wmbt_failure *failure) {
  for (;;) {
    const ssize_t got = recv(connection->fd, into, size, 0);
    if (got > 0) {
      *count = (size_t)got;
      connection->heard_ms = wmbt_now_ms();
      if (wmbt_cancel_is_set()) return wmbt_cancel_fail(failure);
      /* A peer that sends byte by byte ends with the deadline too. */
      return connection->heard_ms < deadline_ms ? true : fail_expired(failure);
    }
    if (got == 0) return wmbt_fail(failure, wmbt_lost, "the daemon closed the connection");
    if (!may_repeat(connection->fd, POLLIN, deadline_ms, failure)) return false;
  }
}

bool wmbt_connection_fill(struct wmbt_connection *connection, size_t needed, int64_t deadline_ms,
                          struct wmbt_failure *failure) {
  if (connection->start == connection->end) connection->start = connection->end = 0;
  if (connection->start + needed > sizeof connection->buffer) {
    (void)memmove(connection->buffer, connection->buffer + connection->start, connection->end - connection->start);
    connection->end -= connection->start;
    connection->start = 0;
  }
  while (connection->end - connection->start < needed) {
    size_t count = 0;
    const size_t room = sizeof connection->buffer - connection->end;
    const bool is_read =
        read_some(connection, connection->buffer + connection->end, room, &count, deadline_ms, failure);
    connection->end += count;
    if (!is_read) return false;
  }
  return true;
}

/* The next frame of the connection. It is used up only when it is whole, so that a later call can go on. */
static bool next_frame(struct wmbt_connection *connection, int64_t deadline_ms, struct wmbt_frame *frame,
                       struct wmbt_failure *failure) {
  if (!wmbt_connection_fill(connection, wmbt_frame_header_bytes, deadline_ms, failure)) return false;
  struct wmbt_frame_header header;
  if (!wmbt_frame_decode_header(connection->buffer + connection->start, &header, failure)) return false;
  const bool is_data = header.type == wmbt_frame_data;
  const uint32_t most = is_data ? WMBT_PIECE_BYTES_MAX : WMBT_READ_BYTES - wmbt_frame_header_bytes;
  if (header.length > most) {
    return wmbt_fail(failure, wmbt_lost, "a frame of type %u claims %u bytes; at most %u are accepted", header.type,
                     (unsigned)header.length, (unsigned)most);
  }
  *frame = (struct wmbt_frame){.type = header.type, .id = header.id, .length = header.length};
  if (is_data) {
    connection->start += wmbt_frame_header_bytes;
    return true;
  }
  const size_t whole = wmbt_frame_header_bytes + (size_t)header.length;
  if (!wmbt_connection_fill(connection, whole, deadline_ms, failure)) return false;
  const uint8_t *body = connection->buffer + connection->start + wmbt_frame_header_bytes;
  if (header.crc_of_body != (header.length == 0 ? 0 : wmbt_crc32c_append(0, body, header.length))) {
    return wmbt_fail(failure, wmbt_lost, "the checksum of a message of type %u does not hold", header.type);
  }
  frame->body = (struct wmbt_reader){.bytes = body, .length = header.length};
  connection->start += whole;
  return true;
}

bool wmbt_connection_receive(struct wmbt_connection *connection, uint32_t id, int64_t deadline_ms,
                             struct wmbt_frame *frame, struct wmbt_failure *failure) {
  if (!next_frame(connection, deadline_ms, frame, failure)) return false;
  if (frame->type == wmbt_frame_error && (frame->id == id || frame->id == 0)) {
    wmbt_decode_error(frame->body, failure);
    /* That of the connection ends it, whatever its code. */
    if (frame->id == 0 && id != 0) failure->kind = wmbt_lost;
    return false;
  }
  if (frame->id == id) return true;
  return wmbt_fail(failure, wmbt_lost, "the daemon sent a frame of type %u for call %u, which there is not",
                   frame->type, (unsigned)frame->id);
}

/* Moves what was read ahead to its place. */
static void take_ahead(struct wmbt_connection *connection, uint8_t *into, size_t length, uint32_t *crc) {
  if (length == 0) return;
  (void)memcpy(into, connection->buffer + connection->start, length);
  connection->start += length;
  if (crc != NULL) *crc = wmbt_crc32c_append(*crc, into, length);
}

bool wmbt_connection_receive_data(struct wmbt_connection *connection, uint8_t *into, size_t length, uint32_t *crc,
                                  int64_t deadline_ms, struct wmbt_failure *failure) {
  const size_t waiting = connection->end - connection->start;
  size_t filled = waiting < length ? waiting : length;
  take_ahead(connection, into, filled, crc);
  while (filled < length) {
    const size_t rest = length - filled;
    if (rest < WMBT_READ_BYTES / 2) {
      /* The next header comes along with the end of the piece. */
      if (!wmbt_connection_fill(connection, rest, deadline_ms, failure)) return false;
      take_ahead(connection, into + filled, rest, crc);
      return true;
    }
    size_t count = 0;
    const size_t most = crc != NULL && rest > WMBT_SLICE_BYTES ? WMBT_SLICE_BYTES : rest;
    if (!read_some(connection, into + filled, most, &count, deadline_ms, failure)) return false;
    if (crc != NULL) *crc = wmbt_crc32c_append(*crc, into + filled, count);
    filled += count;
  }
  return true;
}
