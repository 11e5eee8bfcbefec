/*
 * Steps on files, several lists of them in one hand-over to a thread of libuv's pool. To hand over costs the
 * thread of JavaScript more than any of these steps costs the system.
 */
#define _GNU_SOURCE

#include "steps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "arguments.h"

enum {
  lists_max = 256,
  parts_max = 1024,
  /* Of one list: each path of the system has 4096 at most. */
  program_bytes_max = 1024 * 1024,
  vectors_per_write_max = 512,
};

/* Numbers of the state that each list has in the array of its work. */
enum { state_stop, state_done, state_fault, state_numbers };

/* One list: a text of steps, each a letter and its paths, all with a terminator; and the bytes to write. */
struct list {
  char *program;
  size_t length;
  struct iovec *parts;
  size_t part_count;
  /* Memory of the caller's typed array. He may set the first number at any time, to have no more steps begun. */
  int32_t *state;
};

struct work {
  napi_async_work async;
  napi_deferred deferred;
  /* The parts and the state, which stay until the thread is done with them. */
  napi_ref parts;
  napi_ref state;
  uint32_t count;
  struct list lists[];
};

static bool is_stopped(const struct list *list) {
  return __atomic_load_n(&list->state[state_stop], __ATOMIC_ACQUIRE) != 0;
}

/* Zero, or the number of the error of a call that gives -1 then. */
static int fault_of(int result) {
  return result < 0 ? errno : 0;
}

static int open_again(const char *path, int flags) {
  int descriptor;
  do {
    descriptor = open(path, flags | O_CLOEXEC, 0600);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

/* Linux has closed the file also where it says EINTR. */
static int close_once(int descriptor) {
  const int fault = fault_of(close(descriptor));
  return fault == EINTR || fault == EINPROGRESS ? 0 : fault;
}

/* The bytes of the file, and what is needed to read them back, on the disk. */
static int sync_data(int descriptor) {
  int result;
  do {
#if defined(__APPLE__)
    result = fcntl(descriptor, F_FULLFSYNC);
    if (result < 0 && errno != EINTR) result = fsync(descriptor);
#else
    result = fdatasync(descriptor);
#endif
  } while (result < 0 && errno == EINTR);
  return fault_of(result);
}

/* Takes `written` bytes away from the front of the vectors. */
static void advance(struct iovec **vectors, size_t *count, size_t written) {
  while (*count > 0 && written >= (*vectors)->iov_len) {
    written -= (*vectors)->iov_len;
    *vectors += 1;
    *count -= 1;
  }
  if (*count == 0) return;
  (*vectors)->iov_base = (char *)(*vectors)->iov_base + written;
  (*vectors)->iov_len -= written;
}

static int write_all(int descriptor, struct iovec *vectors, size_t count) {
  advance(&vectors, &count, 0);
  while (count > 0) {
    const int some = count < vectors_per_write_max ? (int)count : vectors_per_write_max;
    const ssize_t written = writev(descriptor, vectors, some);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    if (written == 0) return EIO;
    advance(&vectors, &count, (size_t)written);
  }
  return 0;
}

static int write_new(const struct list *list, const char *path) {
  const int descriptor = open_again(path, O_WRONLY | O_CREAT | O_EXCL);
  if (descriptor < 0) return errno;
  int fault = write_all(descriptor, list->parts, list->part_count);
  if (fault == 0) fault = is_stopped(list) ? ECANCELED : sync_data(descriptor);
  const int fault_of_close = close_once(descriptor);
  return fault == 0 ? fault_of_close : fault;
}

static int sync_directory(const char *path) {
  const int descriptor = open_again(path, O_RDONLY);
  if (descriptor < 0) return errno;
  int result;
  do {
    result = fsync(descriptor);
  } while (result < 0 && errno == EINTR);
  const int fault = fault_of(result);
  const int fault_of_close = close_once(descriptor);
  return fault == 0 ? fault_of_close : fault;
}

static bool is_absence(int fault) {
  return fault == ENOENT || fault == ENOTDIR;
}

static int expect_absent(const char *path) {
  struct stat status;
  const int fault = fault_of(lstat(path, &status));
  if (fault == 0) return EEXIST;
  return is_absence(fault) ? 0 : fault;
}

static int remove_file(const char *path) {
  const int fault = fault_of(unlink(path));
  return is_absence(fault) ? 0 : fault;
}

/* The letters are those of src/platform/native-file-steps.ts. */
static bool has_two_paths(char letter) {
  return letter == 'l' || letter == 'm';
}

static int carry_out_step(const struct list *list, char letter, const char *path, const char *second) {
  switch (letter) {
    case 'a':
      return expect_absent(path);
    case 'w':
      return write_new(list, path);
    case 'l':
      return fault_of(link(path, second));
    case 'm':
      return fault_of(rename(path, second));
    case 's':
      return sync_directory(path);
    case 'r':
      return remove_file(path);
    default:
      return ENOSYS;
  }
}

/* The text after the next terminator; NULL where there is none. */
static const char *after_text(const char *text, const char *end) {
  const char *terminator = memchr(text, '\0', (size_t)(end - text));
  return terminator == NULL ? NULL : terminator + 1;
}

static void carry_out_list(const struct list *list) {
  const char *at = list->program;
  const char *const end = at + list->length;
  int32_t done = 0;
  int fault = 0;
  while (at < end && !is_stopped(list)) {
    const char letter = *at;
    const char *const path = at + 1;
    const char *const second = after_text(path, end);
    at = second != NULL && has_two_paths(letter) ? after_text(second, end) : second;
    fault = at == NULL ? EINVAL : carry_out_step(list, letter, path, second);
    if (fault != 0) break;
    done += 1;
  }
  list->state[state_done] = done;
  list->state[state_fault] = fault;
}

static void carry_out(napi_env env, void *data) {
  (void)env;
  const struct work *work = data;
  for (uint32_t i = 0; i < work->count; i += 1) carry_out_list(&work->lists[i]);
}

static void release(napi_env env, struct work *work) {
  if (work->parts != NULL) napi_delete_reference(env, work->parts);
  if (work->state != NULL) napi_delete_reference(env, work->state);
  if (work->async != NULL) napi_delete_async_work(env, work->async);
  for (uint32_t i = 0; i < work->count; i += 1) {
    free(work->lists[i].program);
    free(work->lists[i].parts);
  }
  free(work);
}

/* The thread is done, or the process ends and it never began: then nobody waits any more. */
static void complete(napi_env env, napi_status status, void *data) {
  struct work *work = data;
  napi_value undefined;
  if (status == napi_ok && napi_get_undefined(env, &undefined) == napi_ok) {
    napi_resolve_deferred(env, work->deferred, undefined);
  }
  release(env, work);
}

static bool throw_out_of_memory(napi_env env) {
  napi_throw_error(env, "ENOMEM", "no memory for steps on files");
  return false;
}

static bool read_parts(napi_env env, napi_value value, struct list *list) {
  uint32_t count;
  if (napi_get_array_length(env, value, &count) != napi_ok || count > parts_max) {
    napi_throw_range_error(env, NULL, "parts to write are an array, not longer than 1024");
    return false;
  }
  list->parts = calloc(count + 1, sizeof *list->parts);
  if (list->parts == NULL) return throw_out_of_memory(env);
  list->part_count = count;
  for (uint32_t i = 0; i < count; i += 1) {
    napi_value part;
    struct wmbt_bytes bytes;
    if (napi_get_element(env, value, i, &part) != napi_ok) return false;
    if (!wmbt_read_bytes(env, part, &bytes)) return false;
    list->parts[i] = (struct iovec){bytes.data, bytes.length};
  }
  return true;
}

static bool read_program(napi_env env, napi_value value, struct list *list) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok || length > program_bytes_max) {
    napi_throw_range_error(env, NULL, "steps are a text of at most 1 MiB");
    return false;
  }
  list->program = malloc(length + 1);
  if (list->program == NULL) return throw_out_of_memory(env);
  list->length = length;
  return napi_get_value_string_utf8(env, value, list->program, length + 1, NULL) == napi_ok;
}

