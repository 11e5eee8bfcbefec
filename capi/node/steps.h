/* Steps on files that a thread of libuv carries out in one go. */
#ifndef WMBT_NODE_STEPS_H
#define WMBT_NODE_STEPS_H

#include <node_api.h>

napi_value wmbt_node_carry_out(napi_env env, napi_callback_info info);

#endif
