#include "client.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../../include/wombatkv.h"

enum {
  /* So short that whoever stands still is out of time before it goes on. */
  save_limit_ms = 60,
  load_limit_ms = 1000,
  verify_limit_ms = 20000,
  /* Pauses of clients that are not about to be killed, by what they do. */
  reader_rest_us = 4000,
  short_rest_us = 20000,
  long_rest_us = 200000,
  /* Of one that saves long blocks while another client stands still; and, in rings, until memory is lent anew. */
  long_busy_us = 45000,
  loan_wait_us = 15000,
  /* How long a borrow is held, and one in so many for longer. */
  hold_us = 1500,
  long_hold_us = 60000,
  long_holds = 16,
  page_bytes = 4096,
  /* How long a client stands in the midst of a copy, for the driver to meet it there. */
  copy_pause_us = 2500,
  /* Runs among which a reader chooses, and one time in so many, more than memory holds; and blocks of one load. */
  newest_runs = 24,
  recent_runs = 512,
  old_choices = 3,
  load_blocks_max = 64,
};

struct client {
  struct board *board;
  struct slot *slot;
  enum role role;
  uint64_t random;
  wmbt_kv_handle_t *handle;
  uint8_t *memory;
  /* The run under way of one that saves; `runs_max`: none. */
  uint32_t run;
};

static void say(const struct client *client, enum phase phase) { atomic_store(&client->slot->phase, phase); }

/* A page of a payload that cannot be read until somebody tries to, and whose it is. */
static struct {
  uint8_t *page;
  struct slot *slot;
} trap;

/* The library copies a payload and has come to the page: the copy is half done for a while. */
static void on_fault(int number, siginfo_t *info, void *context) {
  (void)context;
  const uint8_t *at = info->si_addr;
  if (trap.page == NULL || at < trap.page || at >= trap.page + page_bytes) {
    (void)signal(number, SIG_DFL);
    return;
  }
  (void)mprotect(trap.page, page_bytes, PROT_READ | PROT_WRITE);
  trap.page = NULL;
  atomic_store(&trap.slot->phase, phase_copying);
  pause_us(copy_pause_us);
}

static void set_trap(struct client *client, uint32_t count) {
  const uint64_t dice = next_random(&client->random);
  const size_t pages = is_long(client->role) ? long_bytes / page_bytes : 1;
  uint8_t *payload = client->memory + (size_t)(dice % count) * long_bytes;
  trap.slot = client->slot;
  trap.page = payload + (size_t)(dice >> 32) % pages * page_bytes;
  (void)mprotect(trap.page, page_bytes, PROT_NONE);
}

static void take_trap_away(void) {
  if (trap.page != NULL) (void)mprotect(trap.page, page_bytes, PROT_READ | PROT_WRITE);
  trap.page = NULL;
}

static void note_failure(const struct client *client) {
  const char *text = wmbt_kv_last_error();
  (void)snprintf(client->slot->failure, failure_text_max, "%s", text == NULL ? "no error" : text);
  pause_us(2000);
}

static void die_with_parent(pid_t parent) {
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(3);
}

/* Whether this process maps a file of that name for writing. */
static bool maps_for_writing(const char *name) {
  char line[4600];
  bool is_found = false;
  FILE *maps = fopen("/proc/self/maps", "r");
  if (maps == NULL) _exit(3);
  while (!is_found && fgets(line, sizeof line, maps) != NULL) {
    is_found = strstr(line, " rw-s ") != NULL && strstr(line, name) != NULL;
  }
  (void)fclose(maps);
  return is_found;
}

static wmbt_kv_handle_t *open_patiently(void) {
  for (;;) {
    wmbt_kv_handle_t *handle = wmbt_kv_init_from_env();
    if (handle != NULL) return handle;
    pause_us(5000);
  }
}

struct where {
  uint32_t run, first;
  enum role role;
  const char *when;
};

/* What is borrowed is what was saved under its key. */
static void check_payloads(struct board *board, const wmbt_kv_payload_t *payloads, size_t count,
                           const struct where *where) {
  for (size_t i = 0; i < count; i += 1) {
    const uint32_t block = where->first + (uint32_t)i;
    const size_t length = length_of(where->role, where->run, block);
    if (payloads[i].length != length) {
      note_fault(board, "run %u block %u has %zu bytes instead of %zu, %s", where->run, block, payloads[i].length,
                 length, where->when);
      continue;
    }
    const size_t wrong = first_wrong(payloads[i].bytes, length, where->run, block);
    if (wrong < length) {
      note_fault(board, "wrong bytes: run %u block %u from byte %zu of %zu on, %s", where->run, block, wrong, length,
                 where->when);
    }
    atomic_fetch_add(&board->bytes_checked, length);
  }
  atomic_fetch_add(&board->blocks_checked, count);
}

/*
 * One of the last runs of which something was accepted, mostly of the newest, whose memory others may still write to
 * when they should not any more; false when there is none.
 */
