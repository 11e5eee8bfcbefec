#include "messages.h"

#include <string.h>

#include "bounds.h"
#include "text.h"

enum {
  protocol_version = 1,
  durable_flag = 1,
  accepted_flag = 2,
  fingerprint_flag = 4,
  parent_flag = 8,
  unasked_flag = 16,
  whole_flag = 32,
  filling_flag = 64,
  reasons_max = 9,
  tiers_max = 2,
  exact_wish = 1,
  fingerprint_wish = 2,
  borrowing_wish = 8,
  decoded_flag = 1,
  /* Payloads of a save may be put into memory that the daemon lends. */
  feature_lending = 1,
  /* A save that says nothing of it is answered when it is accepted. */
  feature_accepting = 2,
  /* Saves may be left in a ring. */
  feature_ringing = 4,
  /* Of payloads that lie in shared memory no more may come than that they do. */
  feature_borrowing = 16,
  /* The same of tails. */
  feature_borrowing_tails = 32,
  known_features = feature_lending | feature_accepting | feature_ringing | feature_borrowing | feature_borrowing_tails,
  /* Of one place in `lent`. */
  place_bytes = 16,
};

void wmbt_encode_hello(struct wmbt_writer *writer, const struct wmbt_hello *hello) {
  wmbt_write_u16(writer, protocol_version);
  wmbt_write_u16(writer, protocol_version);
  wmbt_write_u32(writer, known_features);
  wmbt_write_bytes(writer, hello->client_id, sizeof hello->client_id);
  wmbt_write_text(writer, hello->token);
  wmbt_write_text(writer, hello->agent);
}

static void write_head(struct wmbt_writer *writer, const struct wmbt_head *head) {
  wmbt_write_text(writer, head->ns);
  wmbt_write_u32(writer, head->left_ms);
}

static void write_keys(struct wmbt_writer *writer, const struct wmbt_keys *keys) {
  wmbt_write_u32(writer, (uint32_t)keys->count);
  wmbt_write_bytes(writer, keys->keys, keys->count * sizeof *keys->keys);
}

void wmbt_encode_head(struct wmbt_writer *writer, const struct wmbt_head *head) { write_head(writer, head); }

void wmbt_encode_keys(struct wmbt_writer *writer, const struct wmbt_head *head, const struct wmbt_keys *keys) {
  write_head(writer, head);
  write_keys(writer, keys);
}

static void write_key(struct wmbt_writer *writer, const struct wmbt_key *key) {
  if (key != NULL) wmbt_write_bytes(writer, key->bytes, sizeof key->bytes);
}

/* What is wanted of payloads. */
static void write_wish(struct wmbt_writer *writer, const struct wmbt_terms *terms, bool may_borrow) {
  const unsigned wish = (terms->is_exact ? exact_wish : 0) | (terms->fingerprint != NULL ? fingerprint_wish : 0);
  wmbt_write_u8(writer, (uint8_t)(wish | (may_borrow ? borrowing_wish : 0)));
  write_key(writer, terms->fingerprint);
}

void wmbt_encode_load(struct wmbt_writer *writer, const struct wmbt_head *head, const struct wmbt_keys *keys,
                      bool may_borrow) {
  write_head(writer, head);
  write_wish(writer, keys->terms, may_borrow);
  write_keys(writer, keys);
}

static void write_tokens(struct wmbt_writer *writer, const struct wmbt_terms *terms) {
  wmbt_write_u32(writer, (uint32_t)terms->token_count);
  wmbt_write_i32s(writer, terms->tokens, terms->token_count);
}

void wmbt_encode_load_tail(struct wmbt_writer *writer, const struct wmbt_head *head, const struct wmbt_keys *tip,
                           bool may_borrow) {
  write_head(writer, head);
  write_wish(writer, tip->terms, may_borrow);
  wmbt_write_bytes(writer, tip->keys[0].bytes, sizeof tip->keys[0].bytes);
  write_tokens(writer, tip->terms);
}

void wmbt_encode_load_raw_tail(struct wmbt_writer *writer, const struct wmbt_head *head, const struct wmbt_key *tip) {
  write_head(writer, head);
  wmbt_write_bytes(writer, tip->bytes, sizeof tip->bytes);
}

