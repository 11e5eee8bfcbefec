/*
 * What Node has no call for: locks of files, acknowledging at once, a datagram to a Unix socket, and trimming the heap.
 */
#define _GNU_SOURCE

#include "system.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "arguments.h"

/* lock(descriptor, isShared): true when the open file now has the lock, false when another holds it. */
napi_value wmbt_node_lock(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  uint32_t descriptor;
  bool is_shared;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (!wmbt_read_uint32(env, arguments[0], &descriptor)) return NULL;
  if (!wmbt_read_boolean(env, arguments[1], &is_shared)) return NULL;
  const int kind = is_shared ? LOCK_SH : LOCK_EX;
  int result;
  do {
    result = flock((int)descriptor, kind | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result != 0 && errno != EWOULDBLOCK) return wmbt_throw_system_error(env, "flock", errno);
  return wmbt_boolean(env, result == 0);
}

/*
 * acknowledge(descriptor): what has come over the TCP connection is acknowledged now, and not when there is
 * something to send or 40 ms are over. Nothing where the system has no such call, or the descriptor is none.
 */
napi_value wmbt_node_acknowledge(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  uint32_t descriptor;
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (!wmbt_read_uint32(env, arguments[0], &descriptor)) return NULL;
#if defined(TCP_QUICKACK)
  const int is_on = 1;
  /* A connection that has ended meanwhile has nothing to acknowledge. */
  (void)setsockopt((int)descriptor, IPPROTO_TCP, TCP_QUICKACK, &is_on, sizeof is_on);
#endif
  return NULL;
}

/* A program that another thread starts in between does not inherit it. */
#if !defined(SOCK_CLOEXEC)
#define SOCK_CLOEXEC 0
#endif

/* Never waits: a receiver whose queue is full is an error like any other. */
static int send_datagram(const struct sockaddr_un *address, socklen_t length, const char *text) {
  const int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return errno;
  const ssize_t sent = sendto(descriptor, text, strlen(text), MSG_DONTWAIT, (const struct sockaddr *)address, length);
  const int fault = sent < 0 ? errno : 0;
  close(descriptor);
  return fault;
}

/*
 * notify(address, text): sends the text to the Unix datagram socket. An address that begins with `@` is a name
 * without a file, as the variable NOTIFY_SOCKET has it.
 */
napi_value wmbt_node_notify(napi_env env, napi_callback_info info) {
  napi_value arguments[wmbt_arguments_max];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char text[512];
  if (!wmbt_read_arguments(env, info, arguments)) return NULL;
  if (!wmbt_read_text(env, arguments[0], address.sun_path, sizeof address.sun_path)) return NULL;
  if (!wmbt_read_text(env, arguments[1], text, sizeof text)) return NULL;
  const size_t length = offsetof(struct sockaddr_un, sun_path) + strlen(address.sun_path);
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const int fault = send_datagram(&address, (socklen_t)length, text);
  return fault == 0 ? NULL : wmbt_throw_system_error(env, "sendto", fault);
}

/*
 * trimHeap(): what any thread of the process has freed goes back to the system, page by page. GNU's allocator keeps
 * it otherwise, for each thread apart; of other allocators nothing is asked.
 */
napi_value wmbt_node_trim_heap(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
#if defined(__GLIBC__)
  (void)malloc_trim(0);
#endif
  return NULL;
}
