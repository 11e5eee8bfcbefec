/* A name with several addresses, of which the first one neither answers nor refuses. */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/library/clock.h"
#include "../../src/library/connection.h"
#include "hostile-peer.h"

/* Enough to fill the queue of a socket that takes one at a time. */
enum { knocking_count = 4 };

struct door {
  int fd;
  struct wmbt_address address;
};

static struct door new_door(int backlog) {
  struct door door = {.address.length = sizeof(struct sockaddr_in)};
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  (void)memcpy(&door.address.socket, &any, sizeof any);
  struct sockaddr *socket_address = (struct sockaddr *)&door.address.socket;
  door.fd = socket(AF_INET, SOCK_STREAM, 0);
  const bool listens = door.fd >= 0 && bind(door.fd, socket_address, door.address.length) == 0 &&
                       listen(door.fd, backlog) == 0 &&
                       getsockname(door.fd, socket_address, &door.address.length) == 0;
  if (!listens) exit(2);
  return door;
}

/* Connections that nobody accepts fill the queue; what comes then is dropped without a word. */
static void fill(const struct door *door, int knocking[knocking_count]) {
  for (unsigned i = 0; i < knocking_count; i += 1) {
    knocking[i] = socket(AF_INET, SOCK_STREAM, 0);
    if (knocking[i] < 0 || fcntl(knocking[i], F_SETFL, O_NONBLOCK) != 0) exit(2);
    (void)connect(knocking[i], (const struct sockaddr *)&door->address.socket, door->address.length);
  }
  (void)usleep(20000);
}

void silent_first_address(void) {
  const struct door silent = new_door(0), open = new_door(8);
  int knocking[knocking_count];
  fill(&silent, knocking);
  const struct wmbt_target both = {2, {silent.address, open.address}};
  const struct wmbt_target alone = {1, {silent.address}};
  struct wmbt_failure failure;

  struct wmbt_connection *connection = wmbt_connection_new(&alone);
  if (connection == NULL) exit(2);
  expect_of_calls(!wmbt_connection_reach(connection, wmbt_now_ms() + 300, &failure), "the door is not silent");
  wmbt_connection_free(connection);

  /* Two seconds for two addresses. */
  connection = wmbt_connection_new(&both);
  if (connection == NULL) exit(2);
  int64_t began = wmbt_now_ms();
  expect_of_calls(wmbt_connection_reach(connection, began + 2000, &failure), "the second address is not tried");
  const int64_t took = wmbt_now_ms() - began;
  expect_of_calls(took >= 900 && took < 1900, "the first address has not half of the time");
  wmbt_connection_free(connection);

  /* Calls of 20 ms go on with one connection: each address has a quarter of a second. */
  connection = wmbt_connection_new(&both);
  if (connection == NULL) exit(2);
  began = wmbt_now_ms();
  bool is_reached = false;
  unsigned calls = 0;
  for (; !is_reached && wmbt_now_ms() < began + 20000; calls += 1) {
    is_reached = wmbt_connection_reach(connection, wmbt_now_ms() + 20, &failure);
  }
  expect_of_calls(is_reached && calls > 3, "short calls do not come to the second address");
  wmbt_connection_free(connection);
  for (unsigned i = 0; i < knocking_count; i += 1) (void)close(knocking[i]);
  (void)close(silent.fd);
  (void)close(open.fd);
}
