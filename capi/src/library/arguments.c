#include "arguments.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../hex.h"
#include "bounds.h"
#include "text.h"

/* Enough of a wrong hash to recognise it. */
enum { shown_max = 160 };

bool wmbt_check_text(const char *text, struct wmbt_failure *failure) {
  if (text == NULL) return wmbt_fail(failure, wmbt_invalid, "string pointer is NULL");
  if (wmbt_is_utf8(text, strlen(text))) return true;
  return wmbt_fail(failure, wmbt_invalid, "string contained non-UTF-8 bytes");
}

bool wmbt_check_namespace(const char *ns, const char *own, const char **out, struct wmbt_failure *failure) {
  if (!wmbt_check_text(ns, failure)) return false;
  const size_t length = strlen(ns);
  if (length > WMBT_NAMESPACE_BYTES_MAX) {
    return wmbt_fail(failure, wmbt_invalid, "namespace must have 1 to %d bytes; got %zu", WMBT_NAMESPACE_BYTES_MAX,
                     length);
  }
  *out = length == 0 ? own : ns;
  return true;
}

/* Says where the first character that is no digit stands. */
static bool fail_digit(const char *before, const char *hex, struct wmbt_failure *failure) {
  const size_t at = strspn(hex, "0123456789abcdefABCDEF");
  char shown[shown_max];
  wmbt_quote(shown, sizeof shown, hex);
  return wmbt_fail(failure, wmbt_invalid, "%sbad hex char at pos %zu in %s", before, at, shown);
}

static bool check_hash(const char *hash, size_t index, struct wmbt_key *out, struct wmbt_failure *failure) {
  if (hash == NULL) return wmbt_fail(failure, wmbt_invalid, "block_hashes_hex[%zu] is NULL", index);
  const size_t length = strlen(hash);
  /* The usual one: 64 digits are text. */
  if (length == wmbt_digest_digits && wmbt_hex_parse(hash, out->bytes)) return true;
  if (!wmbt_is_utf8(hash, length)) {
    return wmbt_fail(failure, wmbt_invalid, "block_hashes_hex[%zu] not UTF-8", index);
  }
  if (length == wmbt_digest_digits) return fail_digit("", hash, failure);
  char shown[shown_max];
  wmbt_quote(shown, sizeof shown, hash);
  return wmbt_fail(failure, wmbt_invalid, "block hash hex must be 64 chars; got %zu for %s", length, shown);
}

bool wmbt_check_hashes(const char *const *hashes, size_t count, struct wmbt_parsed_keys *out,
                       struct wmbt_failure *failure) {
  out->keys = NULL;
  if (count == 0) return true;
  if (hashes == NULL) return wmbt_fail(failure, wmbt_invalid, "block_hashes_hex is NULL with block_count > 0");
  if (count <= sizeof out->few / sizeof *out->few) {
    out->keys = out->few;
  } else if (count <= SIZE_MAX / sizeof *out->keys) {
    out->keys = malloc(count * sizeof *out->keys);
  }
  if (out->keys == NULL) return wmbt_fail(failure, wmbt_unavailable, "no memory for %zu block hashes", count);
  for (size_t i = 0; i < count; i += 1) {
    if (!check_hash(hashes[i], i, &out->keys[i], failure)) return false;
  }
  return true;
}

void wmbt_free_parsed_keys(struct wmbt_parsed_keys *keys) {
  if (keys->keys != keys->few) free(keys->keys);
}

bool wmbt_check_tip(const char *call, const char *hex, struct wmbt_key *out, struct wmbt_failure *failure) {
  const size_t length = strlen(hex);
  if (length != wmbt_digest_digits) {
    return wmbt_fail(failure, wmbt_invalid, "%s: chain_tip_hash_hex must be 64 chars; got %zu", call, length);
  }
  if (wmbt_hex_parse(hex, out->bytes)) return true;
  char before[64];
  (void)snprintf(before, sizeof before, "%s: chain_tip_hash_hex: ", call);
  return fail_digit(before, hex, failure);
}

bool wmbt_check_payloads(const uint8_t *const *payloads, const size_t *lens, size_t count, int64_t *sum,
                         struct wmbt_failure *failure) {
  *sum = 0;
  if (count == 0) return true;
  if (payloads == NULL || lens == NULL) {
    return wmbt_fail(failure, wmbt_invalid, "payloads / lens must not be NULL with block_count > 0");
  }
  for (size_t i = 0; i < count; i += 1) {
    if (lens[i] > 0 && payloads[i] == NULL) {
      return wmbt_fail(failure, wmbt_invalid, "payloads[%zu] is NULL with len > 0", i);
    }
    if (lens[i] > WMBT_PAYLOAD_BYTES_MAX) {
      return wmbt_fail(failure, wmbt_too_large, "payloads[%zu] has %zu bytes; at most %d can be stored", i, lens[i],
                       WMBT_PAYLOAD_BYTES_MAX);
    }
    *sum += (int64_t)lens[i];
  }
  return true;
}
