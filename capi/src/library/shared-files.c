#if defined(__linux__)
/* Locks that belong to open files instead of processes. */
#define _GNU_SOURCE
#endif

#include "shared-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../shared/shared-room.h"
#include "descriptor.h"

enum { path_max = 4352 };

/* A pipe in its place is opened without waiting, and refused. */
static int open_regular(const char *path, int flags, struct stat *status) {
  const int fd = wmbt_descriptor_lift(open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW));
  if (fd < 0) return -1;
  const bool is_sound = fstat(fd, status) == 0 && S_ISREG(status->st_mode) && status->st_uid == geteuid() &&
                        (status->st_mode & (S_IWGRP | S_IWOTH)) == 0 && status->st_size >= 0;
  if (is_sound) return fd;
  (void)close(fd);
  return -1;
}

int wmbt_shared_file(const char *directory, const char *name, int flags, size_t *length) {
  char path[path_max];
  struct stat status;
  const int written = snprintf(path, sizeof path, "%s/%s", directory, name);
  if (written < 0 || (size_t)written >= sizeof path) return -1;
  const int fd = open_regular(path, flags, &status);
  if (fd >= 0) *length = (size_t)status.st_size;
  return fd;
}

void *wmbt_shared_map(int fd, size_t length, bool is_writable) {
  if (length == 0) return NULL;
  void *memory = wmbt_room_map(fd, length, is_writable ? PROT_READ | PROT_WRITE : PROT_READ);
  return memory == MAP_FAILED ? NULL : memory;
}

void *wmbt_shared_map_file(const char *directory, const char *name, size_t *length) {
  const int fd = wmbt_shared_file(directory, name, O_RDONLY, length);
  if (fd < 0) return NULL;
  void *memory = wmbt_shared_map(fd, *length, false);
  (void)close(fd);
  return memory;
}

bool wmbt_shared_lock(int fd, size_t start, size_t length) {
#if defined(F_OFD_SETLK)
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  lock.l_start = (off_t)start;
  lock.l_len = (off_t)length;
  return fcntl(fd, F_OFD_SETLK, &lock) == 0;
#else
  /* Stores share no memory there. */
  return (void)fd, (void)start, (void)length, false;
#endif
}

bool wmbt_shared_announced(const char *announcement, char *path, size_t size) {
  struct stat status;
  const int fd = open_regular(announcement, O_RDONLY, &status);
  if (fd < 0) return false;
  ssize_t got;
  do {
    got = read(fd, path, size - 1);
  } while (got < 0 && errno == EINTR);
  (void)close(fd);
  if (got <= 0) return false;
  path[got] = '\0';
  const size_t length = strcspn(path, "\r\n");
  path[length] = '\0';
  /* What fills the room may be the beginning of another path. */
  return path[0] == '/' && length < size - 1;
}
