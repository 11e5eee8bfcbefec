/* wombatkv-native.node: what src/platform/native.ts loads. */
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>

#include "../src/crc32c.h"
#include "decode.h"
#include "index.h"
#include "kernels.h"
#include "known-file.h"
#include "known.h"
#include "reserve.h"
#include "ring.h"
#include "shared.h"
#include "steps.h"
#include "system.h"

/* Changes with the functions below: src/platform/native.ts loads no other. */
enum { interface_version = 15 };

struct function {
  const char *name;
  napi_callback callback;
};

static const struct function functions[] = {
    {"crc32c", wmbt_node_crc32c},
    {"copy", wmbt_node_copy},
    {"acknowledge", wmbt_node_acknowledge},
    {"mergePlanes", wmbt_node_merge_planes},
    {"decode", wmbt_node_decode},
    {"decodeLater", wmbt_node_decode_later},
    {"chainKeys", wmbt_node_chain_keys},
    {"carryOut", wmbt_node_carry_out},
    {"lock", wmbt_node_lock},
    {"notify", wmbt_node_notify},
    {"trimHeap", wmbt_node_trim_heap},
    {"mapFile", wmbt_node_map_file},
    {"mapOver", wmbt_node_map_over},
    {"unmap", wmbt_node_unmap},
    {"beginLife", wmbt_node_begin_life},
    {"endLife", wmbt_node_end_life},
    {"reserve", wmbt_node_reserve},
    {"reserveLater", wmbt_node_reserve_later},
    {"giveBack", wmbt_node_give_back},
    {"lockRange", wmbt_node_lock_range},
    {"isRangeLocked", wmbt_node_is_range_locked},
    {"unlockRange", wmbt_node_unlock_range},
};

static const struct function index_functions[] = {
    {"create", wmbt_node_index_create},
    {"isValid", wmbt_node_index_is_valid},
    {"publish", wmbt_node_index_publish},
    {"carry", wmbt_node_index_carry},
    {"retire", wmbt_node_index_retire},
    {"find", wmbt_node_index_find},
    {"present", wmbt_node_index_present},
    {"pin", wmbt_node_index_pin},
    {"unpin", wmbt_node_unpin},
    {"holder", wmbt_node_clients_hold},
    {"beginClient", wmbt_node_client_begin},
    {"clearClient", wmbt_node_client_clear},
    {"fill", wmbt_node_lent_fill},
};

static const struct function known_functions[] = {
    {"open", wmbt_node_known_open},
    {"move", wmbt_node_known_move},
    {"leading", wmbt_node_known_leading},
};

static const struct function ring_functions[] = {
    {"open", wmbt_node_ring_open},
    {"look", wmbt_node_ring_look},
    {"leave", wmbt_node_ring_leave},
    {"loans", wmbt_node_ring_loans},
    {"want", wmbt_node_ring_want},
    {"untold", wmbt_node_ring_untold},
};

static const struct function known_file_functions[] = {
    {"create", wmbt_node_known_file_create},
    {"isValid", wmbt_node_known_file_is_valid},
    {"put", wmbt_node_known_file_put},
    {"place", wmbt_node_known_file_place},
    {"withdraw", wmbt_node_known_file_withdraw},
    {"areStored", wmbt_node_are_stored},
};

enum {
  function_count = sizeof functions / sizeof functions[0],
  index_function_count = sizeof index_functions / sizeof index_functions[0],
  ring_function_count = sizeof ring_functions / sizeof ring_functions[0],
  known_function_count = sizeof known_functions / sizeof known_functions[0],
  known_file_function_count = sizeof known_file_functions / sizeof known_file_functions[0],
};

static bool add_functions(napi_env env, napi_value object, const struct function *added, size_t count) {
  for (size_t i = 0; i < count; i += 1) {
    napi_value function;
    if (napi_create_function(env, added[i].name, NAPI_AUTO_LENGTH, added[i].callback, NULL, &function) != napi_ok ||
        napi_set_named_property(env, object, added[i].name, function) != napi_ok) {
      return false;
    }
  }
  return true;
}

static bool add_group(napi_env env, napi_value exports, const char *name, const struct function *added, size_t count) {
  napi_value group;
  return napi_create_object(env, &group) == napi_ok && add_functions(env, group, added, count) &&
         napi_set_named_property(env, exports, name, group) == napi_ok;
}

NAPI_MODULE_INIT() {
  if (!add_functions(env, exports, functions, function_count) ||
      !add_group(env, exports, "index", index_functions, index_function_count) ||
      !add_group(env, exports, "ring", ring_functions, ring_function_count) ||
      !add_group(env, exports, "known", known_functions, known_function_count) ||
      !add_group(env, exports, "knownFile", known_file_functions, known_file_function_count)) {
    return NULL;
  }
  napi_value version, kernel;
  if (napi_create_uint32(env, interface_version, &version) != napi_ok ||
      napi_set_named_property(env, exports, "interfaceVersion", version) != napi_ok ||
      napi_create_string_utf8(env, wmbt_crc32c_kernel_in_use()->name, NAPI_AUTO_LENGTH, &kernel) != napi_ok ||
      napi_set_named_property(env, exports, "crc32cKernel", kernel) != napi_ok) {
    return NULL;
  }
  return exports;
}
