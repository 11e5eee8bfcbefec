/* The mode of a daemon over HTTP/1.1, in the clear. */
#ifndef WMBT_HTTP_H
#define WMBT_HTTP_H

#include "http-exchange.h"
#include "json.h"
#include "remote.h"
#include "settings.h"

struct wmbt_http {
  /* First, so that a pointer to one is a pointer to the other. */
  struct wmbt_remote remote;
  struct wmbt_http_origin origin;
};

/*
 * Owns the peer from now on, also when it fails: connects to what it was made for, and asks for nothing, which shows
 * whether the daemon takes the token. NULL with a failure.
 */
struct wmbt_mode *wmbt_http_open(struct wmbt_peer *peer, const struct wmbt_endpoint *endpoint,
                                 const struct wmbt_settings *settings, struct wmbt_failure *failure);

/* One JSON question, and where its answer goes. */
struct wmbt_http_question {
  const char *operation;
  struct wmbt_keys keys;
  /* Reads the answer; false with a failure when it is none. */
  bool (*read)(const struct wmbt_json *answer, struct wmbt_http_question *question, struct wmbt_failure *failure);
  void *result;
};

/* Asks on the connection. */
bool wmbt_http_ask(struct wmbt_call *call, struct wmbt_connection *connection, struct wmbt_http_question *question,
                   struct wmbt_failure *failure);

/* Reads the answer to a request that was sent. */
bool wmbt_http_read_answer(struct wmbt_call *call, struct wmbt_connection *connection,
                           struct wmbt_http_question *question, struct wmbt_failure *failure);

/* Sends a request of JSON about these keys, or about the first one as a tip; gives the head of its answer. */
bool wmbt_http_request_keys(struct wmbt_call *call, struct wmbt_connection *connection, const char *operation,
                            const struct wmbt_keys *keys, struct wmbt_http_answer *answer,
                            struct wmbt_failure *failure);

/* Fails: the daemon answers with something else. */
bool wmbt_http_unexpected(const char *operation, struct wmbt_failure *failure);

/* In files of their own (http-load.c, http-save.c). */
enum wmbt_outcome wmbt_http_load(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                                 struct wmbt_failure *failure);
enum wmbt_outcome wmbt_http_load_tail(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                                      struct wmbt_failure *failure);
bool wmbt_http_save(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *const *payloads,
                    const size_t *lens, struct wmbt_failure *failure);
bool wmbt_http_save_tail(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *bytes, size_t length,
                         struct wmbt_failure *failure);

#endif
