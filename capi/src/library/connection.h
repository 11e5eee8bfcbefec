/*
 * One connection to a daemon. It belongs to one thread at a time. Nothing blocks beyond its deadline, no signal is
 * raised, and the descriptor is closed on exec.
 */
#ifndef WMBT_CONNECTION_H
#define WMBT_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "address.h"
#include "bounds.h"
#include "bytes.h"
#include "descriptor.h"
#include "failure.h"
#include "frame.h"
#include "messages.h"

struct wmbt_connection {
  /* Of its owner, under its lock: the next one, and whether nobody uses it, or a call with payloads does. */
  struct wmbt_connection *next;
  bool is_idle, is_bulk;
  /* Neither idle nor in use: the answer to a call is owed that nobody waits for. */
  bool is_owing;
  uint32_t owed_id;
  int64_t owed_until_ms;
  /* -1: none. */
  int fd;
  /* The same, as it was made: an idle one may have been closed by the engine, and its number be in use for another. */
  struct wmbt_descriptor made;
  struct wmbt_target target;
  size_t addresses_tried;
  bool is_reached, has_sent_hello;
  int64_t began_ms;
  /* When the next address is tried, if this one is silent and there is another. */
  int64_t turn_ends_ms;
  /* When bytes came last. */
  int64_t heard_ms;
  uint32_t next_id;
  /* The other end closes it, or does not know any more where a call begins: nothing follows the call under way. */
  bool is_last;
  struct wmbt_welcome welcome;
  /* What was read and not yet used: bytes `start` to `end` of the buffer. */
  size_t start, end;
  uint8_t buffer[WMBT_READ_BYTES];
};

/* A frame that came. */
struct wmbt_frame {
  uint8_t type;
  uint32_t id, length;
  /* The body of a message, until the next frame is read; of `data` the body is still to be read. */
  struct wmbt_reader body;
};

/* Begins nothing yet; NULL without memory. */
struct wmbt_connection *wmbt_connection_new(const struct wmbt_target *target);

/* Closes and frees it. */
void wmbt_connection_free(struct wmbt_connection *connection);

/*
 * The two steps that make it stand: somebody listens, and lets us in. With a failure `wmbt_expired` it may be
 * called again later and goes on where it was; `wmbt_unavailable` says that nobody listens, `wmbt_lost` that the
 * connection ended, and any other code is the daemon's refusal.
 */
bool wmbt_connection_reach(struct wmbt_connection *connection, int64_t deadline_ms, struct wmbt_failure *failure);
bool wmbt_connection_greet(struct wmbt_connection *connection, const struct wmbt_hello *hello, int64_t deadline_ms,
                           struct wmbt_failure *failure);

/* False for an idle connection that the daemon has closed, or on which it speaks unasked. */
bool wmbt_connection_is_quiet(const struct wmbt_connection *connection);

/* Failures of those below are `wmbt_lost` or `wmbt_expired`, unless they say otherwise. */

bool wmbt_connection_send_message(struct wmbt_connection *connection, enum wmbt_frame_type type, uint32_t id,
                                  const struct wmbt_writer *body, int64_t deadline_ms, struct wmbt_failure *failure);

/* Sends a payload of a save, in pieces; its checksum is computed here. */
bool wmbt_connection_send_payload(struct wmbt_connection *connection, uint32_t id, uint32_t index,
                                  const struct iovec *payload, int64_t deadline_ms, struct wmbt_failure *failure);

/* The next frame of the call. An `error` for it is a failure with the daemon's code. */
bool wmbt_connection_receive(struct wmbt_connection *connection, uint32_t id, int64_t deadline_ms,
                             struct wmbt_frame *frame, struct wmbt_failure *failure);

/* Bytes that come next: the body of `data`, or part of it. With `crc` they go on with that CRC32C. */
bool wmbt_connection_receive_data(struct wmbt_connection *connection, uint8_t *into, size_t length, uint32_t *crc,
                                  int64_t deadline_ms, struct wmbt_failure *failure);

/* Makes at least so many bytes lie in the buffer, of which there are never more than it holds. */
bool wmbt_connection_fill(struct wmbt_connection *connection, size_t needed, int64_t deadline_ms,
                          struct wmbt_failure *failure);

/* Bytes that are only sent, in the form that the system's calls have for them. */
struct iovec wmbt_sent_bytes(const void *bytes, size_t length);

/*
 * Sends all parts, which are used up; stops as soon as the other end speaks, or has closed its ears, which it says
 * before: `is_answered` is set then.
 */
bool wmbt_connection_send(struct wmbt_connection *connection, struct iovec *parts, size_t count, bool *is_answered,
                          int64_t deadline_ms, struct wmbt_failure *failure);

/* True when something is there to be received, without waiting. */
bool wmbt_connection_has_news(const struct wmbt_connection *connection);

#endif