static void write_save_head(struct wmbt_writer *writer, const struct wmbt_head *head,
                            const struct wmbt_save_options *options) {
  unsigned flags = 0;
  if (options->durability == wmbt_when_durable) flags |= durable_flag;
  if (options->durability == wmbt_when_accepted) flags |= accepted_flag;
  if (options->fingerprint != NULL) flags |= fingerprint_flag;
  if (options->parent != NULL) flags |= parent_flag;
  if (options->is_unasked) flags |= unasked_flag;
  if (options->is_whole) flags |= whole_flag;
  if (options->is_filling) flags |= filling_flag;
  write_head(writer, head);
  wmbt_write_u8(writer, (uint8_t)flags);
  write_key(writer, options->fingerprint);
  write_key(writer, options->parent);
}

/* What is known of a payload, or that nothing is. */
static const struct wmbt_announced *announced_of(const struct wmbt_terms *terms, size_t index) {
  static const struct wmbt_announced unknown = {0, WMBT_POSITION_UNKNOWN, false};
  return terms->announced == NULL ? &unknown : &terms->announced[index];
}

void wmbt_encode_save(struct wmbt_writer *writer, const struct wmbt_head *head, const struct wmbt_save_options *options,
                      const struct wmbt_keys *keys, const size_t *lengths) {
  write_save_head(writer, head, options);
  wmbt_write_u32(writer, (uint32_t)keys->count);
  for (size_t i = 0; i < keys->count; i += 1) {
    const struct wmbt_announced *known = announced_of(keys->terms, i);
    wmbt_write_bytes(writer, keys->keys[i].bytes, sizeof keys->keys[i].bytes);
    wmbt_write_u32(writer, (uint32_t)lengths[i]);
    wmbt_write_u32(writer, known->tokens);
    wmbt_write_u32(writer, known->position);
    wmbt_write_u8(writer, known->has_decoded_tokens ? decoded_flag : 0);
  }
}

void wmbt_encode_save_tail(struct wmbt_writer *writer, const struct wmbt_head *head,
                           const struct wmbt_save_options *options, const struct wmbt_keys *tip, size_t length) {
  const struct wmbt_announced *known = announced_of(tip->terms, 0);
  write_save_head(writer, head, options);
  write_key(writer, tip->keys);
  wmbt_write_u32(writer, (uint32_t)length);
  wmbt_write_u32(writer, known->position);
  wmbt_write_u8(writer, known->has_decoded_tokens ? decoded_flag : 0);
  write_tokens(writer, tip->terms);
}

void wmbt_encode_save_raw_tail(struct wmbt_writer *writer, const struct wmbt_head *head,
                               const struct wmbt_save_options *options, const struct wmbt_key *tip, size_t length) {
  write_save_head(writer, head, options);
  wmbt_write_bytes(writer, tip->bytes, sizeof tip->bytes);
  wmbt_write_u32(writer, (uint32_t)length);
}

void wmbt_encode_delete(struct wmbt_writer *writer, const struct wmbt_head *head, enum wmbt_selection selection,
                        const struct wmbt_keys *keys) {
  write_head(writer, head);
  wmbt_write_u8(writer, (uint8_t)selection);
  if (selection == wmbt_select_blocks) write_keys(writer, keys);
  if (selection == wmbt_select_subtree) write_key(writer, keys->keys);
}

void wmbt_encode_payload_notice(uint8_t bytes[wmbt_payload_notice_bytes], const struct wmbt_payload_notice *notice) {
  (void)memset(bytes, 0, wmbt_payload_notice_bytes);
  wmbt_put_u32(bytes, notice->index);
  wmbt_put_u32(bytes + 4, notice->length);
  wmbt_put_u32(bytes + 8, notice->crc);
}

void wmbt_encode_filled(struct wmbt_writer *writer, const uint32_t *crcs, size_t count) {
  wmbt_write_u32(writer, (uint32_t)count);
  for (size_t i = 0; i < count; i += 1) wmbt_write_u32(writer, crcs[i]);
}

