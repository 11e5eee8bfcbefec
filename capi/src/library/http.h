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

/* What the JSON of a request says. */
enum wmbt_http_form {
  wmbt_http_of_keys,
  /* Keys, or a tip with its tokens, and what payloads may be. */
  wmbt_http_of_load,
  wmbt_http_of_tail,
  wmbt_http_of_raw_tail,
  wmbt_http_of_delete,
  wmbt_http_of_nothing,
};

/* One question, and where its answer goes. */
struct wmbt_http_question {
  /* Of the namespace of the keys; NULL: `path` is asked, of which `is_plain` is a GET. */
  const char *operation, *path;
  bool is_plain;
  enum wmbt_http_form form;
  enum wmbt_selection selection;
  struct wmbt_keys keys;
  /* Of payloads that are to be saved, one for each key: the bucket is not asked for them. NULL: none are. */
  const size_t *lens;
  /* Reads an answer that is a JSON object; false with a failure when it is none. */
  bool (*read)(const struct wmbt_json *answer, const struct wmbt_http_question *question, struct wmbt_failure *failure);
  void *result;
};

/* Sends the question, and reads the head of what answers it. */
bool wmbt_http_put(struct wmbt_call *call, struct wmbt_connection *connection,
                   const struct wmbt_http_question *question, struct wmbt_http_answer *answer,
                   struct wmbt_failure *failure);

/* Reads an answer whose head was read, to its end: as the question says, or as a refusal. */
bool wmbt_http_read_answer(struct wmbt_http_answer *answer, const struct wmbt_http_question *question,
                           int64_t deadline_ms, struct wmbt_failure *failure);

/* Both; of a call that is left owing the first half of the first. */
bool wmbt_http_ask(struct wmbt_call *call, struct wmbt_connection *connection,
                   const struct wmbt_http_question *question, struct wmbt_failure *failure);

/* Fails: the daemon answers with something else. */
bool wmbt_http_unexpected(const struct wmbt_http_question *question, struct wmbt_failure *failure);

/* In http-form.c. */
void wmbt_http_write_form(struct wmbt_writer *writer, const struct wmbt_http_question *question);
/* The attributes of a bulk body of a save, with a NUL. */
void wmbt_http_write_attributes(struct wmbt_writer *writer, const struct wmbt_terms *terms,
                                enum wmbt_durability durability, const struct wmbt_key *parent);
/* The member of that name; false when there is none, or it is no number. */
bool wmbt_http_number(const struct wmbt_json *object, const char *name, uint64_t *number);
/* Why no more was had, as the member `reason` says; `wmbt_miss_none` when it says nothing. */
enum wmbt_miss wmbt_http_reason(const struct wmbt_json *object);

/* In files of their own (http-load.c, http-save.c, http-small.c). */
enum wmbt_outcome wmbt_http_load(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                                 struct wmbt_failure *failure);
enum wmbt_outcome wmbt_http_load_tail(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                                      struct wmbt_failure *failure);
bool wmbt_http_save(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *const *payloads,
                    const size_t *lens, struct wmbt_failure *failure);
bool wmbt_http_save_tail(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *bytes, size_t length,
                         struct wmbt_failure *failure);
bool wmbt_http_lookup(struct wmbt_mode *mode, const struct wmbt_keys *keys, size_t *matched,
                      struct wmbt_failure *failure);
bool wmbt_http_contains(struct wmbt_mode *mode, const struct wmbt_keys *keys, uint8_t *present,
                        struct wmbt_failure *failure);
bool wmbt_http_prefetch(struct wmbt_mode *mode, const struct wmbt_keys *keys, size_t *count, bool *is_begun,
                        struct wmbt_failure *failure);
bool wmbt_http_flush(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_failure *failure);
bool wmbt_http_delete(struct wmbt_mode *mode, const struct wmbt_keys *keys, enum wmbt_selection selection,
                      uint64_t *objects, struct wmbt_failure *failure);
bool wmbt_http_stats(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                     struct wmbt_failure *failure);

/* `stored` of an answer of `contains`: one byte for each key of the question, which is not 0 where it is stored. */
bool wmbt_http_read_stored(const struct wmbt_json *answer, const struct wmbt_http_question *question,
                           struct wmbt_failure *failure);

#endif
