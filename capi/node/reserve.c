/* Memory of shared files that a thread of libuv's pool takes: zeroing tens of megabytes keeps a thread for as long. */
#define _GNU_SOURCE

#include "reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "../src/shared/shared-room.h"
#include "arguments.h"

struct reservation {
  napi_async_work async;
  napi_deferred deferred;
  /* Of its own, so that whoever asked may close his. */
  int descriptor;
  off_t start;
  off_t length;
  /* The range as the process has it mapped, which stays so until the thread is done; of no bytes without one. */
  struct wmbt_bytes mapped;
  napi_ref kept;
  int fault;
};

static void carry_out(napi_env env, void *data) {
  (void)env;
  struct reservation *reservation = data;
  reservation->fault = wmbt_room_reserve(reservation->descriptor, reservation->start, reservation->length);
  if (reservation->fault == 0) wmbt_room_meet(reservation->mapped.data, reservation->mapped.length);
}

static void release(napi_env env, struct reservation *reservation) {
  if (reservation->async != NULL) napi_delete_async_work(env, reservation->async);
  if (reservation->kept != NULL) napi_delete_reference(env, reservation->kept);
  if (reservation->descriptor >= 0) (void)close(reservation->descriptor);
  free(reservation);
}

/* The thread is done, or the process ends and it never began: then nobody waits any more. */
static void complete(napi_env env, napi_status status, void *data) {
  struct reservation *reservation = data;
  napi_value is_had;
  if (status == napi_ok && napi_get_boolean(env, reservation->fault == 0, &is_had) == napi_ok) {
    napi_resolve_deferred(env, reservation->deferred, is_had);
  }
  release(env, reservation);
}

static bool queue(napi_env env, struct reservation *reservation, napi_value *promise) {
  napi_value name;
  return napi_create_string_utf8(env, "wombatkv-reserve", NAPI_AUTO_LENGTH, &name) == napi_ok &&
         napi_create_async_work(env, NULL, name, carry_out, complete, reservation, &reservation->async) == napi_ok &&
         napi_create_promise(env, &reservation->deferred, promise) == napi_ok &&
         napi_queue_async_work(env, reservation->async) == napi_ok;
}

/* True unless there is a range that is mapped and cannot be kept. */
static bool keep_mapped(napi_env env, napi_value mapped, struct reservation *reservation) {
  napi_valuetype type;
  if (napi_typeof(env, mapped, &type) != napi_ok || type == napi_undefined) return true;
  return wmbt_read_bytes(env, mapped, &reservation->mapped) &&
         napi_create_reference(env, mapped, 1, &reservation->kept) == napi_ok;
}

/*
 * reserveLater(descriptor, start, length, mapped): as reserve, on another thread. A promise of true when the range has
 * memory of its own, and of false when the system did not give it, for whatever reason: some of it may have been had.
 * Where the range is mapped as `mapped`, a typed array that nobody uses yet, the mapping has its pages by then.
 */
napi_value wmbt_node_reserve_later(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max], promise;
  uint32_t descriptor;
  double start, length;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (!wmbt_read_uint32(env, arguments[0], &descriptor) || !wmbt_read_size(env, arguments[1], &start) ||
      !wmbt_read_size(env, arguments[2], &length)) {
    return NULL;
  }
  struct reservation *reservation = calloc(1, sizeof *reservation);
  if (reservation == NULL) return wmbt_throw_system_error(env, "malloc", ENOMEM);
  reservation->descriptor = fcntl((int)descriptor, F_DUPFD_CLOEXEC, 0);
  if (reservation->descriptor < 0) {
    const int fault = errno;
    release(env, reservation);
    return wmbt_throw_system_error(env, "fcntl", fault);
  }
  reservation->start = (off_t)start;
  reservation->length = (off_t)length;
  if (keep_mapped(env, arguments[3], reservation) && queue(env, reservation, &promise)) return promise;
  release(env, reservation);
  bool is_thrown = false;
  if (napi_is_exception_pending(env, &is_thrown) == napi_ok && !is_thrown) {
    napi_throw_error(env, NULL, "taking memory cannot be handed to a thread");
  }
  return NULL;
}
