/* How a connection comes to stand. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cancel.h"
#include "clock.h"
#include "connection.h"

/* Pause between two looks at a Unix socket whose queue is full: there is nothing to poll. */
enum { full_queue_pause_ms = 5 };
/* What an address has at least before the next one is tried, over all calls: round trips on earth are shorter. */
enum { address_turn_ms = 250 };

struct wmbt_connection *wmbt_connection_new(const struct wmbt_target *target) {
  struct wmbt_connection *connection = malloc(sizeof *connection);
  if (connection == NULL) return NULL;
  /* All but the buffer, which is written before it is read. */
  (void)memset(connection, 0, offsetof(struct wmbt_connection, buffer));
  connection->fd = -1;
  connection->made.fd = -1;
  connection->target = *target;
  connection->began_ms = connection->heard_ms = wmbt_now_ms();
  connection->next_id = 1;
  return connection;
}

/* A socket that never blocks, is closed on exec and raises no signal; -1 with errno. */
static int open_socket(int family) {
#if defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
  const int fd = wmbt_descriptor_lift(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
#else
  const int fd = wmbt_descriptor_lift(socket(family, SOCK_STREAM, 0));
  if (fd >= 0) {
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  }
#endif
  if (fd < 0) return fd;
  const int on = 1;
#ifdef SO_NOSIGPIPE
  (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
  /* Small calls do not wait for the answer to the one before. A Unix socket has no such option. */
  if (family != AF_UNIX) (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

static bool fail_unreached(struct wmbt_failure *failure, int error) {
  char why[128];
  if (strerror_r(error, why, sizeof why) != 0) (void)memcpy(why, "unknown error", sizeof "unknown error");
  return wmbt_fail(failure, wmbt_unavailable, "unavailable: the daemon cannot be reached: %s", why);
}

static bool fail_slow(struct wmbt_failure *failure) {
  return wmbt_fail(failure, wmbt_expired, "unavailable: the daemon is away: no connection in time");
}

/* Waits for the socket; gives errno, 0 when it is connected, or -1 when time or the call is over. */
static int await_connection(int fd, int64_t deadline_ms) {
  for (;;) {
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    if (wmbt_cancel_is_set()) return -1;
    const int count = poll(&one, 1, wmbt_cancel_wait_ms(wmbt_left_ms(deadline_ms)));
    if (count > 0) break;
    if (count < 0 && errno != EINTR && errno != EAGAIN) return errno;
    if (wmbt_left_ms(deadline_ms) == 0) return -1;
  }
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

/* One that is silent leaves the others their parts of the time. */
static void begin_turn(struct wmbt_connection *connection, int64_t deadline_ms) {
  const int64_t left_ms = wmbt_left_ms(deadline_ms);
  const int64_t part_ms = left_ms / (int64_t)(connection->target.count - connection->addresses_tried);
  connection->turn_ends_ms = wmbt_now_ms() + (part_ms > address_turn_ms ? part_ms : address_turn_ms);
}

/* Begins with the next address; gives errno, 0 when it is connected, EINPROGRESS when it may be. */
static int begin(struct wmbt_connection *connection, int64_t deadline_ms) {
  const struct wmbt_address *address = &connection->target.addresses[connection->addresses_tried];
  begin_turn(connection, deadline_ms);
  connection->fd = open_socket(address->socket.ss_family);
  if (connection->fd < 0) return errno;
  connection->made = wmbt_descriptor_of(connection->fd);
  if (connect(connection->fd, (const struct sockaddr *)&address->socket, address->length) == 0) return 0;
  /* A call that a signal broke off goes on in the system. */
  return errno == EINTR ? EINPROGRESS : errno;
}

static void close_socket(struct wmbt_connection *connection) {
  wmbt_descriptor_close(&connection->made);
  connection->fd = -1;
}

/* The address is of no use: on to the next one. */
static void give_up_address(struct wmbt_connection *connection) {
  close_socket(connection);
  connection->addresses_tried += 1;
}

/* Waits for the address, no longer than its turn when there are others; a silent one gives ETIMEDOUT then. */
static int await_address(const struct wmbt_connection *connection, int64_t deadline_ms) {
  const bool is_last = connection->addresses_tried + 1 == connection->target.count;
  if (is_last || connection->turn_ends_ms >= deadline_ms) return await_connection(connection->fd, deadline_ms);
  const int error = await_connection(connection->fd, connection->turn_ends_ms);
  return error < 0 ? ETIMEDOUT : error;
}

bool wmbt_connection_reach(struct wmbt_connection *connection, int64_t deadline_ms, struct wmbt_failure *failure) {
  int error = EINVAL;
  while (!connection->is_reached && connection->addresses_tried < connection->target.count) {
    error = connection->fd < 0 ? begin(connection, deadline_ms) : EINPROGRESS;
    if (error == EINPROGRESS) error = await_address(connection, deadline_ms);
    if (error < 0) return wmbt_cancel_is_set() ? wmbt_cancel_fail(failure) : fail_slow(failure);
    connection->is_reached = error == 0;
    if (error == 0) break;
    if (error != EAGAIN) {
      give_up_address(connection);
      continue;
    }
    /* The daemon is there, and many others knock. */
    close_socket(connection);
    const int left = wmbt_left_ms(deadline_ms);
    if (left == 0) return fail_slow(failure);
    (void)poll(NULL, 0, left < full_queue_pause_ms ? left : full_queue_pause_ms);
  }
  return connection->is_reached ? true : fail_unreached(failure, error);
}

bool wmbt_connection_greet(struct wmbt_connection *connection, const struct wmbt_hello *hello, int64_t deadline_ms,
                           struct wmbt_failure *failure) {
  if (!connection->has_sent_hello) {
    struct wmbt_writer body = {0};
    wmbt_encode_hello(&body, hello);
    /* It is short enough for the socket to take it whole; until `welcome` nothing else is known. */
    connection->welcome.body_bytes_max = (uint32_t)body.length;
    const bool is_sent =
        wmbt_connection_send_message(connection, wmbt_frame_hello, 0, &body, wmbt_now_ms() + 1, failure);
    wmbt_writer_free(&body);
    if (!is_sent) {
      if (failure->kind == wmbt_expired) failure->kind = wmbt_lost;
      return false;
    }
    connection->has_sent_hello = true;
  }
  struct wmbt_frame frame;
  if (!wmbt_connection_receive(connection, 0, deadline_ms, &frame, failure)) return false;
  if (frame.type == wmbt_frame_welcome) return wmbt_decode_welcome(frame.body, &connection->welcome, failure);
  return wmbt_fail(failure, wmbt_lost, "hello is not answered by a frame of type %u", frame.type);
}
