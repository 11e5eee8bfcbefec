/* Files that several processes map. Linux only: elsewhere the functions say ENOTSUP. */
#define _GNU_SOURCE

#include "shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../src/shared/shared-life.h"
#include "../src/shared/shared-room.h"
#include "arguments.h"

struct file_range {
  int descriptor;
  off_t start;
  off_t length;
};

/* The first three arguments: descriptor, start, length. */
static bool read_range(napi_env env, napi_value arguments[wmbt_arguments_max], struct file_range *range) {
  uint32_t descriptor;
  double start, length;
  if (!wmbt_read_uint32(env, arguments[0], &descriptor) || !wmbt_read_size(env, arguments[1], &start) ||
      !wmbt_read_size(env, arguments[2], &length)) {
    return false;
  }
  *range = (struct file_range){(int)descriptor, (off_t)start, (off_t)length};
  return true;
}

struct mapping {
  void *start;
  size_t length;
  /* Is told when the mapping ends, while somebody wants to know. */
  bool *has_ended;
};

static void unmap(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  struct mapping *mapping = hint;
  if (mapping->has_ended != NULL) *mapping->has_ended = true;
  munmap(mapping->start, mapping->length);
  free(mapping);
}

/* mapFile(descriptor, length, isWritable): the file as an ArrayBuffer, which unmaps it when it is collected. */
napi_value wmbt_node_map_file(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max], buffer;
  uint32_t descriptor;
  double length;
  bool is_writable;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (!wmbt_read_uint32(env, arguments[0], &descriptor) || !wmbt_read_size(env, arguments[1], &length)) return NULL;
  if (!wmbt_read_boolean(env, arguments[2], &is_writable)) return NULL;
  struct mapping *mapping = malloc(sizeof *mapping);
  if (mapping == NULL) return wmbt_throw_system_error(env, "malloc", ENOMEM);
  mapping->length = (size_t)length;
  const int protection = is_writable ? PROT_READ | PROT_WRITE : PROT_READ;
  mapping->start = wmbt_room_map((int)descriptor, mapping->length, protection);
  if (mapping->start == MAP_FAILED) {
    const int fault = errno;
    free(mapping);
    return wmbt_throw_system_error(env, "mmap", fault);
  }
  /* A child that the program forks has no business there, and no hazards of its own. */
#ifdef MADV_DONTFORK
  madvise(mapping->start, mapping->length, MADV_DONTFORK);
#endif
  bool has_ended = false;
  mapping->has_ended = &has_ended;
  if (napi_create_external_arraybuffer(env, mapping->start, mapping->length, unmap, mapping, &buffer) == napi_ok) {
    mapping->has_ended = NULL;
    return buffer;
  }
  /* Depending on why it failed, Node has ended the mapping already. */
  if (!has_ended) unmap(env, mapping->start, mapping);
  napi_throw_error(env, "ENOTSUP", "ENOTSUP: this Node takes no memory from outside");
  return NULL;
}

/* unmap(buffer): ends what mapFile began now, and not when the buffer is collected; it has no bytes then. */
napi_value wmbt_node_unmap(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (napi_detach_arraybuffer(env, arguments[0]) != napi_ok) {
    napi_throw_type_error(env, NULL, "a buffer of mapFile was expected");
  }
  return NULL;
}

/*
 * mapOver(memory, descriptor): puts the file's pages in the place of the memory's, which is whole pages that
 * were mapped for it alone. Threads that share the memory share the file from then on.
 */
napi_value wmbt_node_map_over(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct wmbt_bytes memory;
  uint32_t descriptor;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (!wmbt_read_bytes(env, arguments[0], &memory) || !wmbt_read_uint32(env, arguments[1], &descriptor)) return NULL;
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  if ((uintptr_t)memory.data % page != 0 || memory.length % page != 0) {
    napi_throw_range_error(env, NULL, "a file is mapped over whole pages");
    return NULL;
  }
  const int flags = MAP_SHARED | MAP_FIXED;
  if (mmap(memory.data, memory.length, PROT_READ | PROT_WRITE, flags, (int)descriptor, 0) == MAP_FAILED) {
    return wmbt_throw_system_error(env, "mmap", errno);
  }
  return NULL;
}

