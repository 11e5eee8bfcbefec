/*
 * Kills clients and daemons by the thousand. It is told the number of the daemon that serves, has clients of every role
 * killed, and kills the daemon in the midst of them; then it is told of the next one, and looks for everything that was
 * accepted. What is wrong, and how often what was killed, stands in its output.
 *
 * usage: kills-test CLIENT-KILLS-FOR-EACH-DAEMON SEED CLIENTS, of which each is a letter: `b`orrows; saves short blocks
 * by `c`alls or in a `r`ing; saves long ones into memory that it `f`ills by calls, or by `l`oans in a ring. Lines of
 * input: the daemon's number, or `end`.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

enum {
  hot_max = 3,
  look_us = 200,
  start_limit_us = 60000000,
  begin_limit_us = 50000,
  verify_limit_us = 120000000,
};

/* What comes next for a client: it opens; may be chosen; is to act; is to be stopped, to go on, or to be killed. */
enum step { step_start, step_idle, step_hurry, step_stop, step_continue, step_kill };

/* How a victim ends. */
enum plan { plan_kill, plan_kill_standing, plan_kill_continued };

struct victim {
  pid_t pid;
  enum role role;
  enum step step;
  enum plan plan;
  uint64_t due_us;
};

struct counts {
  /* Of clients that were killed in the midst of what they do, by role; and of them those that had stood still. */
  unsigned killed[role_count], stopped[role_count];
  /* Readers that held borrowed memory; savers in the midst of a copy; clients that were killed elsewhere. */
  unsigned holding, copying, elsewhere;
  unsigned daemons, daemons_stopped, verified;
};

/* Of each client; so many there are. */
static enum role roles[slot_count];
static unsigned client_count;
static const char *const role_names[role_count] = {"reader", "caller", "ringer", "filler", "loaner"};
static const char role_letters[] = "bcrfl";

static struct board *board;
static struct victim victims[slot_count];
static struct counts counts;
static uint64_t state;

static uint64_t below(uint64_t limit) { return next_random(&state) % limit; }

static pid_t start(void) {
  (void)fflush(stdout);
  const pid_t pid = fork();
  if (pid >= 0) return pid;
  perror("fork");
  exit(2);
}

static void start_client(unsigned number) {
  struct slot *slot = &board->slots[number];
  atomic_store(&slot->phase, phase_opening);
  atomic_store(&slot->is_wanted, false);
  atomic_store(&slot->is_hurried, false);
  slot->failure[0] = '\0';
  const uint64_t seed = next_random(&state);
  const pid_t pid = start();
  if (pid == 0) client_run(board, slot, roles[number], seed);
  victims[number] = (struct victim){pid, roles[number], step_start, plan_kill, now_us() + start_limit_us};
}

