#ifndef WMBT_NODE_RING_H
#define WMBT_NODE_RING_H

#include <node_api.h>

napi_value wmbt_node_ring_open(napi_env env, napi_callback_info info);
napi_value wmbt_node_ring_look(napi_env env, napi_callback_info info);
napi_value wmbt_node_ring_leave(napi_env env, napi_callback_info info);
napi_value wmbt_node_ring_loans(napi_env env, napi_callback_info info);
napi_value wmbt_node_ring_want(napi_env env, napi_callback_info info);
napi_value wmbt_node_ring_untold(napi_env env, napi_callback_info info);

#endif