static bool read_lists(napi_env env, const napi_value arguments[wmbt_arguments_max], struct work *work) {
  struct wmbt_bytes state;
  if (!wmbt_read_bytes(env, arguments[2], &state)) return false;
  if (state.length != work->count * state_numbers * sizeof(int32_t)) {
    napi_throw_range_error(env, NULL, "each list of steps has three numbers of state");
    return false;
  }
  for (uint32_t i = 0; i < work->count; i += 1) {
    struct list *list = &work->lists[i];
    napi_value program, parts;
    if (napi_get_element(env, arguments[0], i, &program) != napi_ok) return false;
    if (napi_get_element(env, arguments[1], i, &parts) != napi_ok) return false;
    if (!read_program(env, program, list) || !read_parts(env, parts, list)) return false;
    list->state = (int32_t *)(void *)state.data + i * state_numbers;
  }
  return napi_create_reference(env, arguments[1], 1, &work->parts) == napi_ok &&
         napi_create_reference(env, arguments[2], 1, &work->state) == napi_ok;
}

static bool queue(napi_env env, struct work *work, napi_value *promise) {
  napi_value name;
  return napi_create_string_utf8(env, "wombatkv-steps", NAPI_AUTO_LENGTH, &name) == napi_ok &&
         napi_create_async_work(env, NULL, name, carry_out, complete, work, &work->async) == napi_ok &&
         napi_create_promise(env, &work->deferred, promise) == napi_ok &&
         napi_queue_async_work(env, work->async) == napi_ok;
}

/*
 * carryOut(programs, parts, state): a promise that resolves when a thread has carried out every list, one after
 * another. A list ends with the first step that fails, and before a step when the first of its three numbers
 * in `state`, an Int32Array, is not 0. The other two are then how many of its steps were done, and the number of
 * the error. Parts and state must not change hands before.
 */
napi_value wmbt_node_carry_out(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  uint32_t count;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (napi_get_array_length(env, arguments[0], &count) != napi_ok || count > lists_max) {
    napi_throw_range_error(env, NULL, "lists of steps are an array, not longer than 256");
    return NULL;
  }
  struct work *work = calloc(1, sizeof *work + count * sizeof work->lists[0]);
  if (work == NULL) {
    throw_out_of_memory(env);
    return NULL;
  }
  work->count = count;
  napi_value promise;
  if (read_lists(env, arguments, work) && queue(env, work, &promise)) return promise;
  bool is_pending = false;
  napi_is_exception_pending(env, &is_pending);
  if (!is_pending) napi_throw_error(env, NULL, "steps on files cannot be handed to a thread");
  release(env, work);
  return NULL;
}