/* Waits for the end of the process; true when it was killed as it should be. */
static bool was_killed(pid_t pid) {
  int status = 0;
  pid_t ended;
  do ended = waitpid(pid, &status, 0);
  while (ended < 0 && errno == EINTR);
  return ended == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* One that ended by itself has met a fault: a signal of its own, or an assertion. */
static void look_for_dead(unsigned number) {
  int status = 0;
  struct victim *victim = &victims[number];
  if (waitpid(victim->pid, &status, WNOHANG) == 0) return;
  note_fault(board, "a %s ended by itself: %s %d", role_names[victim->role], WIFSIGNALED(status) ? "signal" : "status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  if (victim->step == step_continue) atomic_fetch_sub(&board->standing, 1);
  start_client(number);
}

static void kill_client(unsigned number) {
  struct victim *victim = &victims[number];
  (void)kill(victim->pid, SIGKILL);
  if (!was_killed(victim->pid)) note_fault(board, "a %s ended before it was killed", role_names[victim->role]);
  const enum phase phase = (enum phase)atomic_load(&board->slots[number].phase);
  if (phase == phase_acting || phase == phase_holding || phase == phase_copying) {
    counts.killed[victim->role] += 1;
    if (victim->plan != plan_kill) counts.stopped[victim->role] += 1;
    if (phase == phase_holding) counts.holding += 1;
    if (phase == phase_copying) counts.copying += 1;
  } else {
    counts.elsewhere += 1;
  }
  start_client(number);
}

/* When a client that has begun is met: readers in a call, those that save in a copy, or a little behind it. */
static uint64_t aim_us(enum role role) { return below(role == reader ? 2000 : 3500); }

/* Whether it has come to what it is met in. One that saves in another way is met anywhere. */
static bool has_begun(const struct slot *slot, const struct victim *victim) {
  if (!atomic_load(&slot->is_hurried)) return false;
  return victim->role == reader || atomic_load(&slot->phase) == phase_copying ||
         now_us() + start_limit_us >= victim->due_us + begin_limit_us;
}

static void choose(struct victim *victim, struct slot *slot) {
  /* Those that fill memory stand still more often: who goes on too late is what they are here for. */
  const uint64_t dice = below(8);
  const unsigned stops = is_long(victim->role) ? 3 : 2;
  victim->plan = dice >= stops ? plan_kill : dice == 1 ? plan_kill_standing : plan_kill_continued;
  victim->step = step_hurry;
  victim->due_us = now_us() + start_limit_us;
  atomic_store(&slot->is_wanted, true);
}

static void stop_client(struct victim *victim) {
  (void)kill(victim->pid, SIGSTOP);
  atomic_fetch_add(&board->standing, 1);
  victim->step = step_continue;
  /* Longer than its save may take, and now and then shorter. */
  victim->due_us = now_us() + (below(4) == 0 ? below(20000) : 150000 + below(200000));
}

/* Makes the client's next step when it is due; true when it was killed. */
static bool move_on(unsigned number) {
  struct victim *victim = &victims[number];
  struct slot *slot = &board->slots[number];
  const bool is_due = now_us() >= victim->due_us;
  switch (victim->step) {
    case step_start:
      if (atomic_load(&slot->phase) != phase_opening && atomic_load(&slot->phase) != phase_acting) break;
      if (is_due) note_fault(board, "a %s does not begin: %s", role_names[victim->role], slot->failure);
      return is_due ? kill_client(number), false : false;
    case step_hurry:
      if (!has_begun(slot, victim)) return is_due ? kill_client(number), false : false;
      victim->step = victim->plan == plan_kill ? step_kill : step_stop;
      victim->due_us = now_us() + aim_us(victim->role);
      return false;
    case step_stop:
      if (is_due) stop_client(victim);
      return false;
    case step_continue:
      if (!is_due) return false;
      atomic_fetch_sub(&board->standing, 1);
      if (victim->plan == plan_kill_continued) (void)kill(victim->pid, SIGCONT);
      victim->step = step_kill;
      victim->due_us = now_us() + (victim->plan == plan_kill_continued ? 3000 + below(4000) : 0);
      return false;
    case step_kill:
      if (is_due) kill_client(number);
      return is_due;
    case step_idle:
    default:
      return false;
  }
  victim->step = step_idle;
  return false;
}

/* Of so many clients as many of each role that there is, and the rest of the first. */
static void share(unsigned clients, unsigned left[role_count]) {
  unsigned present = 0, given = 0;
  bool is_present[role_count] = {false};
  for (unsigned i = 0; i < client_count; i += 1) is_present[roles[i]] = true;
  for (unsigned role = 0; role < role_count; role += 1) present += is_present[role] ? 1 : 0;
  for (unsigned role = 0; role < role_count; role += 1) {
    left[role] = is_present[role] ? clients / present : 0;
    given += left[role];
  }
  left[roles[0]] += clients - given;
}

/* Has clients killed until so many were: those that are chosen are killed, also when that is a few more. */
static void kill_clients(unsigned wanted) {
  unsigned left[role_count], done = 0;
  share(wanted, left);
  while (done < wanted && atomic_load(&board->fault_count) == 0) {
    unsigned hot = 0;
    for (unsigned i = 0; i < client_count; i += 1) {
      look_for_dead(i);
      done += move_on(i) ? 1 : 0;
      hot += victims[i].step > step_idle ? 1 : 0;
    }
    const unsigned number = (unsigned)below(client_count);
    const enum role role = roles[number];
    if (hot < hot_max && victims[number].step == step_idle && left[role] > 0) {
      choose(&victims[number], &board->slots[number]);
      left[role] -= 1;
    }
    pause_us(look_us);
  }
}

/* Everything that was accepted is looked for; what was found before, at the end only. */
static void verify_all(bool is_end) {
  atomic_store(&board->is_quiet, true);
  const uint32_t end = atomic_load(&board->run_count);
  const pid_t pid = start();
  if (pid == 0) verifier_run(board, end, is_end);
  int status = 0;
  pid_t ended = 0;
  for (const uint64_t until = now_us() + verify_limit_us; ended == 0 && now_us() < until; pause_us(1000)) {
    ended = waitpid(pid, &status, WNOHANG);
  }
  if (ended == 0) {
    (void)kill(pid, SIGKILL);
    (void)was_killed(pid);
  }
  if (ended != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    note_fault(board, "what was accepted could not be looked for: status %x", (unsigned)status);
  }
  atomic_store(&board->is_quiet, false);
  counts.verified += 1;
}

/* A third of the daemons stand still before, some of which go on for a while. */
static void kill_daemon(pid_t daemon) {
  const uint64_t dice = below(6);
  if (dice < 2) {
    (void)kill(daemon, SIGSTOP);
    counts.daemons_stopped += 1;
    pause_us(below(80000));
    if (dice == 0) (void)kill(daemon, SIGCONT);
    if (dice == 0) pause_us(below(20000));
  }
  atomic_fetch_add(&board->daemon_turn, 1);
  (void)kill(daemon, SIGKILL);
  counts.daemons += 1;
}

static void say_counts(void) {
  printf("counts {");
  for (unsigned i = 0; i < role_count; i += 1) {
    printf("\"%s\":%u,\"%sStopped\":%u,", role_names[i], counts.killed[i], role_names[i], counts.stopped[i]);
  }
  printf("\"holding\":%u,\"copying\":%u,\"elsewhere\":%u,\"daemon\":%u,\"daemonStopped\":%u,\"verified\":%u,",
         counts.holding, counts.copying, counts.elsewhere, counts.daemons, counts.daemons_stopped, counts.verified);
  printf("\"loads\":%llu,\"borrowed\":%llu,\"blocksChecked\":%llu,\"bytesChecked\":%llu,\"saves\":%llu,"
         "\"refused\":%llu,\"missed\":%llu,\"runs\":%u}\n",
         (unsigned long long)board->loads, (unsigned long long)board->borrowed,
         (unsigned long long)board->blocks_checked, (unsigned long long)board->bytes_checked,
         (unsigned long long)board->saves, (unsigned long long)board->refused, (unsigned long long)board->missed,
         (unsigned)board->run_count);
}

/* What is wrong, once it is known; the status of the program. */
static int say_faults(void) {
  const uint32_t count = atomic_load(&board->fault_count);
  for (uint32_t i = 0; i < count && i < faults_max; i += 1) printf("fault %s\n", board->faults[i]);
  printf("end %u\n", (unsigned)count);
  return count == 0 ? 0 : 1;
}

/* False when a letter is none of a client, or there are none, or too many. */
static bool read_roles(const char *letters) {
  client_count = (unsigned)strlen(letters);
  for (unsigned i = 0; i < client_count && i < slot_count; i += 1) {
    const char *letter = strchr(role_letters, letters[i]);
    if (letter == NULL) return false;
    roles[i] = (enum role)(letter - role_letters);
  }
  return client_count > 0 && client_count <= slot_count;
}

int main(int argument_count, char **arguments) {
  if (argument_count != 4 || !read_roles(arguments[3])) {
    fprintf(stderr, "usage: kills-test CLIENT-KILLS-FOR-EACH-DAEMON SEED CLIENTS\n");
    return 2;
  }
  const unsigned each = (unsigned)strtoul(arguments[1], NULL, 10);
  state = strtoull(arguments[2], NULL, 10) * 2 + 1;
  board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (board == MAP_FAILED) return 2;
  char line[64];
  bool has_clients = false;
  while (fgets(line, sizeof line, stdin) != NULL && strncmp(line, "end", 3) != 0) {
    const pid_t daemon = (pid_t)strtol(line, NULL, 10);
    if (atomic_load(&board->daemon_turn) % 2 != 0) atomic_fetch_add(&board->daemon_turn, 1);
    for (unsigned i = 0; !has_clients && i < client_count; i += 1) start_client(i);
    if (has_clients) verify_all(false);
    has_clients = true;
    if (atomic_load(&board->fault_count) > 0) break;
    kill_clients(each);
    kill_daemon(daemon);
    printf("killed\n");
    (void)fflush(stdout);
  }
  if (atomic_load(&board->daemon_turn) % 2 != 0) atomic_fetch_add(&board->daemon_turn, 1);
  for (unsigned i = 0; has_clients && i < client_count; i += 1) {
    (void)kill(victims[i].pid, SIGKILL);
    (void)was_killed(victims[i].pid);
  }
  if (atomic_load(&board->fault_count) == 0) verify_all(true);
  say_counts();
  return say_faults();
}
