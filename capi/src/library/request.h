/*
 * What the functions of ABI 1.1 have in common: the call that they are about, checked in the order of the header, and
 * how it ends. Every one of them begins with wmbt_request_begin and ends with one of the last two.
 */
#ifndef WMBT_REQUEST_H
#define WMBT_REQUEST_H

#include "../../include/wombatkv.h"
#include "arguments.h"
#include "handle.h"

struct wmbt_request {
  /* What cancelling a thread does to this one outside the call. */
  int cancellation;
  /* Where the caller wants to be told how it ended; NULL: nowhere. */
  wmbt_kv_outcome_t *outcome;
  struct wmbt_keys keys;
  struct wmbt_terms terms;
  struct wmbt_failure failure;
  /* What `keys` and `terms` point to. */
  struct wmbt_parsed_keys parsed;
  struct wmbt_key tip, fingerprint, parent;
};

void wmbt_request_begin(struct wmbt_request *request, const wmbt_kv_call_t *call);

/* Each is false with a failure. */

/* Result arguments: none may be NULL. `names` is for people. */
bool wmbt_request_results(struct wmbt_request *request, bool are_there, const char *names);
/* The handle and the namespace. */
bool wmbt_request_place(struct wmbt_request *request, wmbt_kv_handle_t *handle, const char *ns);
bool wmbt_request_hashes(struct wmbt_request *request, const char *const *hashes, size_t count);
/* One hash, the tip of a chain; `what` begins the message. */
bool wmbt_request_tip(struct wmbt_request *request, const char *what, const char *tip);
bool wmbt_request_tokens(struct wmbt_request *request, const int32_t *tokens, size_t count);
/* How the call is made. From now on what it names may end it; false also when it has ended it already. */
bool wmbt_request_call(struct wmbt_request *request, const wmbt_kv_call_t *call);

/* That an outcome is one, where it is wanted; `of` is what points to it. */
bool wmbt_outcome_check(const char *of, const wmbt_kv_outcome_t *outcome, struct wmbt_failure *failure);
/* Writes what the last call on this thread came to; nothing where it is not wanted, or is none. */
void wmbt_outcome_write(wmbt_kv_outcome_t *outcome);

/* Notes what was missed. */
void wmbt_request_end(struct wmbt_request *request);
/* Notes the failure; -1. */
int32_t wmbt_request_fail(struct wmbt_request *request);

/*
 * Copies a structure that begins with its size: `own` bytes of it, of which those that the caller's has not are zero.
 * False when the caller's is shorter than `least`, or has something where this library knows nothing.
 */
bool wmbt_copy_sized(void *into, size_t own, const void *from, size_t least, const char *name,
                     struct wmbt_failure *failure);

#endif
