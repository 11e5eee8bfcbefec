#include "arguments.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool wmbt_read_arguments(napi_env env, napi_callback_info info, napi_value arguments[wmbt_arguments_max]) {
  size_t count = wmbt_arguments_max;
  return napi_get_cb_info(env, info, &count, arguments, NULL, NULL) == napi_ok;
}

bool wmbt_read_bytes(napi_env env, napi_value value, struct wmbt_bytes *bytes) {
  napi_typedarray_type type;
  size_t length;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok) {
    napi_throw_type_error(env, NULL, "a typed array was expected");
    return false;
  }
  switch (type) {
    case napi_int8_array:
    case napi_uint8_array:
    case napi_uint8_clamped_array:
      break;
    case napi_int32_array:
    case napi_uint32_array:
      length *= 4;
      break;
    default:
      napi_throw_type_error(env, NULL, "a typed array of bytes or of 32-bit integers was expected");
      return false;
  }
  *bytes = (struct wmbt_bytes){data, length};
  return true;
}

bool wmbt_read_uint32(napi_env env, napi_value value, uint32_t *number) {
  if (napi_get_value_uint32(env, value, number) == napi_ok) return true;
  napi_throw_type_error(env, NULL, "a number was expected");
  return false;
}

bool wmbt_read_size(napi_env env, napi_value value, double *number) {
  if (napi_get_value_double(env, value, number) == napi_ok && *number >= 0 && *number <= 9007199254740992.0 &&
      *number == (double)(uint64_t)*number) {
    return true;
  }
  napi_throw_range_error(env, NULL, "a number of bytes was expected");
  return false;
}

bool wmbt_read_boolean(napi_env env, napi_value value, bool *boolean) {
  if (napi_get_value_bool(env, value, boolean) == napi_ok) return true;
  napi_throw_type_error(env, NULL, "a boolean was expected");
  return false;
}

bool wmbt_read_text(napi_env env, napi_value value, char *text, size_t size) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "text was expected");
    return false;
  }
  if (length >= size) {
    napi_throw_range_error(env, NULL, "the text is too long");
    return false;
  }
  return napi_get_value_string_utf8(env, value, text, size, &length) == napi_ok;
}

napi_value wmbt_number(napi_env env, double number) {
  napi_value value;
  return napi_create_double(env, number, &value) == napi_ok ? value : NULL;
}

napi_value wmbt_boolean(napi_env env, bool boolean) {
  napi_value value;
  return napi_get_boolean(env, boolean, &value) == napi_ok ? value : NULL;
}

static const char *name_of(int number) {
  switch (number) {
    case EACCES: return "EACCES";
    case EAGAIN: return "EAGAIN";
    case EBADF: return "EBADF";
    case ECONNREFUSED: return "ECONNREFUSED";
    case EINTR: return "EINTR";
    case EINVAL: return "EINVAL";
    case EMFILE: return "EMFILE";
    case EMSGSIZE: return "EMSGSIZE";
    case ENFILE: return "ENFILE";
    case ENODEV: return "ENODEV";
    case ENOENT: return "ENOENT";
    case ENOLCK: return "ENOLCK";
    case ENOMEM: return "ENOMEM";
    case ENOSPC: return "ENOSPC";
    case ENOTSUP: return "ENOTSUP";
    case EPERM: return "EPERM";
    default: return "EIO";
  }
}

napi_value wmbt_throw_system_error(napi_env env, const char *call, int number) {
  char message[200];
  snprintf(message, sizeof message, "%s: %s failed: %s", name_of(number), call, strerror(number));
  napi_throw_error(env, name_of(number), message);
  return NULL;
}
