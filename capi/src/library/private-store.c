#include "private-store.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "address.h"
#include "bounds.h"
#include "clock.h"
#include "connection.h"
#include "spawn.h"
#include "thread.h"

enum store_state { store_down, store_starting, store_up };

/* What a process says before it serves: lines, the longest of which holds a failure. */
enum { said_max = 4096 };

struct wmbt_private_store {
  struct wmbt_private_store *next;
  struct wmbt_program program;
  /* Handles that have it. */
  unsigned users;
  enum store_state state;
  /* A thread reads what it says while it starts; the others wait. */
  bool is_attended;
  /* 0: it is not a child of this process, which was forked from its owner. */
  pid_t pid;
  struct wmbt_descriptor control;
  int64_t started_ms, ended_ms;
  /* Processes in a row that ended soon after they were started. */
  unsigned failures;
  uint64_t generation;
  char socket[wmbt_path_max];
  size_t said;
  char text[said_max];
  /* Of the last one that did not come to serve. */
  struct wmbt_failure failure;
};

/* Guards everything here. It is held for moments only. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static struct wmbt_private_store *stores;
static uint64_t generations;
/* Children that were left to themselves without a thread that waits for their end, until that is seen. 0: none. */
static pid_t leaving[WMBT_LEAVING_MAX];

static void before_fork(void) { (void)pthread_mutex_lock(&lock); }
static void after_fork_in_parent(void) { (void)pthread_mutex_unlock(&lock); }

/* The process stays the parent's: while the child holds its end of the socket it would not learn of his end. */
static void after_fork_in_child(void) {
  for (struct wmbt_private_store *store = stores; store != NULL; store = store->next) {
    wmbt_descriptor_close(&store->control);
    store->pid = 0;
    store->is_attended = false;
    if (store->state == store_starting) store->state = store_down;
  }
  (void)memset(leaving, 0, sizeof leaving);
  wmbt_condition_init(&changed);
  (void)pthread_mutex_unlock(&lock);
}

