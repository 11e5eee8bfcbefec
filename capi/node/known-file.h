#ifndef WMBT_NODE_KNOWN_FILE_H
#define WMBT_NODE_KNOWN_FILE_H

#include <node_api.h>

napi_value wmbt_node_known_file_create(napi_env env, napi_callback_info info);
napi_value wmbt_node_known_file_is_valid(napi_env env, napi_callback_info info);
napi_value wmbt_node_known_file_put(napi_env env, napi_callback_info info);
napi_value wmbt_node_known_file_place(napi_env env, napi_callback_info info);
napi_value wmbt_node_known_file_withdraw(napi_env env, napi_callback_info info);
napi_value wmbt_node_are_stored(napi_env env, napi_callback_info info);

#endif