/* beginLife(descriptor): shows in the file of an index that this thread lives, until endLife is given what it gave. */
napi_value wmbt_node_begin_life(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max], token;
  uint32_t descriptor;
  if (!wmbt_read_arguments(env, info, arguments) || !wmbt_read_uint32(env, arguments[0], &descriptor)) return NULL;
  struct wmbt_life *life = wmbt_life_begin((int)descriptor);
  if (life == NULL) return wmbt_throw_system_error(env, "mmap", errno);
  /* Without an end it lasts as long as the thread, whoever forgets the token. */
  if (napi_create_external(env, life, NULL, NULL, &token) == napi_ok) return token;
  wmbt_life_end(life);
  napi_throw_error(env, NULL, "there is no memory for a token");
  return NULL;
}

/* endLife(token), once, on the thread that began it. */
napi_value wmbt_node_end_life(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  void *life = NULL;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (napi_get_value_external(env, arguments[0], &life) != napi_ok || life == NULL) {
    napi_throw_type_error(env, NULL, "a token of beginLife was expected");
    return NULL;
  }
  wmbt_life_end(life);
  return NULL;
}

#if defined(__linux__)

/* reserve(descriptor, start, length): gives the range memory of its own; false when there is none left. */
napi_value wmbt_node_reserve(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct file_range range;
  if (!wmbt_read_arguments(env, info, arguments) || !read_range(env, arguments, &range)) return NULL;
  const int fault = wmbt_room_reserve(range.descriptor, range.start, range.length);
  if (fault != 0 && fault != ENOSPC && fault != ENOMEM) return wmbt_throw_system_error(env, "posix_fallocate", fault);
  return wmbt_boolean(env, fault == 0);
}

/* giveBack(descriptor, start, length): lets go of the range's memory; the file keeps its length. */
napi_value wmbt_node_give_back(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct file_range range;
  if (!wmbt_read_arguments(env, info, arguments) || !read_range(env, arguments, &range)) return NULL;
  const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (fallocate(range.descriptor, mode, range.start, range.length) == 0) return NULL;
  return wmbt_throw_system_error(env, "fallocate", errno);
}

static struct flock lock_of(const struct file_range *range, short type) {
  return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = range->start, .l_len = range->length};
}

/* lockRange(descriptor, start, length): true when this open file has the range now, false when another has it. */
napi_value wmbt_node_lock_range(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct file_range range;
  if (!wmbt_read_arguments(env, info, arguments) || !read_range(env, arguments, &range)) return NULL;
  struct flock lock = lock_of(&range, F_WRLCK);
  const int result = fcntl(range.descriptor, F_OFD_SETLK, &lock);
  if (result != 0 && errno != EAGAIN && errno != EACCES) return wmbt_throw_system_error(env, "fcntl", errno);
  return wmbt_boolean(env, result == 0);
}

/* isRangeLocked(descriptor, start, length): true when another open file has a part of the range. */
napi_value wmbt_node_is_range_locked(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct file_range range;
  if (!wmbt_read_arguments(env, info, arguments) || !read_range(env, arguments, &range)) return NULL;
  struct flock lock = lock_of(&range, F_WRLCK);
  if (fcntl(range.descriptor, F_OFD_GETLK, &lock) != 0) return wmbt_throw_system_error(env, "fcntl", errno);
  return wmbt_boolean(env, lock.l_type != F_UNLCK);
}

napi_value wmbt_node_unlock_range(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct file_range range;
  if (!wmbt_read_arguments(env, info, arguments) || !read_range(env, arguments, &range)) return NULL;
  struct flock lock = lock_of(&range, F_UNLCK);
  if (fcntl(range.descriptor, F_OFD_SETLK, &lock) == 0) return NULL;
  return wmbt_throw_system_error(env, "fcntl", errno);
}

#else

static napi_value not_here(napi_env env) { return wmbt_throw_system_error(env, "shared memory", ENOTSUP); }

napi_value wmbt_node_reserve(napi_env env, napi_callback_info info) { return (void)info, not_here(env); }
napi_value wmbt_node_give_back(napi_env env, napi_callback_info info) { return (void)info, not_here(env); }
napi_value wmbt_node_lock_range(napi_env env, napi_callback_info info) { return (void)info, not_here(env); }
napi_value wmbt_node_is_range_locked(napi_env env, napi_callback_info info) { return (void)info, not_here(env); }
napi_value wmbt_node_unlock_range(napi_env env, napi_callback_info info) { return (void)info, not_here(env); }

#endif
