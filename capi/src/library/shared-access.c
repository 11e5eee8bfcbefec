#include "shared-access.h"

#include <stdio.h>
#include <string.h>

#include "../chain.h"
#include "bounds.h"
#include "clock.h"
#include "shared-files.h"
#include "shared-fork.h"
#include "shared-lender.h"

/* A path that is too long becomes the empty one, where nothing is announced. */
static void name_announcement(char announcement[wmbt_directory_max], const char *socket_path) {
  const int written = snprintf(announcement, wmbt_directory_max, "%s.shm", socket_path);
  if (written < 0 || written >= wmbt_directory_max) announcement[0] = '\0';
}

void wmbt_access_init(struct wmbt_access *access, const char *socket_path) {
  *access = (struct wmbt_access){.looked_ms = INT64_MIN / 2};
  name_announcement(access->announcement, socket_path);
  wmbt_readers_lock();
  access->generation = wmbt_readers_generation();
  wmbt_readers_unlock();
}

/* Forgets what the parent of this process knew. The lock is held. */
static void follow_fork(struct wmbt_access *access) {
  if (access->generation == wmbt_readers_generation()) return;
  access->generation = wmbt_readers_generation();
  access->current = NULL;
  access->is_looking = false;
  access->looked_ms = INT64_MIN / 2;
}

void wmbt_access_move(struct wmbt_access *access, const char *socket_path) {
  char announcement[wmbt_directory_max];
  name_announcement(announcement, socket_path);
  struct wmbt_reader *dropped = NULL;
  wmbt_readers_lock();
  follow_fork(access);
  if (strcmp(access->announcement, announcement) != 0) {
    (void)memcpy(access->announcement, announcement, sizeof announcement);
    dropped = access->current;
    access->current = NULL;
    access->looked_ms = INT64_MIN / 2;
  }
  wmbt_readers_unlock();
  if (dropped != NULL) wmbt_reader_leave(dropped);
}

static struct wmbt_reader *look(const char *announcement) {
  char directory[wmbt_directory_max];
  if (!wmbt_shared_announced(announcement, directory, sizeof directory)) return NULL;
  return wmbt_reader_open(directory);
}

/* Looks for what is announced there; the caller has set `is_looking`. */
static struct wmbt_view *find_anew(struct wmbt_access *access, const char *announcement) {
  struct wmbt_reader *found = look(announcement);
  struct wmbt_view *view = NULL;
  wmbt_readers_lock();
  access->is_looking = false;
  const bool has_moved = strcmp(access->announcement, announcement) != 0;
  if (!has_moved) {
    access->looked_ms = wmbt_now_ms();
    access->current = found;
    if (found != NULL) view = wmbt_view_use(found);
  }
  wmbt_readers_unlock();
  if (has_moved && found != NULL) wmbt_reader_leave(found);
  return view;
}

struct wmbt_view *wmbt_access_use(struct wmbt_access *access) {
  wmbt_readers_lock();
  follow_fork(access);
  struct wmbt_reader *reader = access->current, *dropped = NULL;
  if (reader != NULL && !wmbt_reader_is_open(reader)) {
    dropped = reader;
    reader = access->current = NULL;
  }
  struct wmbt_view *view = reader == NULL ? NULL : wmbt_view_use(reader);
  const bool may_look =
      reader == NULL && !access->is_looking && wmbt_now_ms() - access->looked_ms >= WMBT_SHARED_AGAIN_MS;
  char announcement[wmbt_directory_max];
  if (may_look) {
    access->is_looking = true;
    (void)memcpy(announcement, access->announcement, sizeof announcement);
  }
  wmbt_readers_unlock();
  if (dropped != NULL) wmbt_reader_leave(dropped);
  return may_look ? find_anew(access, announcement) : view;
}

void wmbt_access_close(struct wmbt_access *access) {
  wmbt_readers_lock();
  follow_fork(access);
  struct wmbt_reader *reader = access->current;
  access->current = NULL;
  wmbt_readers_unlock();
  if (reader != NULL) wmbt_reader_leave(reader);
}

void wmbt_access_lend(struct wmbt_access *access, const struct wmbt_keys *keys, struct wmbt_borrow *borrow) {
  struct wmbt_view *view = wmbt_access_use(access);
  if (view != NULL) wmbt_reader_lend(view, keys, wmbt_kind_block, borrow);
}

/* The digest of the tip and of so many of the tokens, as the store has it; the formula is that of a block. */
static struct wmbt_key digest_of(const struct wmbt_key *tip, const int32_t *tokens, size_t count) {
  char digits[wmbt_digest_digits], own[wmbt_digest_digits];
  struct wmbt_key digest;
  wmbt_hex_write(tip->bytes, digits);
  wmbt_chain_keys(digits, (const uint8_t *)tokens, count, 1, own);
  (void)wmbt_hex_parse(own, digest.bytes);
  return digest;
}

bool wmbt_access_has_tail(struct wmbt_access *access, const struct wmbt_keys *tip) {
  struct wmbt_view *view = wmbt_access_use(access);
  if (view == NULL) return false;
  const struct wmbt_terms *terms = tip->terms;
  const struct wmbt_key digest = digest_of(tip->keys, terms->tokens, terms->token_count);
  const bool is_there = wmbt_reader_note_use(view, tip->ns, &digest, wmbt_kind_tail);
  wmbt_view_leave(view);
  return is_there;
}

bool wmbt_access_lend_tail(struct wmbt_access *access, const struct wmbt_keys *tip, size_t token_count,
                           struct wmbt_borrow *borrow) {
  struct wmbt_view *view = wmbt_access_use(access);
  if (view == NULL) return false;
  const struct wmbt_terms *terms = tip->terms;
  if (terms->tokens != NULL) {
    const struct wmbt_key digest = digest_of(tip->keys, terms->tokens, token_count);
    const struct wmbt_keys one = {tip->ns, &digest, 1, tip->terms};
    wmbt_reader_lend(view, &one, wmbt_kind_tail, borrow);
  } else {
    /* Nothing is known of a raw tail that terms could ask for. */
    struct wmbt_terms none = {0};
    const struct wmbt_keys one = {tip->ns, tip->keys, 1, &none};
    wmbt_reader_lend(view, &one, wmbt_kind_raw_tail, borrow);
  }
  return borrow->filled == 1;
}
