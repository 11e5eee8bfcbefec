#define _GNU_SOURCE

#include "system-zstd.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#if defined(__linux__)

#include <dlfcn.h>

/* Version 1.4.0 as a number, the oldest of a system that is kept up; what 2.0.0 would be nobody knows. */
enum { oldest_version = 10400, next_major_version = 20000, kept_max = 4 };

/* Of zstd.h, from 1.0.0 on, all of its stable part ("Simple API", "Explicit context"). */
typedef struct ZSTD_DCtx_s ZSTD_DCtx;

struct library {
  unsigned (*version_number)(void);
  ZSTD_DCtx *(*create_context)(void);
  size_t (*free_context)(ZSTD_DCtx *context);
  size_t (*decompress)(ZSTD_DCtx *context, void *target, size_t target_bytes, const void *source, size_t source_bytes);
  unsigned (*is_error)(size_t code);
  const char *(*error_name)(size_t code);
};

static struct library library;
static bool is_usable;
static pthread_once_t is_opened = PTHREAD_ONCE_INIT;

/* Contexts that nobody uses, each 100 KB or so: as many as threads of libuv's pool. */
static _Atomic(ZSTD_DCtx *) kept[kept_max];

/*
 * Nobody else's functions of these names may come between those of the library, which call each other: Node may have a
 * zstd of another version.
 */
static void *open_alone(const char *name) {
#if defined(RTLD_DEEPBIND) && !defined(__SANITIZE_ADDRESS__)
  return dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
#else
  return dlsym(RTLD_DEFAULT, "ZSTD_decompressDCtx") == NULL ? dlopen(name, RTLD_NOW | RTLD_LOCAL) : NULL;
#endif
}

/* POSIX has it that an object and a function have addresses of one kind; C does not. */
static bool find(void *handle, const char *name, void *function) {
  void **place = function;
  *place = dlsym(handle, name);
  return *place != NULL;
}

static bool is_complete(void *handle) {
  return find(handle, "ZSTD_versionNumber", &library.version_number) &&
         find(handle, "ZSTD_createDCtx", &library.create_context) &&
         find(handle, "ZSTD_freeDCtx", &library.free_context) &&
         find(handle, "ZSTD_decompressDCtx", &library.decompress) &&
         find(handle, "ZSTD_isError", &library.is_error) && find(handle, "ZSTD_getErrorName", &library.error_name);
}

/* It stays open as long as the process runs. */
static void open_library(void) {
  void *handle = open_alone("libzstd.so.1");
  if (handle == NULL) return;
  if (is_complete(handle)) {
    const unsigned version = library.version_number();
    is_usable = version >= oldest_version && version < next_major_version;
  }
  if (!is_usable) (void)dlclose(handle);
}

static ZSTD_DCtx *take_context(void) {
  for (size_t i = 0; i < kept_max; i += 1) {
    ZSTD_DCtx *context = atomic_exchange(&kept[i], NULL);
    if (context != NULL) return context;
  }
  return library.create_context();
}

static void keep_context(ZSTD_DCtx *context) {
  for (size_t i = 0; i < kept_max && context != NULL; i += 1) context = atomic_exchange(&kept[i], context);
  if (context != NULL) (void)library.free_context(context);
}

enum wmbt_unpacking wmbt_system_unpack(uint8_t *target, size_t target_bytes, const uint8_t *frame, size_t frame_bytes,
                                       const char **fault) {
  (void)pthread_once(&is_opened, open_library);
  ZSTD_DCtx *context = is_usable ? take_context() : NULL;
  if (context == NULL) return wmbt_not_unpacked;
  const size_t result = library.decompress(context, target, target_bytes, frame, frame_bytes);
  const bool is_error = library.is_error(result) != 0;
  if (is_error) *fault = library.error_name(result);
  else if (result != target_bytes) *fault = "it holds fewer bytes";
  keep_context(context);
  return is_error || result != target_bytes ? wmbt_damaged : wmbt_unpacked;
}

#else

enum wmbt_unpacking wmbt_system_unpack(uint8_t *target, size_t target_bytes, const uint8_t *frame, size_t frame_bytes,
                                       const char **fault) {
  (void)target, (void)target_bytes, (void)frame, (void)frame_bytes, (void)fault;
  return wmbt_not_unpacked;
}

#endif