static bool choose_run(struct client *client, uint32_t *run, uint32_t *accepted) {
  const uint32_t end = atomic_load(&client->board->run_count);
  const uint64_t dice = next_random(&client->random);
  const uint32_t most = dice % old_choices == 0 ? recent_runs : newest_runs;
  const uint32_t span = end < most ? end : most;
  for (unsigned i = 0; span > 0 && i < 8; i += 1) {
    *run = end - 1 - (uint32_t)(next_random(&client->random) % span);
    *accepted = atomic_load(&client->board->runs[*run].accepted);
    if (*accepted > 0) return true;
  }
  return false;
}

/* What was accepted is there for everybody, unless its daemon has gone meanwhile. */
static void note_miss(struct client *client, const struct where *where, uint32_t turn, size_t count) {
  struct board *board = client->board;
  atomic_fetch_add(&board->missed, 1);
  const int32_t miss = wmbt_kv_last_miss();
  const bool is_excused =
      miss != WMBT_KV_MISS_UNKNOWN || turn % 2 != 0 || turn != atomic_load(&board->daemon_turn);
  if (is_excused) return;
  note_fault(board, "lost: run %u block %zu was accepted, and is unknown to a reader", where->run,
             where->first + count);
}

static bool read_once(struct client *client) {
  uint32_t run, accepted;
  if (!choose_run(client, &run, &accepted)) return false;
  struct board *board = client->board;
  const uint32_t turn = atomic_load(&board->daemon_turn);
  const uint32_t first = (uint32_t)(next_random(&client->random) % accepted);
  const uint32_t count = accepted - first < load_blocks_max ? accepted - first : load_blocks_max;
  struct where where = {run, first, (enum role)atomic_load(&board->runs[run].role), "as a reader borrowed it"};
  char digits[load_blocks_max][65];
  const char *hashes[load_blocks_max];
  for (uint32_t i = 0; i < count; i += 1) {
    digits_of(run, first + i, digits[i]);
    hashes[i] = digits[i];
  }
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.time_limit_ms = load_limit_ms;
  const wmbt_kv_payload_t *payloads;
  size_t there = 0;
  wmbt_kv_borrow_t *borrow;
  say(client, phase_acting);
  const int32_t rc = wmbt_kv_load(client->handle, "", hashes, count, &call, &payloads, &there, &borrow);
  if (rc < 0) {
    note_failure(client);
    return false;
  }
  say(client, phase_holding);
  check_payloads(board, payloads, there, &where);
  /* What was found in shared memory may be used anew by now, if nobody heeds that it is held. */
  const uint64_t dice = next_random(&client->random);
  pause_us((dice >> 8) % (dice % long_holds == 0 ? long_hold_us : hold_us));
  where.when = "as a reader looked again";
  check_payloads(board, payloads, there, &where);
  for (size_t i = 0; i < there; i += 1) {
    if (payloads[i].tier == WMBT_KV_TIER_MEMORY) atomic_fetch_add(&board->borrowed, 1);
  }
  if (rc == 0) note_miss(client, &where, turn, there);
  say(client, phase_acting);
  wmbt_kv_release_borrow(borrow);
  atomic_fetch_add(&board->loads, 1);
  return true;
}

static uint32_t begin_run(struct client *client) {
  const uint32_t run = atomic_fetch_add(&client->board->run_count, 1);
  if (run >= runs_max) _exit(4);
  atomic_store(&client->board->runs[run].role, (uint8_t)client->role);
  return run;
}

/* Saves the blocks of the run from `first` on; true when they were accepted. */
static bool save_blocks(struct client *client, uint32_t first, uint32_t count) {
  struct board *board = client->board;
  char digits[long_blocks][65];
  wmbt_kv_block_t blocks[long_blocks];
  (void)memset(blocks, 0, sizeof blocks);
  for (uint32_t i = 0; i < count; i += 1) {
    const size_t length = length_of(client->role, client->run, first + i);
    uint8_t *bytes = client->memory + (size_t)i * long_bytes;
    digits_of(client->run, first + i, digits[i]);
    fill_block(bytes, length, client->run, first + i);
    blocks[i] = (wmbt_kv_block_t){.hash = digits[i], .bytes = bytes, .length = length,
                                  .position = WMBT_KV_POSITION_UNKNOWN};
  }
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.time_limit_ms = save_limit_ms;
  say(client, phase_acting);
  if (atomic_load(&client->slot->is_wanted)) set_trap(client, count);
  const bool is_accepted = wmbt_kv_save(client->handle, "", blocks, count, &call, NULL) == 0;
  take_trap_away();
  if (is_accepted) atomic_store(&board->runs[client->run].accepted, first + count);
  atomic_fetch_add(is_accepted ? &board->saves : &board->refused, 1);
  if (!is_accepted) note_failure(client);
  return is_accepted;
}

static bool save_long(struct client *client) {
  client->run = begin_run(client);
  return save_blocks(client, 0, long_blocks);
}

