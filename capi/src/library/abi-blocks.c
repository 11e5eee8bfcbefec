/* The functions of ABI 1.1 about keys alone: what is stored, and what is to become of it. */
#include <stdlib.h>
#include <string.h>

#include "cancel.h"
#include "last-error.h"
#include "request.h"

int32_t wmbt_kv_last_error_code(void) { return wmbt_last_error_number(); }
int32_t wmbt_kv_last_miss(void) { return (int32_t)wmbt_last_miss(); }

wmbt_kv_cancel_t *wmbt_kv_cancel_new(void) { return (wmbt_kv_cancel_t *)wmbt_cancel_new(); }

void wmbt_kv_cancel(wmbt_kv_cancel_t *cancel) {
  if (cancel != NULL) wmbt_cancel_set((struct wmbt_cancel *)cancel);
}

void wmbt_kv_cancel_free(wmbt_kv_cancel_t *cancel) { wmbt_cancel_free((struct wmbt_cancel *)cancel); }

/* The checks of a call about hashes, after those of its results. */
static bool check(struct wmbt_request *request, wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes,
                  size_t n, const wmbt_kv_call_t *call) {
  return wmbt_request_place(request, handle, ns) && wmbt_request_hashes(request, hashes, n) &&
         wmbt_request_call(request, call);
}

int32_t wmbt_kv_lookup(wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes, size_t n,
                       const wmbt_kv_call_t *call, size_t *out_matched) {
  struct wmbt_request request;
  wmbt_request_begin(&request, call);
  size_t matched = 0;
  bool is_done = wmbt_request_results(&request, out_matched != NULL, "out_matched") &&
                 check(&request, handle, ns, hashes, n, call);
  if (is_done && n > 0) is_done = handle->mode->calls->lookup(handle->mode, &request.keys, &matched, &request.failure);
  if (!is_done) return wmbt_request_fail(&request);
  *out_matched = matched;
  wmbt_request_end(&request);
  return 0;
}

int32_t wmbt_kv_contains(wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes, size_t n,
                         const wmbt_kv_call_t *call, uint8_t *out_present) {
  struct wmbt_request request;
  wmbt_request_begin(&request, call);
  bool is_done = wmbt_request_results(&request, out_present != NULL || n == 0, "out_present") &&
                 check(&request, handle, ns, hashes, n, call);
  /* Into memory of the call's own: an error leaves the caller's as it is. */
  uint8_t *present = is_done && n > 0 ? malloc(n) : NULL;
  if (is_done && n > 0 && present == NULL) {
    is_done = wmbt_fail(&request.failure, wmbt_unavailable, "unavailable: no memory for %zu answers", n);
  }
  if (is_done && n > 0) is_done = handle->mode->calls->contains(handle->mode, &request.keys, present, &request.failure);
  if (is_done && n > 0) (void)memcpy(out_present, present, n);
  free(present);
  if (!is_done) return wmbt_request_fail(&request);
  wmbt_request_end(&request);
  return 0;
}

int32_t wmbt_kv_prefetch(wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes, size_t n,
                         const wmbt_kv_call_t *call, size_t *out_count) {
  struct wmbt_request request;
  wmbt_request_begin(&request, call);
  size_t count = 0;
  bool is_begun = true, is_done = check(&request, handle, ns, hashes, n, call);
  if (is_done && n > 0) {
    size_t *wanted = out_count == NULL ? NULL : &count;
    is_done = handle->mode->calls->prefetch(handle->mode, &request.keys, wanted, &is_begun, &request.failure);
  }
  if (!is_done) return wmbt_request_fail(&request);
  if (out_count != NULL) *out_count = count;
  wmbt_request_end(&request);
  return is_begun ? 1 : 0;
}

int32_t wmbt_kv_flush(wmbt_kv_handle_t *handle, const char *ns, const wmbt_kv_call_t *call) {
  struct wmbt_request request;
  wmbt_request_begin(&request, call);
  const bool is_done = wmbt_request_place(&request, handle, ns) && wmbt_request_call(&request, call) &&
                       handle->mode->calls->flush(handle->mode, &request.keys, &request.failure);
  if (!is_done) return wmbt_request_fail(&request);
  wmbt_request_end(&request);
  return 0;
}

/* That there are as many hashes as are meant. */
static bool check_selection(int32_t what, size_t n, struct wmbt_failure *failure) {
  switch (what) {
    case WMBT_KV_DELETE_BLOCKS:
      return true;
    case WMBT_KV_DELETE_SUBTREE:
      return n == 1 || wmbt_fail(failure, wmbt_invalid, "n is %zu; a subtree has one root", n);
    case WMBT_KV_DELETE_NAMESPACE:
      return n == 0 || wmbt_fail(failure, wmbt_invalid, "n is %zu; a namespace is deleted whole, without hashes", n);
    default:
      return wmbt_fail(failure, wmbt_invalid, "what is %d; accepted: WMBT_KV_DELETE_BLOCKS, _SUBTREE, _NAMESPACE",
                       (int)what);
  }
}

int32_t wmbt_kv_delete(wmbt_kv_handle_t *handle, const char *ns, int32_t what, const char *const *hashes, size_t n,
                       const wmbt_kv_call_t *call, uint64_t *out_objects) {
  struct wmbt_request request;
  wmbt_request_begin(&request, call);
  uint64_t objects = 0;
  bool is_done = wmbt_request_place(&request, handle, ns) && check_selection(what, n, &request.failure) &&
                 wmbt_request_hashes(&request, hashes, n) && wmbt_request_call(&request, call);
  if (is_done && (n > 0 || what == WMBT_KV_DELETE_NAMESPACE)) {
    is_done = handle->mode->calls->delete_blocks(handle->mode, &request.keys, (enum wmbt_selection)what, &objects,
                                                 &request.failure);
  }
  if (!is_done) return wmbt_request_fail(&request);
  if (out_objects != NULL) *out_objects = objects;
  wmbt_request_end(&request);
  return 0;
}
