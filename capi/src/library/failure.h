/* Why something did not work, carried from where it happened to the function that the caller called. */
#ifndef WMBT_FAILURE_H
#define WMBT_FAILURE_H

#include <stdbool.h>

/* What follows from a failure. The first eight are the codes of docs/ERRORS.md in the order of the wire. */
enum wmbt_failure_kind {
  wmbt_unavailable,
  wmbt_busy,
  wmbt_corrupt,
  wmbt_incompatible,
  wmbt_too_large,
  wmbt_invalid,
  wmbt_closed,
  wmbt_aborted,
  wmbt_wire_codes,
  /* The connection is over, and nobody knows how far the call came: it may be made again. */
  wmbt_lost = wmbt_wire_codes,
  /* The daemon wants the call once more, on this connection or another. */
  wmbt_again,
  /* No answer by the deadline; or the daemon was still sending then. */
  wmbt_expired,
  wmbt_slow,
  /* The answer cannot be taken, so the connection is of no use any more. */
  wmbt_no_memory,
  /* The caller wants the call to end, so nobody reads its answer. */
  wmbt_cancelled,
};

enum { wmbt_failure_text_max = 1024 };

struct wmbt_failure {
  enum wmbt_failure_kind kind;
  /* NUL-terminated; a longer text is cut. */
  char text[wmbt_failure_text_max];
};

/* Fills the failure in and returns false, so that a function can end with it. */
bool wmbt_fail(struct wmbt_failure *failure, enum wmbt_failure_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts what a call was about before the text, as in `what: text`. */
void wmbt_failure_name(struct wmbt_failure *failure, const char *what);

/* The word for a code of the wire: `busy`, `too large`. */
const char *wmbt_failure_word(enum wmbt_failure_kind kind);

/* The code whose word a text begins with, as in `too large: text`; `unavailable` where it begins with none. */
enum wmbt_failure_kind wmbt_failure_kind_of(const char *text);

/*
 * Writes at most `size` - 1 characters of the text in quotes, with quotes, backslashes and control characters
 * escaped; a longer text is cut and ends with three dots.
 */
void wmbt_quote(char *into, unsigned size, const char *text);

#endif
