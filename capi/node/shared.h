#ifndef WMBT_NODE_SHARED_H
#define WMBT_NODE_SHARED_H

#include <node_api.h>

napi_value wmbt_node_map_file(napi_env env, napi_callback_info info);
napi_value wmbt_node_map_over(napi_env env, napi_callback_info info);
napi_value wmbt_node_unmap(napi_env env, napi_callback_info info);
napi_value wmbt_node_begin_life(napi_env env, napi_callback_info info);
napi_value wmbt_node_end_life(napi_env env, napi_callback_info info);
napi_value wmbt_node_reserve(napi_env env, napi_callback_info info);
napi_value wmbt_node_give_back(napi_env env, napi_callback_info info);
napi_value wmbt_node_lock_range(napi_env env, napi_callback_info info);
napi_value wmbt_node_is_range_locked(napi_env env, napi_callback_info info);
napi_value wmbt_node_unlock_range(napi_env env, napi_callback_info info);

#endif
