#ifndef WMBT_NODE_INDEX_H
#define WMBT_NODE_INDEX_H

#include <node_api.h>
#include <stdbool.h>

#include "../src/shared/shared-index.h"

/* The index in the memory of a typed array. Throws and returns false when there is none. */
bool wmbt_read_index(napi_env env, napi_value value, struct wmbt_index *index);

napi_value wmbt_node_index_create(napi_env env, napi_callback_info info);
napi_value wmbt_node_index_is_valid(napi_env env, napi_callback_info info);
napi_value wmbt_node_index_publish(napi_env env, napi_callback_info info);
napi_value wmbt_node_index_carry(napi_env env, napi_callback_info info);
napi_value wmbt_node_index_retire(napi_env env, napi_callback_info info);
napi_value wmbt_node_index_find(napi_env env, napi_callback_info info);
napi_value wmbt_node_index_present(napi_env env, napi_callback_info info);
napi_value wmbt_node_index_pin(napi_env env, napi_callback_info info);
napi_value wmbt_node_unpin(napi_env env, napi_callback_info info);
napi_value wmbt_node_clients_hold(napi_env env, napi_callback_info info);
napi_value wmbt_node_client_begin(napi_env env, napi_callback_info info);
napi_value wmbt_node_client_clear(napi_env env, napi_callback_info info);
napi_value wmbt_node_lent_fill(napi_env env, napi_callback_info info);

#endif
