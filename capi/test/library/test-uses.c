/* What a daemon learns of reads of its memory, and how much of it one client pins. Its memory tier has 16 MiB. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared.h"

/* Rounds of 4 MiB each: the tier six times over. */
enum { mebibyte = 1048576, round_count = 24 };

/* So that whatever was left to the daemon is where it is to be found. */
static void flush(wmbt_kv_handle_t *handle) {
  CHECK(wmbt_kv_flush(handle, "", NULL) == 0, "a flush fails: %s", wmbt_kv_last_error());
}

/* Puts blocks of the label that nobody reads. */
static void put_others(wmbt_kv_handle_t *handle, const char *label, unsigned round) {
  char name[32];
  (void)snprintf(name, sizeof name, "%s-%u", label, round);
  struct batch batch = batch_of(name, 4, mebibyte);
  check_put(handle, "", &batch);
  batch_free(&batch);
  flush(handle);
}

static void read_outlives_unread(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch read = batch_of("uses-read", 2, mebibyte), unread = batch_of("uses-unread", 2, mebibyte);
  check_put(handle, "", &unread);
  check_put(handle, "", &read);
  flush(handle);
  for (unsigned round = 0; round < round_count; round += 1) {
    CHECK(were_in_memory(handle, &read), "what is read is not in memory in round %u", round);
    put_others(handle, "uses-other", round);
  }
  CHECK(were_in_memory(handle, &read), "what is read is not in memory at last");
  CHECK(!were_in_memory(handle, &unread), "what nobody reads is in memory");
  wmbt_kv_free(handle);
  batch_free(&read);
  batch_free(&unread);
}

static void saved_again_outlives_unread(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch saved = batch_of("uses-saved", 2, mebibyte);
  check_put(handle, "", &saved);
  flush(handle);
  for (unsigned round = 0; round < round_count; round += 1) {
    check_put(handle, "", &saved);
    put_others(handle, "uses-beside", round);
  }
  CHECK(were_in_memory(handle, &saved), "what was saved again is not in memory");
  wmbt_kv_free(handle);
  batch_free(&saved);
}

/* Three quarters of the tier are 12 MiB. What is got beyond is had, in memory of the caller. */
static void pinned_bytes(void) {
  wmbt_kv_handle_t *handle = open_handle(), *other = open_handle();
  struct batch first = batch_of("uses-first", 8, mebibyte), second = batch_of("uses-second", 6, mebibyte);
  check_put(handle, "", &first);
  struct loan loan = lend_blocks(handle, &first);
  check_put(handle, "", &second);
  check_get(other, "", &second, 0, 6);
  struct loan beyond = borrow_blocks(handle, &second);
  CHECK(is_lent(&loan, 8), "8 of 16 MiB are not lent");
  check_unchanged(&beyond, &second, "beyond what one client pins");
  CHECK(beyond.borrow != NULL && !lies_in_segment(beyond.payloads[5]), "14 of 16 MiB are lent to one client");
  wmbt_kv_release_borrow(loan.borrow);
  wmbt_kv_release_borrow(beyond.borrow);
  loan = lend_blocks(handle, &second);
  CHECK(is_lent(&loan, 6), "what was let go is not lent again");
  wmbt_kv_release_borrow(loan.borrow);
  wmbt_kv_free(handle);
  wmbt_kv_free(other);
  batch_free(&first);
  batch_free(&second);
}

const struct test_case use_tests[] = {
    {"what is read in a daemon's memory outlives there what nobody reads", read_outlives_unread},
    {"so does what is saved again", saved_again_outlives_unread},
    {"one client pins three quarters of a daemon's memory, and is given copies beyond", pinned_bytes},
    {NULL, NULL},
};