static void prepare(void) {
  wmbt_condition_init(&changed);
  (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* Takes note that a child has ended. An engine may have done so itself, or ignore all of them. */
static bool has_ended(pid_t pid) { return waitpid(pid, NULL, WNOHANG) != 0; }

static void reap(void) {
  for (unsigned i = 0; i < WMBT_LEAVING_MAX; i += 1) {
    if (leaving[i] != 0 && has_ended(leaving[i])) leaving[i] = 0;
  }
}

static void *await_end(void *argument) {
  const pid_t pid = (pid_t)(intptr_t)argument;
  pid_t ended;
  do ended = waitpid(pid, NULL, 0);
  while (ended < 0 && errno == EINTR);
  return NULL;
}

/*
 * Sees to it that the end of a child is taken note of, whenever it comes: else it would stay among the processes of the
 * system, for as long as the engine lives and makes no call.
 */
static void leave_child(pid_t pid) {
  if (has_ended(pid) || wmbt_start_thread(await_end, (void *)(intptr_t)pid)) return;
  unsigned place = 0;
  while (place < WMBT_LEAVING_MAX - 1 && leaving[place] != 0) place += 1;
  leaving[place] = pid;
}

/* Closes this end of the socket, which tells the process to end. The lock is held, as below. */
static void let_go(struct wmbt_private_store *store) {
  reap();
  wmbt_descriptor_close(&store->control);
  if (store->pid != 0) leave_child(store->pid);
  store->pid = 0;
  store->state = store_down;
}

/* Ends a process that has accepted nothing yet, and may be no store at all. */
static void kill_start(struct wmbt_private_store *store) {
  if (store->pid != 0 && waitpid(store->pid, NULL, WNOHANG) == 0) (void)kill(store->pid, SIGKILL);
  let_go(store);
}

static void note_end(struct wmbt_private_store *store) {
  store->ended_ms = wmbt_now_ms();
  const bool was_soon = store->ended_ms - store->started_ms < WMBT_STORE_SOON_MS;
  store->failures = was_soon ? store->failures + 1 : 1;
}

/* When the next one may be started. */
static int64_t next_start_ms(const struct wmbt_private_store *store) {
  /* One that ended is replaced at once. */
  if (store->failures < 2) return store->ended_ms;
  const unsigned doublings = store->failures < 8 ? store->failures : 8;
  const int64_t pause = (int64_t)WMBT_STORE_PAUSE_MS << (doublings - 2);
  return store->ended_ms + (pause < WMBT_STORE_PAUSE_MS_MAX ? pause : WMBT_STORE_PAUSE_MS_MAX);
}

/* Whether somebody listens there. It waits for nothing: a Unix socket is connected at once, or not at all. */
static bool is_listening(const char *path) {
  struct wmbt_target target;
  struct wmbt_failure ignored;
  if (!wmbt_target_of_path(path, &target, &ignored)) return false;
  struct wmbt_connection *probe = wmbt_connection_new(&target);
  if (probe == NULL) return true;
  const bool is_reached = wmbt_connection_reach(probe, wmbt_now_ms(), &ignored);
  wmbt_connection_free(probe);
  /* Where the queue is full somebody listens too. */
  return is_reached || ignored.kind == wmbt_expired;
}

/*
 * Whether the process is still there, as far as the socket to it tells. The one of a parent is nothing but its address
 * here: whether that is listened at tells.
 */
static bool is_there(const struct wmbt_private_store *store) {
  if (store->pid == 0) return is_listening(store->socket);
  if (!wmbt_descriptor_is_ours(&store->control)) return false;
  return wmbt_descriptor_look(store->control.fd) == 0;
}

static bool start(struct wmbt_private_store *store, struct wmbt_failure *failure) {
  reap();
  store->started_ms = wmbt_now_ms();
  store->said = 0;
  const int error = wmbt_spawn(&store->program, &store->control, &store->pid);
  if (error == 0) {
    store->state = store_starting;
    return true;
  }
  char why[128];
  if (strerror_r(error, why, sizeof why) != 0) (void)memcpy(why, "unknown error", sizeof "unknown error");
  note_end(store);
  (void)wmbt_fail(&store->failure, wmbt_unavailable, "unavailable: the store process cannot be started: %s: %s",
                  store->program.node, why);
  *failure = store->failure;
  return false;
}

/* How a look at what a starting process says ended. */
enum said { said_ready, said_failed, said_late };

/* Acts on a line; said_late for one that is only passed on. */
static enum said take_line(struct wmbt_private_store *store, char *line, struct wmbt_failure *failure) {
  if (strncmp(line, "note ", 5) == 0) {
    fprintf(stderr, "%s\n", line + 5);
    return said_late;
  }
  if (strncmp(line, "ready /", 7) == 0) {
    (void)memcpy(store->socket, line + 6, strlen(line + 6) + 1);
    return said_ready;
  }
  if (strncmp(line, "failed ", 7) == 0) {
    (void)wmbt_fail(failure, wmbt_failure_kind_of(line + 7), "%s", line + 7);
  } else {
    (void)wmbt_fail(failure, wmbt_unavailable, "unavailable: the store program says: %s", line);
  }
  return said_failed;
}

/* The lines that are whole. */
static enum said take_lines(struct wmbt_private_store *store, struct wmbt_failure *failure) {
  char *end;
  while ((end = memchr(store->text, '\n', store->said)) != NULL) {
    *end = '\0';
    const enum said said = take_line(store, store->text, failure);
    if (said != said_late) return said;
    store->said -= (size_t)(end + 1 - store->text);
    (void)memmove(store->text, end + 1, store->said);
  }
  if (store->said < sizeof store->text) return said_late;
  (void)wmbt_fail(failure, wmbt_unavailable, "unavailable: the store program says a line of more than %d bytes",
                  (int)said_max);
  return said_failed;
}

/* Reads on until it is known, or the time is over. Without the lock: the thread that attends is alone. */
static enum said attend(struct wmbt_private_store *store, int64_t deadline_ms, struct wmbt_failure *failure) {
  for (;;) {
    if (!wmbt_descriptor_is_ours(&store->control)) {
      (void)wmbt_fail(failure, wmbt_unavailable, "unavailable: the socket to the store process was closed");
      return said_failed;
    }
    const ssize_t got = recv(store->control.fd, store->text + store->said, sizeof store->text - store->said, 0);
    if (got > 0) {
      store->said += (size_t)got;
      const enum said said = take_lines(store, failure);
      if (said != said_late) return said;
    } else if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
      (void)wmbt_fail(failure, wmbt_unavailable, "unavailable: the store process ended before it said anything: %s %s",
                      store->program.node, store->program.store);
      return said_failed;
    }
    struct pollfd one = {.fd = store->control.fd, .events = POLLIN};
    const int left = wmbt_left_ms(deadline_ms);
    if (left == 0) return said_late;
    (void)poll(&one, 1, left);
  }
}

/* Goes on with a start. The lock is held, but for the wait. */
static bool go_on(struct wmbt_private_store *store, int64_t deadline_ms, struct wmbt_failure *failure) {
  const int64_t last_ms = store->started_ms + WMBT_STORE_START_MS;
  store->is_attended = true;
  (void)pthread_mutex_unlock(&lock);
  enum said said = attend(store, deadline_ms < last_ms ? deadline_ms : last_ms, failure);
  (void)pthread_mutex_lock(&lock);
  store->is_attended = false;
  if (said == said_ready) {
    store->state = store_up;
    store->generation = ++generations;
  } else if (said == said_failed || wmbt_now_ms() >= last_ms) {
    if (said == said_late) {
      (void)wmbt_fail(failure, wmbt_unavailable, "unavailable: the store process is not ready after %d ms: %s %s",
                      WMBT_STORE_START_MS, store->program.node, store->program.store);
    }
    kill_start(store);
    note_end(store);
    store->failure = *failure;
  } else {
    (void)wmbt_fail(failure, wmbt_expired, "unavailable: the store process is still starting");
  }
  (void)pthread_cond_broadcast(&changed);
  return said == said_ready;
}

/* While it is down: starts another one, unless the last ones ended too soon. */
static bool start_again(struct wmbt_private_store *store, struct wmbt_failure *failure) {
  if (wmbt_now_ms() >= next_start_ms(store)) return start(store, failure);
  if (store->failure.text[0] != '\0') {
    *failure = store->failure;
    return false;
  }
  return wmbt_fail(failure, wmbt_unavailable, "unavailable: the store process has ended %u times", store->failures);
}

/* Looks whether it is up. After a call that failed, sockets of one process do not all end at the same moment. */
static void look(struct wmbt_private_store *store, uint64_t failed) {
  const int64_t end_ms = wmbt_now_ms() + WMBT_STORE_END_MS;
  for (bool is_over = false; store->state == store_up; is_over = wmbt_now_ms() >= end_ms) {
    if (!is_there(store)) {
      let_go(store);
      note_end(store);
      store->failure.text[0] = '\0';
      (void)pthread_cond_broadcast(&changed);
    } else if (failed != store->generation || is_over) {
      return;
    } else {
      /* Without the lock, so that calls of other threads that failed wait beside this one. */
      wmbt_condition_wait(&changed, &lock, end_ms);
    }
  }
}

bool wmbt_private_store_reach(struct wmbt_private_store *store, uint64_t failed, int64_t deadline_ms,
                              struct wmbt_private_place *place, struct wmbt_failure *failure) {
  bool is_reached = false, goes_on = true;
  (void)pthread_mutex_lock(&lock);
  look(store, failed);
  while (!is_reached && goes_on) {
    if (store->state == store_up) {
      is_reached = true;
    } else if (store->is_attended) {
      goes_on = wmbt_now_ms() < deadline_ms;
      if (goes_on) wmbt_condition_wait(&changed, &lock, deadline_ms);
      else (void)wmbt_fail(failure, wmbt_expired, "unavailable: the store process is still starting");
    } else {
      if (store->state == store_down) goes_on = start_again(store, failure);
      if (goes_on) goes_on = go_on(store, deadline_ms, failure);
    }
  }
  if (is_reached) {
    place->generation = store->generation;
    (void)memcpy(place->socket, store->socket, sizeof place->socket);
  }
  (void)pthread_mutex_unlock(&lock);
  return is_reached;
}

bool wmbt_private_store_is_current(struct wmbt_private_store *store, uint64_t generation) {
  (void)pthread_mutex_lock(&lock);
  const bool is_bound = store->pid == 0 || wmbt_descriptor_is_ours(&store->control);
  const bool is_current = store->state == store_up && store->generation == generation && is_bound;
  (void)pthread_mutex_unlock(&lock);
  return is_current;
}

struct wmbt_private_store *wmbt_private_store_open(const char *remote, struct wmbt_failure *failure) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, prepare);
  struct wmbt_private_store *fresh = calloc(1, sizeof *fresh);
  if (fresh == NULL) {
    (void)wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory for a handle");
    return NULL;
  }
  fresh->control.fd = -1;
  if (!wmbt_program_find(&fresh->program, remote, failure)) {
    free(fresh);
    return NULL;
  }
  (void)pthread_mutex_lock(&lock);
  struct wmbt_private_store *store = stores;
  while (store != NULL && !wmbt_program_is_same(&store->program, &fresh->program)) store = store->next;
  if (store == NULL) {
    fresh->next = stores;
    stores = store = fresh;
    fresh = NULL;
  }
  store->users += 1;
  (void)pthread_mutex_unlock(&lock);
  if (fresh != NULL) wmbt_program_free(&fresh->program);
  free(fresh);
  return store;
}

void wmbt_private_store_close(struct wmbt_private_store *store) {
  (void)pthread_mutex_lock(&lock);
  store->users -= 1;
  const bool is_last = store->users == 0;
  if (is_last) {
    struct wmbt_private_store **link = &stores;
    while (*link != store) link = &(*link)->next;
    *link = store->next;
    if (store->state == store_starting) kill_start(store);
    else let_go(store);
  }
  (void)pthread_mutex_unlock(&lock);
  if (!is_last) return;
  wmbt_program_free(&store->program);
  free(store);
}
