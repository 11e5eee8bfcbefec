/* Reading arguments of calls from JavaScript. Each reader throws a TypeError and returns false when it cannot. */
#ifndef WMBT_NODE_ARGUMENTS_H
#define WMBT_NODE_ARGUMENTS_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { wmbt_arguments_max = 7 };

struct wmbt_bytes {
  uint8_t *data;
  size_t length;
};

/* The values that were passed; those that were left out are undefined. */
bool wmbt_read_arguments(napi_env env, napi_callback_info info, napi_value arguments[wmbt_arguments_max]);

/* The memory of a typed array, in bytes. It is the caller's, and stays valid until the call returns. */
bool wmbt_read_bytes(napi_env env, napi_value value, struct wmbt_bytes *bytes);

/* A number, modulo 2^32. */
bool wmbt_read_uint32(napi_env env, napi_value value, uint32_t *number);

/* A number of bytes: whole, and at most 2^53. */
bool wmbt_read_size(napi_env env, napi_value value, double *number);

bool wmbt_read_boolean(napi_env env, napi_value value, bool *boolean);

/* Text of at most `size - 1` bytes of UTF-8, with a terminator. */
bool wmbt_read_text(napi_env env, napi_value value, char *text, size_t size);

napi_value wmbt_number(napi_env env, double number);
napi_value wmbt_boolean(napi_env env, bool value);

/* Throws an Error with `code` the name of the system's error, as errors of Node's own modules have it. */
napi_value wmbt_throw_system_error(napi_env env, const char *call, int number);

#endif
