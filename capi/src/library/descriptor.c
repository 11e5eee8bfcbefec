#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

int wmbt_descriptor_lift(int fd) {
  if (fd < 0 || fd > STDERR_FILENO) return fd;
  const int lifted = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  const int error = errno;
  (void)close(fd);
  errno = error;
  return lifted;
}

struct wmbt_descriptor wmbt_descriptor_of(int fd) {
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0) return (struct wmbt_descriptor){.fd = -1};
  return (struct wmbt_descriptor){fd, status.st_dev, status.st_ino};
}

bool wmbt_descriptor_is_ours(const struct wmbt_descriptor *descriptor) {
  struct stat status;
  if (descriptor->fd < 0 || fstat(descriptor->fd, &status) != 0) return false;
  return status.st_dev == descriptor->device && status.st_ino == descriptor->file;
}

int wmbt_descriptor_look(int fd) {
  struct pollfd one = {.fd = fd, .events = POLLIN};
  int count;
  do count = poll(&one, 1, 0);
  while (count < 0 && (errno == EINTR || errno == EAGAIN));
  return count;
}

void wmbt_descriptor_close(struct wmbt_descriptor *descriptor) {
  if (wmbt_descriptor_is_ours(descriptor)) (void)close(descriptor->fd);
  descriptor->fd = -1;
}