/* The end of every decoder. */
static bool is_whole(const char *name, const struct wmbt_reader *body, bool is_sound, struct wmbt_failure *failure) {
  if (is_sound && wmbt_reader_is_at_end(body)) return true;
  return wmbt_fail(failure, wmbt_lost, "message %s of %zu bytes is not what it should be", name, body->length);
}

static const uint8_t *read_text(struct wmbt_reader *body, size_t *length) {
  *length = wmbt_read_u16(body);
  const uint8_t *text = wmbt_read_bytes(body, *length);
  return text != NULL && wmbt_is_utf8((const char *)text, *length) ? text : NULL;
}

bool wmbt_decode_welcome(struct wmbt_reader body, struct wmbt_welcome *welcome, struct wmbt_failure *failure) {
  const uint16_t version = wmbt_read_u16(&body);
  const uint32_t features = wmbt_read_u32(&body);
  welcome->body_bytes_max = wmbt_read_u32(&body);
  welcome->data_bytes_max = wmbt_read_u32(&body);
  welcome->eager_bytes_max = wmbt_read_u32(&body);
  (void)wmbt_read_u32(&body); /* Calls at a time: this library makes one on each connection. */
  (void)wmbt_read_u32(&body); /* Connections: as many as it opens are let in. */
  size_t length;
  const bool has_agent = read_text(&body, &length) != NULL;
  if (!body.is_short && version != protocol_version) {
    return wmbt_fail(failure, wmbt_incompatible, "the daemon chose version %u of the protocol; this library speaks %u",
                     version, protocol_version);
  }
  /* A newer daemon may say more, which is not read. */
  const struct wmbt_reader read = {body.bytes, body.at, body.at, body.is_short};
  welcome->may_fill = (features & feature_lending) != 0;
  welcome->is_accepting = (features & feature_accepting) != 0;
  welcome->may_ring = (features & feature_ringing) != 0;
  welcome->may_borrow = (features & feature_borrowing) != 0;
  welcome->may_borrow_tails = (features & feature_borrowing_tails) != 0;
  const bool are_known = (features & ~(uint32_t)known_features) == 0;
  return is_whole("welcome", &read, has_agent && are_known && welcome->data_bytes_max > 0, failure);
}

bool wmbt_decode_loaded(const char *name, struct wmbt_reader body, struct wmbt_loaded *loaded,
                        struct wmbt_failure *failure) {
  loaded->count = wmbt_read_u32(&body);
  const uint8_t reason = wmbt_read_u8(&body);
  loaded->miss = (enum wmbt_miss)reason;
  return is_whole(name, &body, reason <= reasons_max, failure);
}

bool wmbt_decode_present(struct wmbt_reader body, size_t count, uint8_t *present, struct wmbt_failure *failure) {
  const bool is_right = wmbt_read_u32(&body) == count;
  const uint8_t *bits = is_right ? wmbt_read_bytes(&body, (count + 7) / 8) : NULL;
  if (!is_whole("present", &body, bits != NULL, failure)) return false;
  for (size_t i = 0; i < count; i += 1) present[i] = (bits[i >> 3] >> (i & 7)) & 1;
  return true;
}

bool wmbt_decode_payload_notice(struct wmbt_reader body, struct wmbt_payload_notice *notice,
                                struct wmbt_failure *failure) {
  notice->index = wmbt_read_u32(&body);
  notice->length = wmbt_read_u32(&body);
  notice->crc = wmbt_read_u32(&body);
  notice->tokens = wmbt_read_u32(&body);
  const uint8_t flags = wmbt_read_u8(&body);
  notice->has_decoded_tokens = flags == decoded_flag;
  notice->tier = wmbt_read_u8(&body);
  const bool is_sound =
      flags <= decoded_flag && notice->tier <= tiers_max && notice->length <= WMBT_PAYLOAD_BYTES_MAX;
  return is_whole("payload", &body, is_sound, failure);
}

