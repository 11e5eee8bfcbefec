#include "last-error.h"

#include <stdbool.h>
#include <string.h>

/* Owned by its thread, and freed with it by the loader: no destructor runs, so none can run too late. */
static _Thread_local struct {
  bool is_set;
  char text[wmbt_failure_text_max];
} last;

/* Copies what fits and the terminator. */
static void copy_text(char *into, size_t size, const char *text) {
  const size_t length = strlen(text);
  const size_t fitting = length < size ? length : size - 1;
  (void)memcpy(into, text, fitting);
  into[fitting] = '\0';
}

void wmbt_last_error_clear(void) { last.is_set = false; }

void wmbt_last_error_set(const char *text, char *err_buf, size_t err_len) {
  copy_text(last.text, sizeof last.text, text);
  last.is_set = true;
  if (err_buf != NULL && err_len > 0) copy_text(err_buf, err_len, text);
}

const char *wmbt_last_error_text(void) { return last.is_set ? last.text : NULL; }
