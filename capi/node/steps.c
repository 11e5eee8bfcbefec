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
#include <stdio.h>
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
  /* The step that comes next, as an offset in the program. */
  size_t at;
  bool is_over;
  int32_t done;
  int fault;
  /* The file that a step is writing, between its two halves. */
  int descriptor;
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

/* Has the system begin to write, so that the files of other lists are in the same commit of its journal. */
static void begin_writing(int descriptor) {
#if defined(__linux__)
  /* A hint: the sync that follows does the work where this cannot. */
  (void)sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WRITE);
#else
  (void)descriptor;
#endif
}

static int write_new(struct list *list, const char *path, bool is_alone) {
  list->descriptor = open_again(path, O_WRONLY | O_CREAT | O_EXCL);
  if (list->descriptor < 0) return errno;
  const int fault = write_all(list->descriptor, list->parts, list->part_count);
  if (fault == 0 && !is_alone) begin_writing(list->descriptor);
  return fault;
}

/* The second half of a step that writes, also where the first failed with `fault`. */
static int sync_written(struct list *list, int fault) {
  if (list->descriptor < 0) return fault;
  if (fault == 0) fault = is_stopped(list) ? ECANCELED : sync_data(list->descriptor);
  const int fault_of_close = close_once(list->descriptor);
  list->descriptor = -1;
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

static int carry_out_step(struct list *list, const char *step, const char *second, bool is_alone) {
  const char *const path = step + 1;
  switch (*step) {
    case 'a':
      return expect_absent(path);
    case 'w':
      return write_new(list, path, is_alone);
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

/* Begins the next step, and does all of it unless it writes. */
static void begin_step(struct list *list, bool is_alone) {
  const char *const end = list->program + list->length;
  const char *const step = list->program + list->at;
  if (step == end || is_stopped(list)) {
    list->is_over = true;
    return;
  }
  const char *const second = after_text(step + 1, end);
  const char *const next = second != NULL && has_two_paths(*step) ? after_text(second, end) : second;
  list->fault = next == NULL ? EINVAL : carry_out_step(list, step, second, is_alone);
  if (next != NULL) list->at = (size_t)(next - list->program);
}

static void end_step(struct list *list) {
  list->fault = sync_written(list, list->fault);
  if (list->fault == 0) list->done += 1;
  else list->is_over = true;
}

/*
 * Step by step, and each step of all lists: when the files of several are written before the first is synced, one
 * commit of the system's journal serves them all.
 */
static void carry_out(napi_env env, void *data) {
  (void)env;
  struct work *work = data;
  const bool is_alone = work->count == 1;
  bool is_over = false;
  while (!is_over) {
    is_over = true;
    for (uint32_t i = 0; i < work->count; i += 1) {
      if (!work->lists[i].is_over) begin_step(&work->lists[i], is_alone);
    }
    for (uint32_t i = 0; i < work->count; i += 1) {
      if (work->lists[i].is_over) continue;
      end_step(&work->lists[i]);
      is_over = is_over && work->lists[i].is_over;
    }
  }
  for (uint32_t i = 0; i < work->count; i += 1) {
    work->lists[i].state[state_done] = work->lists[i].done;
    work->lists[i].state[state_fault] = work->lists[i].fault;
  }
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
    list->descriptor = -1;
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
 * carryOut(programs, parts, state): a promise that resolves when a thread has carried out every list, all of
 * them step by step. A list ends with the first step that fails, and before a step when the first of its three numbers
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