bool wmbt_decode_resident(struct wmbt_reader body, struct wmbt_resident *resident, struct wmbt_failure *failure) {
  resident->count = wmbt_read_u32(&body);
  const bool fits = resident->count > 0 && resident->count <= WMBT_KEYS_PER_CALL_MAX;
  resident->tiers = fits ? wmbt_read_bytes(&body, resident->count) : NULL;
  bool is_sound = resident->tiers != NULL;
  for (uint32_t i = 0; is_sound && i < resident->count; i += 1) is_sound = resident->tiers[i] <= tiers_max;
  return is_whole("resident", &body, is_sound, failure);
}

bool wmbt_decode_resident_tail(struct wmbt_reader body, struct wmbt_resident_tail *resident,
                               struct wmbt_failure *failure) {
  resident->tokens = wmbt_read_u32(&body);
  resident->tier = wmbt_read_u8(&body);
  return is_whole("resident-tail", &body, resident->tier <= tiers_max, failure);
}

bool wmbt_decode_wanted(struct wmbt_reader body, struct wmbt_wanted *wanted, struct wmbt_failure *failure) {
  wanted->granted = wmbt_read_u64(&body);
  wanted->count = wmbt_read_u32(&body);
  const bool fits = wanted->count <= WMBT_KEYS_PER_CALL_MAX;
  wanted->bits = fits ? wmbt_read_bytes(&body, (wanted->count + 7) / 8) : NULL;
  return is_whole("wanted", &body, wanted->bits != NULL, failure);
}

bool wmbt_decode_lent(struct wmbt_reader body, struct wmbt_places *places, struct wmbt_failure *failure) {
  places->count = wmbt_read_u32(&body);
  const bool fits = places->count > 0 && places->count <= WMBT_KEYS_PER_CALL_MAX;
  places->bytes = fits ? wmbt_read_bytes(&body, (size_t)places->count * place_bytes) : NULL;
  return is_whole("lent", &body, places->bytes != NULL, failure);
}

struct wmbt_lent wmbt_place_at(const struct wmbt_places *places, uint32_t index) {
  const uint8_t *place = places->bytes + (size_t)index * place_bytes;
  return (struct wmbt_lent){.segment = wmbt_u32_at(place),
                            .offset = wmbt_u32_at(place + 4),
                            .salt = wmbt_u32_at(place + 8),
                            .number = wmbt_u32_at(place + 12)};
}

bool wmbt_decode_number(const char *name, struct wmbt_reader body, uint64_t *number, struct wmbt_failure *failure) {
  *number = wmbt_read_u64(&body);
  return is_whole(name, &body, true, failure);
}

bool wmbt_decode_ring(struct wmbt_reader body, uint32_t *number, uint32_t *bytes, struct wmbt_failure *failure) {
  *number = wmbt_read_u32(&body);
  *bytes = wmbt_read_u32(&body);
  return is_whole("ring", &body, true, failure);
}

bool wmbt_decode_saved(struct wmbt_reader body, struct wmbt_saved *saved, struct wmbt_failure *failure) {
  saved->saved = wmbt_read_u32(&body);
  saved->known = wmbt_read_u32(&body);
  saved->saved_bytes = wmbt_read_u64(&body);
  return is_whole("saved", &body, true, failure);
}

bool wmbt_decode_nothing(const char *name, struct wmbt_reader body, struct wmbt_failure *failure) {
  return is_whole(name, &body, true, failure);
}

void wmbt_decode_error(struct wmbt_reader body, struct wmbt_failure *failure) {
  const uint8_t code = wmbt_read_u8(&body);
  size_t length;
  const uint8_t *text = read_text(&body, &length);
  if (text == NULL || code >= wmbt_wire_codes || !wmbt_reader_is_at_end(&body)) {
    (void)is_whole("error", &body, false, failure);
    return;
  }
  const enum wmbt_failure_kind kind = (enum wmbt_failure_kind)code;
  /* No NUL in the middle may end it early. */
  const bool has_nul = memchr(text, 0, length) != NULL;
  if (has_nul) {
    (void)wmbt_fail(failure, kind, "%s: error message contained interior NUL byte", wmbt_failure_word(kind));
  } else {
    (void)wmbt_fail(failure, kind, "%s: %.*s", wmbt_failure_word(kind), (int)length, (const char *)text);
  }
}
