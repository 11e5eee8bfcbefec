/* For sessions, and for what a file action of the system closes. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Above what the child's actions write to, and above what an engine may put in the place of its own input and output.
 */
enum { lowest_descriptor = 10 };

#if defined(__GLIBC__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
#define HAS_CLOSE_FROM 1
#endif
#if __GLIBC_PREREQ(2, 29)
#define HAS_CHANGE_DIRECTORY 1
#endif
#endif

/* A pair of sockets that are closed on exec. */
static int make_pair(int ends[2]) {
#ifdef SOCK_CLOEXEC
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return errno;
#else
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return errno;
  (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
#endif
  int error = 0;
  for (int i = 0; i < 2; i += 1) {
    const int high = fcntl(ends[i], F_DUPFD_CLOEXEC, lowest_descriptor);
    if (high < 0) error = errno;
    (void)close(ends[i]);
    ends[i] = high;
  }
  if (error == 0) return 0;
  for (int i = 0; i < 2; i += 1) {
    if (ends[i] >= 0) (void)close(ends[i]);
  }
  return error;
}

/* What the child finds open: nothing to read, nowhere to write, and its end of the socket. */
static int add_actions(posix_spawn_file_actions_t *actions, int end) {
  static const char nowhere[] = "/dev/null";
  int error = posix_spawn_file_actions_addopen(actions, 0, nowhere, O_RDONLY, 0);
  for (int fd = 1; fd < wmbt_owner_descriptor && error == 0; fd += 1) {
    error = posix_spawn_file_actions_addopen(actions, fd, nowhere, O_WRONLY, 0);
  }
  if (error == 0) error = posix_spawn_file_actions_adddup2(actions, end, wmbt_owner_descriptor);
#ifdef HAS_CLOSE_FROM
  /* Engines do not mark all they have as closed on exec. */
  if (error == 0) error = posix_spawn_file_actions_addclosefrom_np(actions, wmbt_owner_descriptor + 1);
#endif
#ifdef HAS_CHANGE_DIRECTORY
  /* The engine's may be removed, or be in the way of an unmount. */
  if (error == 0) error = posix_spawn_file_actions_addchdir_np(actions, "/");
#endif
  return error;
}

/* No signal is blocked, and none is ignored or handled, whatever the engine does with them. */
static int set_attributes(posix_spawnattr_t *attributes) {
  sigset_t none, all;
  (void)sigemptyset(&none);
  (void)sigfillset(&all);
  (void)sigdelset(&all, SIGKILL);
  (void)sigdelset(&all, SIGSTOP);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
#ifdef POSIX_SPAWN_SETSID
  flags |= POSIX_SPAWN_SETSID;
#else
  flags |= POSIX_SPAWN_SETPGROUP;
#endif
#ifdef POSIX_SPAWN_CLOEXEC_DEFAULT
  flags |= POSIX_SPAWN_CLOEXEC_DEFAULT;
#endif
  int error = posix_spawnattr_setsigmask(attributes, &none);
  if (error == 0) error = posix_spawnattr_setsigdefault(attributes, &all);
  return error == 0 ? posix_spawnattr_setflags(attributes, flags) : error;
}

/* An argument in the form that the system's call has for it; it changes none. */
static char *argument_of(const char *text) {
  union {
    const char *seen;
    char *passed;
  } const argument = {text};
  return argument.passed;
}

static int spawn_with(const struct wmbt_program *program, posix_spawn_file_actions_t *actions,
                      posix_spawnattr_t *attributes, pid_t *pid) {
  char *const remote = program->remote[0] == '\0' ? NULL : argument_of(program->remote);
  char *const arguments[] = {argument_of(program->node), argument_of(program->store), remote, NULL};
  return posix_spawn(pid, program->node, actions, attributes, arguments, program->environment);
}

int wmbt_spawn(const struct wmbt_program *program, struct wmbt_descriptor *control, pid_t *pid) {
  int ends[2];
  int error = make_pair(ends);
  if (error != 0) return error;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  error = posix_spawn_file_actions_init(&actions);
  if (error == 0) {
    error = posix_spawnattr_init(&attributes);
    if (error == 0) {
      error = add_actions(&actions, ends[1]);
      if (error == 0) error = set_attributes(&attributes);
      if (error == 0) error = spawn_with(program, &actions, &attributes, pid);
      (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
  }
  (void)close(ends[1]);
  if (error != 0) {
    (void)close(ends[0]);
    return error;
  }
  (void)fcntl(ends[0], F_SETFL, fcntl(ends[0], F_GETFL) | O_NONBLOCK);
  *control = wmbt_descriptor_of(ends[0]);
  return 0;
}
