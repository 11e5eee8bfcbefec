#ifndef WMBT_NODE_KERNELS_H
#define WMBT_NODE_KERNELS_H

#include <node_api.h>

napi_value wmbt_node_crc32c(napi_env env, napi_callback_info info);
napi_value wmbt_node_copy(napi_env env, napi_callback_info info);
napi_value wmbt_node_merge_planes(napi_env env, napi_callback_info info);
napi_value wmbt_node_chain_keys(napi_env env, napi_callback_info info);

#endif
