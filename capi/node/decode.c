#include "decode.h"

#include <stdlib.h>

#include "../src/crc32c.h"
#include "../src/planes.h"
#include "arguments.h"
#include "system-zstd.h"

/* What is decoded, and what came of it. */
struct payload {
  struct wmbt_bytes target, frame;
  /* What stands beside the frame as it is: low bytes, of which there are none where these are in the frame too. */
  struct wmbt_bytes lows;
  /* The frame has planes: values of two bytes are put together. */
  bool has_planes;
  enum wmbt_unpacking outcome;
  uint32_t crc;
  const char *fault;
};

struct work {
  napi_async_work async;
  napi_deferred deferred;
  struct payload payload;
  /* The arrays of the payload, which stay until the thread is done with them. */
  napi_ref target, frame, lows;
};

/* Bytes of a plane, but for an odd one of the high ones. */
static size_t plane_bytes(const struct payload *payload) { return payload->target.length / 2; }

static void merge(struct payload *payload, const uint8_t *content) {
  const size_t count = plane_bytes(payload);
  const bool has_lows = payload->lows.length > 0;
  const uint8_t *highs = has_lows ? content : content + count;
  wmbt_merge_planes(payload->target.data, has_lows ? payload->lows.data : content, highs, count);
  if (payload->target.length % 2 == 1) payload->target.data[2 * count] = highs[count];
}

static void decode(struct payload *payload) {
  const struct wmbt_bytes target = payload->target, frame = payload->frame;
  const size_t length = target.length - payload->lows.length;
  uint8_t *content = target.data;
  if (payload->has_planes) content = malloc(length);
  payload->outcome = wmbt_not_unpacked;
  if (content == NULL) return;
  payload->outcome = wmbt_system_unpack(content, length, frame.data, frame.length, &payload->fault);
  if (payload->outcome == wmbt_unpacked && payload->has_planes) merge(payload, content);
  if (payload->has_planes) free(content);
  if (payload->outcome == wmbt_unpacked) payload->crc = wmbt_crc32c_append(0, target.data, target.length);
}

/* The arguments, with nothing done yet. Throws and gives false for those that do not go together. */
static bool read_payload(napi_env env, napi_value arguments[wmbt_arguments_max], struct payload *payload) {
  *payload = (struct payload){0};
  if (!wmbt_read_bytes(env, arguments[0], &payload->target) || !wmbt_read_bytes(env, arguments[1], &payload->frame) ||
      !wmbt_read_bytes(env, arguments[2], &payload->lows) ||
      !wmbt_read_boolean(env, arguments[3], &payload->has_planes)) {
    return false;
  }
  const size_t lows = payload->lows.length;
  if (lows == 0 || (payload->has_planes && lows == plane_bytes(payload))) return true;
  napi_throw_range_error(env, NULL, "low bytes beside a plane are half of the payload");
  return false;
}

/* A number, undefined, or NULL for what is damaged, with an error then. */
static napi_value tell(napi_env env, const struct payload *payload, napi_value *error) {
  napi_value told = NULL, text;
  switch (payload->outcome) {
    case wmbt_unpacked:
      return wmbt_number(env, payload->crc);
    case wmbt_not_unpacked:
      return napi_get_undefined(env, &told) == napi_ok ? told : NULL;
    case wmbt_damaged:
      if (napi_create_string_utf8(env, payload->fault, NAPI_AUTO_LENGTH, &text) != napi_ok ||
          napi_create_error(env, NULL, text, error) != napi_ok) {
        *error = NULL;
      }
      return NULL;
  }
  return NULL;
}

napi_value wmbt_node_decode(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max], error = NULL;
  struct payload payload;
  if (!wmbt_read_arguments(env, info, arguments) || !read_payload(env, arguments, &payload)) return NULL;
  decode(&payload);
  const napi_value told = tell(env, &payload, &error);
  if (told == NULL && error != NULL) napi_throw(env, error);
  return told;
}

static void carry_out(napi_env env, void *data) {
  (void)env;
  struct work *work = data;
  decode(&work->payload);
}

static void release(napi_env env, struct work *work) {
  if (work->async != NULL) napi_delete_async_work(env, work->async);
  if (work->target != NULL) napi_delete_reference(env, work->target);
  if (work->frame != NULL) napi_delete_reference(env, work->frame);
  if (work->lows != NULL) napi_delete_reference(env, work->lows);
  free(work);
}

/* The thread is done, or the process ends and it never began: then nobody waits any more. */
static void complete(napi_env env, napi_status status, void *data) {
  struct work *work = data;
  napi_value error = NULL;
  if (status == napi_ok) {
    const napi_value told = tell(env, &work->payload, &error);
    if (told != NULL) napi_resolve_deferred(env, work->deferred, told);
    else if (error != NULL) napi_reject_deferred(env, work->deferred, error);
  }
  release(env, work);
}

static bool queue(napi_env env, struct work *work, napi_value arguments[wmbt_arguments_max], napi_value *promise) {
  napi_value name;
  return napi_create_reference(env, arguments[0], 1, &work->target) == napi_ok &&
         napi_create_reference(env, arguments[1], 1, &work->frame) == napi_ok &&
         napi_create_reference(env, arguments[2], 1, &work->lows) == napi_ok &&
         napi_create_string_utf8(env, "wombatkv-decode", NAPI_AUTO_LENGTH, &name) == napi_ok &&
         napi_create_async_work(env, NULL, name, carry_out, complete, work, &work->async) == napi_ok &&
         napi_create_promise(env, &work->deferred, promise) == napi_ok &&
         napi_queue_async_work(env, work->async) == napi_ok;
}

napi_value wmbt_node_decode_later(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max], promise;
  struct payload payload;
  if (!wmbt_read_arguments(env, info, arguments) || !read_payload(env, arguments, &payload)) return NULL;
  struct work *work = calloc(1, sizeof *work);
  if (work != NULL) {
    work->payload = payload;
    if (queue(env, work, arguments, &promise)) return promise;
    release(env, work);
  }
  /* Nor can others be handed one: the caller does the work. */
  return napi_get_undefined(env, &promise) == napi_ok ? promise : NULL;
}
