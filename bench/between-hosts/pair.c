/*
 * The limits T and U: two processes that move bytes over a socket and do nothing else, one thread each.
 *
 *   pair tcp | pair unix PATH
 *
 * Reads lines "get BYTES" and "put BYTES" from its input, and answers each with the nanoseconds that
 * it took. Both ends use memory of their own, which they have touched before.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { memory_bytes = 256 << 20, read_bytes = 1 << 20 };

static char *memory;

static void check(int is_well, const char *what) {
  if (is_well) return;
  perror(what);
  exit(1);
}

static void make_memory(int value) {
  memory = malloc(memory_bytes);
  check(memory != NULL, "malloc");
  memset(memory, value, memory_bytes);
}

static void send_all(int fd, const char *from, size_t bytes) {
  while (bytes > 0) {
    ssize_t count = send(fd, from, bytes, MSG_NOSIGNAL);
    check(count > 0, "send");
    from += count;
    bytes -= (size_t)count;
  }
}

/* Gives 0 when the other end has gone before the first byte. */
static int receive_all(int fd, char *to, size_t bytes) {
  while (bytes > 0) {
    ssize_t count = recv(fd, to, bytes < read_bytes ? bytes : read_bytes, 0);
    if (count == 0) return 0;
    check(count > 0, "recv");
    to += count;
    bytes -= (size_t)count;
  }
  return 1;
}

static void serve(int listener) {
  make_memory(1);
  int fd = accept(listener, NULL, NULL);
  check(fd >= 0, "accept");
  uint64_t order[2];
  while (receive_all(fd, (char *)order, sizeof order)) {
    if (order[0] == 0) send_all(fd, memory, order[1]);
    else if (receive_all(fd, memory, order[1])) send_all(fd, "!", 1);
  }
  exit(0);
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int count, char **arguments) {
  check(count >= 2, "usage: pair tcp | pair unix PATH");
  int is_tcp = strcmp(arguments[1], "tcp") == 0;
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  if (!is_tcp) snprintf(un.sun_path, sizeof un.sun_path, "%s", count > 2 ? arguments[2] : "");
  struct sockaddr *address = is_tcp ? (struct sockaddr *)&in : (struct sockaddr *)&un;
  socklen_t length = is_tcp ? sizeof in : sizeof un;

  int listener = socket(address->sa_family, SOCK_STREAM, 0);
  check(listener >= 0, "socket");
  check(bind(listener, address, length) == 0, "bind");
  check(getsockname(listener, address, &length) == 0, "getsockname");
  check(listen(listener, 1) == 0, "listen");
  pid_t child = fork();
  check(child >= 0, "fork");
  if (child == 0) serve(listener);
  close(listener);

  make_memory(2);
  int fd = socket(address->sa_family, SOCK_STREAM, 0);
  check(fd >= 0 && connect(fd, address, length) == 0, "connect");
  int one = 1;
  if (is_tcp) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);

  char verb[8];
  unsigned long long bytes;
  while (scanf("%7s %llu", verb, &bytes) == 2 && bytes <= memory_bytes) {
    uint64_t order[2] = {strcmp(verb, "put") == 0, bytes};
    uint64_t start = now_ns();
    send_all(fd, (char *)order, sizeof order);
    if (order[0]) send_all(fd, memory, bytes);
    check(receive_all(fd, memory, order[0] ? 1 : bytes), "the other end has gone");
    printf("%llu\n", (unsigned long long)(now_ns() - start));
    fflush(stdout);
  }
  return 0;
}
