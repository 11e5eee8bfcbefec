/* Payloads decoded by the system's zstd. src/base/native-kernels.ts says what each function is given. */
#ifndef WMBT_NODE_DECODE_H
#define WMBT_NODE_DECODE_H

#include <node_api.h>

napi_value wmbt_node_decode(napi_env env, napi_callback_info info);
napi_value wmbt_node_decode_later(napi_env env, napi_callback_info info);

#endif
