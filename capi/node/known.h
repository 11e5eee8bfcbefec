#ifndef WMBT_NODE_KNOWN_H
#define WMBT_NODE_KNOWN_H

#include <node_api.h>

napi_value wmbt_node_known_open(napi_env env, napi_callback_info info);
napi_value wmbt_node_known_move(napi_env env, napi_callback_info info);
napi_value wmbt_node_known_leading(napi_env env, napi_callback_info info);

#endif
