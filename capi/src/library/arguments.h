/* Checks of what callers pass in, in the order and with the words that engines know. */
#ifndef WMBT_ARGUMENTS_H
#define WMBT_ARGUMENTS_H

#include <stddef.h>

#include "failure.h"
#include "mode.h"

/* The namespace of a call: the handle's own for the empty string. False with a failure. */
bool wmbt_check_namespace(const char *ns, const char *own, const char **out, struct wmbt_failure *failure);

/* Keys of one call. Those of a usual prompt need no memory from the heap. */
struct wmbt_parsed_keys {
  /* NULL when there are none; `few`, or memory of their own. */
  struct wmbt_key *keys;
  struct wmbt_key few[96];
};

/* Parses the hashes. Whatever comes of it, wmbt_free_parsed_keys is called. */
bool wmbt_check_hashes(const char *const *hashes, size_t count, struct wmbt_parsed_keys *out,
                       struct wmbt_failure *failure);

void wmbt_free_parsed_keys(struct wmbt_parsed_keys *keys);

/* That `hex` is text. */
bool wmbt_check_text(const char *hex, struct wmbt_failure *failure);

/* Parses a tip that is text; `call` begins the message. */
bool wmbt_check_tip(const char *call, const char *hex, struct wmbt_key *out, struct wmbt_failure *failure);

/* That there are as many payloads as announced, none of them too long to be stored. */
bool wmbt_check_payloads(const uint8_t *const *payloads, const size_t *lens, size_t count, int64_t *sum,
                         struct wmbt_failure *failure);

#endif
