#include "last-error.h"

#include <stdbool.h>
#include <string.h>

/* Owned by its thread, and freed with it by the loader: no destructor runs, so none can run too late. */
static _Thread_local struct {
  bool is_set;
  int32_t number;
  enum wmbt_miss miss;
  char text[wmbt_failure_text_max];
} last;

/* Copies what fits and the terminator. */
static void copy_text(char *into, size_t size, const char *text) {
  const size_t length = strlen(text);
  const size_t fitting = length < size ? length : size - 1;
  (void)memcpy(into, text, fitting);
  into[fitting] = '\0';
}

void wmbt_last_error_clear(void) {
  last.is_set = false;
  last.miss = wmbt_miss_none;
}

/* What follows from a failure, in the codes of the wire. */
static enum wmbt_failure_kind code_of(enum wmbt_failure_kind kind) {
  if (kind == wmbt_cancelled) return wmbt_aborted;
  return kind < wmbt_wire_codes ? kind : wmbt_unavailable;
}

void wmbt_last_error_set(const struct wmbt_failure *failure, char *err_buf, size_t err_len) {
  copy_text(last.text, sizeof last.text, failure->text);
  last.is_set = true;
  last.number = (int32_t)code_of(failure->kind) + 1;
  if (err_buf != NULL && err_len > 0) copy_text(err_buf, err_len, failure->text);
}

const char *wmbt_last_error_text(void) { return last.is_set ? last.text : NULL; }
int32_t wmbt_last_error_number(void) { return last.is_set ? last.number : 0; }
void wmbt_last_miss_set(enum wmbt_miss miss) { last.miss = miss; }
enum wmbt_miss wmbt_last_miss(void) { return last.miss; }
