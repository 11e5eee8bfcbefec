/* wombatkv-native.node: what src/platform/native.ts loads. */
#include <node_api.h>
#include <stddef.h>

#include "../src/crc32c.h"
#include "kernels.h"
#include "system.h"

/* Changes with the functions below: src/platform/native.ts loads no other. */
enum { interface_version = 1 };

static const struct {
  const char *name;
  napi_callback callback;
} functions[] = {
    {"crc32c", wmbt_node_crc32c},
    {"copyCrc32c", wmbt_node_copy_crc32c},
    {"chainKeys", wmbt_node_chain_keys},
    {"lock", wmbt_node_lock},
    {"notify", wmbt_node_notify},
};

NAPI_MODULE_INIT() {
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i += 1) {
    const char *name = functions[i].name;
    napi_value function;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, functions[i].callback, NULL, &function) != napi_ok ||
        napi_set_named_property(env, exports, name, function) != napi_ok) {
      return NULL;
    }
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
