/*
 * Requests and answers of HTTP/1.1 on one connection, one after another. Failures are `wmbt_lost` or `wmbt_expired`,
 * unless they say otherwise. A connection on which no other request may follow says so in `is_last`.
 */
#ifndef WMBT_HTTP_EXCHANGE_H
#define WMBT_HTTP_EXCHANGE_H

#include "connection.h"
#include "http-head.h"

/* What stands in every request of a handle. */
struct wmbt_http_origin {
  /* Host and port, as in `Host`. */
  char authority[wmbt_host_max + 16];
  /* Empty: none. */
  const char *token;
};

struct wmbt_http_request {
  /* Of a namespace: `lookup`, `save`. NULL: `path` is asked, method included, as in `GET /healthz`. */
  const char *operation, *ns, *path;
  /* The type of the body; NULL: there is none. */
  const char *type;
  /* What the call may still take. */
  uint32_t left_ms;
  /* Bytes of the whole body, and what it begins with. */
  uint64_t body_bytes;
  const struct wmbt_writer *body;
};

/* The answer, whose body is read from the connection. */
struct wmbt_http_answer {
  struct wmbt_connection *connection;
  struct wmbt_http_head head;
  /* Bytes of the body, or of the chunk, that are still to come. */
  uint64_t left;
  /* Of a body in chunks: the first one has begun; the last one has ended. */
  bool has_begun, has_ended;
};

/*
 * Sends the head and the beginning of the body. When the other side answers before it has all of it, the rest is not
 * sent: `is_answered` is set, and nothing follows on the connection.
 */
bool wmbt_http_send(struct wmbt_connection *connection, const struct wmbt_http_origin *origin,
                    const struct wmbt_http_request *request, bool *is_answered, int64_t deadline_ms,
                    struct wmbt_failure *failure);

/* Sends a payload of a bulk body, and its checksum, which is computed here. */
bool wmbt_http_send_payload(struct wmbt_connection *connection, const struct iovec *payload, bool *is_answered,
                            int64_t deadline_ms, struct wmbt_failure *failure);

/* The head of the answer; informational ones before it are passed over. */
bool wmbt_http_receive(struct wmbt_connection *connection, struct wmbt_http_answer *answer, int64_t deadline_ms,
                       struct wmbt_failure *failure);

/* Exactly so many bytes of the body. */
bool wmbt_http_read(struct wmbt_http_answer *answer, uint8_t *into, size_t length, int64_t deadline_ms,
                    struct wmbt_failure *failure);

/* The same for a payload, whose bytes go on with its CRC32C. */
bool wmbt_http_read_summed(struct wmbt_http_answer *answer, uint8_t *into, size_t length, uint32_t *crc,
                           int64_t deadline_ms, struct wmbt_failure *failure);

/* That the body ends here. */
bool wmbt_http_read_end(struct wmbt_http_answer *answer, int64_t deadline_ms, struct wmbt_failure *failure);

/* All of a body that is text, to be freed by the caller; a NUL follows it. NULL with a failure. */
char *wmbt_http_read_text(struct wmbt_http_answer *answer, size_t *length, int64_t deadline_ms,
                          struct wmbt_failure *failure);

/* Reads the body of an answer that is no success, and fails with what it says. */
bool wmbt_http_refuse(struct wmbt_http_answer *answer, int64_t deadline_ms, struct wmbt_failure *failure);

/*
 * Asks for a sign of life, on a connection that was reached, as wmbt_connection_greet does for frames. `hello` holds
 * the origin.
 */
bool wmbt_http_greet(struct wmbt_connection *connection, const struct wmbt_hello *hello, int64_t deadline_ms,
                     struct wmbt_failure *failure);

/*
 * Takes an answer that nobody reads, and that is short, as far as it has come: true when all of it was there, and
 * another request may follow. With a failure `wmbt_expired` it may be called again.
 */
bool wmbt_http_settle(struct wmbt_connection *connection, uint32_t id, int64_t deadline_ms,
                      struct wmbt_failure *failure);

#endif