static bool save_short(struct client *client) {
  struct board *board = client->board;
  const struct run *run = client->run == runs_max ? NULL : &board->runs[client->run];
  const bool is_over = run == NULL || atomic_load(&run->accepted) >= short_blocks_max;
  if (is_over) client->run = begin_run(client);
  if (save_blocks(client, atomic_load(&board->runs[client->run].accepted), 1)) return true;
  /* It may be there or not: what follows is another run. */
  client->run = runs_max;
  return false;
}

static bool act(struct client *client) {
  switch (client->role) {
    case reader:
      return read_once(client);
    case caller:
    case ringer:
      return save_short(client);
    case filler:
    case loaner:
      return save_long(client);
    case role_count:
    default:
      _exit(3);
  }
}

/*
 * Until the client does what its role says, by what it maps for writing. A handle asks for a ring once in a second, a
 * new one at once; that of a client which was killed may still have its place.
 */
static void become_ready(struct client *client) {
  static const char *const files[role_count] = {NULL, NULL, "/ring-", "/segment-", "/ring-"};
  const char *file = files[client->role];
  for (;;) {
    const bool has_acted = act(client);
    if (has_acted && (file == NULL || maps_for_writing(file))) break;
    if (has_acted) (void)snprintf(client->slot->failure, failure_text_max, "it has no %s", file + 1);
    if (file != NULL) {
      wmbt_kv_free(client->handle);
      pause_us(20000);
      client->handle = open_patiently();
    }
    pause_us(3000);
  }
  say(client, phase_ready);
}

static void rest(const struct client *client) {
  const unsigned saving_us = is_long(client->role) ? long_rest_us : short_rest_us;
  const unsigned usual_us = client->role == reader ? reader_rest_us : saving_us;
  const uint64_t began = now_us();
  say(client, phase_ready);
  for (;;) {
    const bool is_busy = is_long(client->role) && atomic_load(&client->board->standing) > 0;
    if (atomic_load(&client->board->is_quiet) && !atomic_load(&client->slot->is_wanted)) {
      pause_us(1000);
      continue;
    }
    const uint64_t length = is_busy ? long_busy_us : usual_us;
    if (atomic_load(&client->slot->is_wanted) || now_us() - began >= length) return;
    pause_us(500);
  }
}

void client_run(struct board *board, struct slot *slot, enum role role, uint64_t seed) {
  struct client client = {.board = board, .slot = slot, .role = role, .random = seed | 1, .run = runs_max};
  die_with_parent(getppid());
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  (void)sigaction(SIGSEGV, &action, NULL);
  const size_t bytes = (size_t)long_blocks * long_bytes;
  client.memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (client.memory == MAP_FAILED) _exit(3);
  client.handle = open_patiently();
  become_ready(&client);
  for (;;) {
    if (!atomic_load(&slot->is_wanted)) rest(&client);
    else if (role == loaner) pause_us(loan_wait_us);
    if (atomic_load(&slot->is_wanted)) atomic_store(&slot->is_hurried, true);
    (void)act(&client);
  }
}

static void verify(struct board *board, wmbt_kv_handle_t *handle, uint32_t run, uint32_t accepted) {
  static char digits[short_blocks_max][65];
  static const char *hashes[short_blocks_max];
  for (uint32_t i = 0; i < accepted; i += 1) {
    digits_of(run, i, digits[i]);
    hashes[i] = digits[i];
  }
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.time_limit_ms = verify_limit_ms;
  const wmbt_kv_payload_t *payloads;
  size_t there = 0;
  wmbt_kv_borrow_t *borrow = NULL;
  const enum role role = (enum role)atomic_load(&board->runs[run].role);
  const int32_t rc = wmbt_kv_load(handle, "", hashes, accepted, &call, &payloads, &there, &borrow);
  if (rc < 0 || there < accepted) {
    note_fault(board, "lost: run %u of role %u: %zu of %u accepted blocks are there, miss %d: %s", run, (unsigned)role,
               there, accepted, (int)wmbt_kv_last_miss(), rc < 0 ? wmbt_kv_last_error() : "no error");
  }
  if (rc < 0) return;
  const struct where where = {run, 0, role, "behind a daemon's death"};
  check_payloads(board, payloads, there, &where);
  wmbt_kv_release_borrow(borrow);
}

void verifier_run(struct board *board, uint32_t end, bool is_all) {
  die_with_parent(getppid());
  wmbt_kv_handle_t *handle = open_patiently();
  for (uint32_t run = 0; run < end; run += 1) {
    const uint32_t accepted = atomic_load(&board->runs[run].accepted);
    if (accepted == 0 || (!is_all && atomic_load(&board->runs[run].verified) >= accepted)) continue;
    verify(board, handle, run, accepted);
    atomic_store(&board->runs[run].verified, accepted);
  }
  wmbt_kv_free(handle);
  _exit(0);
}
