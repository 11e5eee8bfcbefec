#include "request.h"

#include <stdio.h>
#include <string.h>

#include "../hex.h"
#include "cancel.h"
#include "cancellation.h"
#include "last-error.h"

enum { call_flags = WMBT_KV_DURABLE | WMBT_KV_ACCEPTED | WMBT_KV_EXACT };

/* The longest time limit, as of the settings. */
static const int64_t time_limit_ms_max = 2147483647;

void wmbt_request_begin(struct wmbt_request *request, const wmbt_kv_call_t *call) {
  request->cancellation = wmbt_cancellation_off();
  wmbt_last_error_clear();
  /* Before anything is checked: whatever is found wrong is to be told there. */
  request->outcome = call != NULL && call->size >= sizeof *call ? call->outcome : NULL;
  request->keys = (struct wmbt_keys){.terms = &request->terms};
  request->terms = (struct wmbt_terms){0};
  request->parsed.keys = NULL;
}

bool wmbt_request_results(struct wmbt_request *request, bool are_there, const char *names) {
  return are_there || wmbt_fail(&request->failure, wmbt_invalid, "%s must not be NULL", names);
}

bool wmbt_request_place(struct wmbt_request *request, wmbt_kv_handle_t *handle, const char *ns) {
  if (handle == NULL) return wmbt_fail(&request->failure, wmbt_invalid, "handle is NULL");
  return wmbt_check_namespace(ns, handle->ns, &request->keys.ns, &request->failure);
}

bool wmbt_request_hashes(struct wmbt_request *request, const char *const *hashes, size_t count) {
  if (!wmbt_check_hashes(hashes, count, &request->parsed, &request->failure)) return false;
  request->keys.keys = request->parsed.keys;
  request->keys.count = count;
  return true;
}

bool wmbt_request_tip(struct wmbt_request *request, const char *what, const char *tip) {
  if (!wmbt_check_text(tip, &request->failure)) return false;
  if (!wmbt_check_tip(what, tip, &request->tip, &request->failure)) return false;
  request->keys.keys = &request->tip;
  request->keys.count = 1;
  return true;
}

bool wmbt_request_tokens(struct wmbt_request *request, const int32_t *tokens, size_t count) {
  static const int32_t none = 0;
  if (count > WMBT_TAIL_TOKENS_MAX) {
    return wmbt_fail(&request->failure, wmbt_invalid, "token_count is %zu; a tail has at most %d tokens", count,
                     WMBT_TAIL_TOKENS_MAX);
  }
  if (tokens == NULL && count > 0) {
    return wmbt_fail(&request->failure, wmbt_invalid, "tokens is NULL with token_count > 0");
  }
  /* Where there are none the tail is bound all the same. */
  request->terms.tokens = tokens == NULL ? &none : tokens;
  request->terms.token_count = count;
  return true;
}

bool wmbt_copy_sized(void *into, size_t own, const void *from, size_t least, const char *name,
                     struct wmbt_failure *failure) {
  size_t size;
  (void)memcpy(&size, from, sizeof size);
  /* Ten times what there is today: a size that was never set is more. */
  if (size < least || size > 10 * own) {
    return wmbt_fail(failure, wmbt_invalid, "%s->size is %zu; it must be sizeof the structure, %zu here", name, size,
                     own);
  }
  (void)memset(into, 0, own);
  (void)memcpy(into, from, size < own ? size : own);
  for (size_t i = own; i < size; i += 1) {
    if (((const uint8_t *)from)[i] == 0) continue;
    return wmbt_fail(failure, wmbt_incompatible, "incompatible: %s asks for something at byte %zu; this library knows "
                     "%zu bytes of it", name, i, own);
  }
  return true;
}

