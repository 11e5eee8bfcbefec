/* Bodies of the messages that a client sends and is sent, as docs/PROTOCOL.md draws them. */
#ifndef WMBT_MESSAGES_H
#define WMBT_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

#include "../shared/shared-lent.h"
#include "bytes.h"
#include "failure.h"
#include "mode.h"

struct wmbt_http_origin;

enum { wmbt_client_id_bytes = 16, wmbt_payload_notice_bytes = 18 };

struct wmbt_hello {
  uint8_t client_id[wmbt_client_id_bytes];
  /* Empty: none. */
  const char *token;
  /* Name and version of the program, for people. */
  const char *agent;
  /* What requests of HTTP say instead (http-exchange.h); NULL where frames are spoken. */
  const struct wmbt_http_origin *origin;
};

/* What the daemon allows. */
struct wmbt_welcome {
  uint32_t body_bytes_max, data_bytes_max, eager_bytes_max;
  /* It lends memory for payloads of saves, where it has any, to who fills it by itself. */
  bool may_fill;
  /* A save that says nothing of it is answered when it is accepted, and not when it is durable. */
  bool is_accepting;
  /* Saves may be left in a ring. */
  bool may_ring;
  /* Of payloads that lie in its shared memory it may say so instead of sending them. */
  bool may_borrow;
  /* The same of tails. */
  bool may_borrow_tails;
};

/* A payload that comes next, in pieces. */
struct wmbt_payload_notice {
  uint32_t index, length, crc, tokens;
  bool has_decoded_tokens;
  /* 0 memory, 1 disk, 2 object. */
  uint8_t tier;
};

/* Which payloads of a save are to follow; `bits` lie in the body. */
struct wmbt_wanted {
  uint64_t granted;
  uint32_t count;
  const uint8_t *bits;
};

/* Where the next payloads of a save are to be put; they lie in the body. */
struct wmbt_places {
  uint32_t count;
  const uint8_t *bytes;
};

/* The head of a call: namespace, and the milliseconds that it may still take. */
struct wmbt_head {
  const char *ns;
  uint32_t left_ms;
};

/* The next payloads of a load lie in memory that is shared; where they came from, one byte each in the body. */
struct wmbt_resident {
  uint32_t count;
  const uint8_t *tiers;
};

/* A tail lies in memory that is shared: of so many of the tokens that were asked with, and from which tier. */
struct wmbt_resident_tail {
  uint32_t tokens;
  uint8_t tier;
};

/* Of a load: how many payloads came, and why no more. */
struct wmbt_loaded {
  uint32_t count;
  enum wmbt_miss miss;
};

/* How a save is to be done. */
struct wmbt_save_options {
  enum wmbt_durability durability;
  /* The payloads follow at once. */
  bool is_unasked;
  /* The daemon is to want every payload. */
  bool is_whole;
  /* The daemon may lend memory for the payloads instead of granting their bytes. */
  bool is_filling;
  /* The model, and the key before the first one; NULL: none. */
  const struct wmbt_key *fingerprint, *parent;
};

void wmbt_encode_hello(struct wmbt_writer *writer, const struct wmbt_hello *hello);
/* `flush` and `stats`. */
void wmbt_encode_head(struct wmbt_writer *writer, const struct wmbt_head *head);
/* `lookup`, `contains` and `prefetch`. */
void wmbt_encode_keys(struct wmbt_writer *writer, const struct wmbt_head *head, const struct wmbt_keys *keys);
/* With `may_borrow` the daemon may answer with `resident`. */
void wmbt_encode_load(struct wmbt_writer *writer, const struct wmbt_head *head, const struct wmbt_keys *keys,
                      bool may_borrow);
/* The tokens are those of the terms. With `may_borrow` the daemon may answer with `resident-tail`. */
void wmbt_encode_load_tail(struct wmbt_writer *writer, const struct wmbt_head *head, const struct wmbt_keys *tip,
                           bool may_borrow);
/* `load-raw-tail`, and `borrow-raw-tail`, which the daemon may answer so. */
void wmbt_encode_load_raw_tail(struct wmbt_writer *writer, const struct wmbt_head *head, const struct wmbt_key *tip);
void wmbt_encode_save(struct wmbt_writer *writer, const struct wmbt_head *head, const struct wmbt_save_options *options,
                      const struct wmbt_keys *keys, const size_t *lengths);
void wmbt_encode_save_tail(struct wmbt_writer *writer, const struct wmbt_head *head,
                           const struct wmbt_save_options *options, const struct wmbt_keys *tip, size_t length);
void wmbt_encode_save_raw_tail(struct wmbt_writer *writer, const struct wmbt_head *head,
                               const struct wmbt_save_options *options, const struct wmbt_key *tip, size_t length);
void wmbt_encode_delete(struct wmbt_writer *writer, const struct wmbt_head *head, enum wmbt_selection selection,
                        const struct wmbt_keys *keys);
/* One checksum for each place of a `lent`. */
void wmbt_encode_filled(struct wmbt_writer *writer, const uint32_t *crcs, size_t count);
void wmbt_encode_payload_notice(uint8_t bytes[wmbt_payload_notice_bytes], const struct wmbt_payload_notice *notice);

/* Each is false, with a failure `wmbt_lost`, for a body that is not what it should be. */
bool wmbt_decode_welcome(struct wmbt_reader body, struct wmbt_welcome *welcome, struct wmbt_failure *failure);
/* `looked-up` and `loaded`; `name` is for people. */
bool wmbt_decode_loaded(const char *name, struct wmbt_reader body, struct wmbt_loaded *loaded,
                        struct wmbt_failure *failure);
/* One byte for each of the keys. */
bool wmbt_decode_present(struct wmbt_reader body, size_t count, uint8_t *present, struct wmbt_failure *failure);
bool wmbt_decode_payload_notice(struct wmbt_reader body, struct wmbt_payload_notice *notice,
                                struct wmbt_failure *failure);
/* At least one payload. */
bool wmbt_decode_resident(struct wmbt_reader body, struct wmbt_resident *resident, struct wmbt_failure *failure);
bool wmbt_decode_resident_tail(struct wmbt_reader body, struct wmbt_resident_tail *resident,
                               struct wmbt_failure *failure);
bool wmbt_decode_wanted(struct wmbt_reader body, struct wmbt_wanted *wanted, struct wmbt_failure *failure);
/* At least one place. */
bool wmbt_decode_lent(struct wmbt_reader body, struct wmbt_places *places, struct wmbt_failure *failure);
struct wmbt_lent wmbt_place_at(const struct wmbt_places *places, uint32_t index);
/* `grant`, `prefetched` and `deleted`: one number. */
bool wmbt_decode_number(const char *name, struct wmbt_reader body, uint64_t *number, struct wmbt_failure *failure);
bool wmbt_decode_saved(struct wmbt_reader body, struct wmbt_saved *saved, struct wmbt_failure *failure);
/* The number of the ring's file, 0 when there is none, and its bytes. */
bool wmbt_decode_ring(struct wmbt_reader body, uint32_t *number, uint32_t *bytes, struct wmbt_failure *failure);
/* `flushed`. */
bool wmbt_decode_nothing(const char *name, struct wmbt_reader body, struct wmbt_failure *failure);

/* Fills the failure in from the body of `error`: what the daemon says, or that it says nothing readable. */
void wmbt_decode_error(struct wmbt_reader body, struct wmbt_failure *failure);

#endif
