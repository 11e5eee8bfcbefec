#ifndef WMBT_NODE_SYSTEM_H
#define WMBT_NODE_SYSTEM_H

#include <node_api.h>

napi_value wmbt_node_lock(napi_env env, napi_callback_info info);
napi_value wmbt_node_acknowledge(napi_env env, napi_callback_info info);
napi_value wmbt_node_notify(napi_env env, napi_callback_info info);
napi_value wmbt_node_trim_heap(napi_env env, napi_callback_info info);

#endif
