#ifndef WMBT_NODE_RESERVE_H
#define WMBT_NODE_RESERVE_H

#include <node_api.h>

napi_value wmbt_node_reserve_later(napi_env env, napi_callback_info info);

#endif