bool wmbt_outcome_check(const char *of, const wmbt_kv_outcome_t *outcome, struct wmbt_failure *failure) {
  if (outcome == NULL || outcome->size >= sizeof *outcome) return true;
  return wmbt_fail(failure, wmbt_invalid, "%s->outcome->size is %zu; it must be sizeof the structure, %zu here", of,
                   outcome->size, sizeof *outcome);
}

void wmbt_outcome_write(wmbt_kv_outcome_t *outcome) {
  if (outcome == NULL || outcome->size < sizeof *outcome) return;
  const char *text = wmbt_last_error_text();
  outcome->code = wmbt_last_error_number();
  outcome->miss = (int32_t)wmbt_last_miss();
  (void)snprintf(outcome->text, sizeof outcome->text, "%s", text == NULL ? "" : text);
}

/* An optional hash of a call. */
static bool read_hash(const char *name, const char *hash, struct wmbt_key *into, const struct wmbt_key **out,
                      struct wmbt_failure *failure) {
  if (hash == NULL) return true;
  if (!wmbt_check_text(hash, failure)) return false;
  *out = into;
  if (strlen(hash) == wmbt_digest_digits && wmbt_hex_parse(hash, into->bytes)) return true;
  return wmbt_fail(failure, wmbt_invalid, "call->%s must be 64 hexadecimal digits; got %zu characters", name,
                   strlen(hash));
}

static bool read_flags(uint32_t flags, struct wmbt_terms *terms, struct wmbt_failure *failure) {
  const uint32_t both = WMBT_KV_DURABLE | WMBT_KV_ACCEPTED;
  if ((flags & ~(uint32_t)call_flags) != 0 || (flags & both) == both) {
    return wmbt_fail(failure, wmbt_invalid,
                     "call->flags is %u; accepted: WMBT_KV_DURABLE or WMBT_KV_ACCEPTED, WMBT_KV_EXACT",
                     (unsigned)flags);
  }
  if ((flags & WMBT_KV_DURABLE) != 0) terms->durability = wmbt_when_durable;
  if ((flags & WMBT_KV_ACCEPTED) != 0) terms->durability = wmbt_when_accepted;
  terms->is_exact = (flags & WMBT_KV_EXACT) != 0;
  return true;
}

bool wmbt_request_call(struct wmbt_request *request, const wmbt_kv_call_t *call) {
  if (call == NULL) return true;
  struct wmbt_failure *failure = &request->failure;
  struct wmbt_terms *terms = &request->terms;
  wmbt_kv_call_t known;
  if (!wmbt_copy_sized(&known, sizeof known, call, sizeof known, "call", failure)) return false;
  if (!wmbt_outcome_check("call", known.outcome, failure)) return false;
  if (known.time_limit_ms < 0 || known.time_limit_ms > time_limit_ms_max) {
    return wmbt_fail(failure, wmbt_invalid, "call->time_limit_ms is %lld; accepted: 0 to 2147483647",
                     (long long)known.time_limit_ms);
  }
  terms->time_ms = known.time_limit_ms;
  const bool is_read =
      read_flags(known.flags, terms, failure) &&
      read_hash("fingerprint", known.fingerprint, &request->fingerprint, &terms->fingerprint, failure) &&
      read_hash("parent", known.parent, &request->parent, &terms->parent, failure);
  if (!is_read) return false;
  wmbt_cancel_watch((const struct wmbt_cancel *)known.cancel);
  return wmbt_cancel_is_set() ? wmbt_cancel_fail(failure) : true;
}

static void finish(struct wmbt_request *request) {
  wmbt_cancel_watch(NULL);
  wmbt_free_parsed_keys(&request->parsed);
  wmbt_outcome_write(request->outcome);
  wmbt_cancellation_restore(&request->cancellation);
}

void wmbt_request_end(struct wmbt_request *request) {
  wmbt_last_miss_set(request->terms.miss);
  finish(request);
}

int32_t wmbt_request_fail(struct wmbt_request *request) {
  wmbt_last_error_set(&request->failure, NULL, 0);
  finish(request);
  return -1;
}
