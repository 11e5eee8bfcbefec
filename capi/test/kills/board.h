/*
 * What the driver, its clients and its verifiers have in common: memory that outlives each of them. A run is what one
 * client saved one after another; its blocks have keys and bytes that follow from its number alone.
 */
#ifndef WMBT_KILLS_BOARD_H
#define WMBT_KILLS_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  slot_count = 8,
  runs_max = 1 << 20,
  faults_max = 16,
  fault_text_max = 240,
  failure_text_max = 120,
  /* Of one save, long blocks; and of one run, short ones, each of which is a save. */
  long_blocks = 4,
  long_bytes = 262144,
  short_blocks_max = 400,
  short_bytes = 4096,
};

/*
 * What a client does: borrows; saves short blocks, by calls or in a ring; saves long ones in memory that it is lent, by
 * calls or ahead of need, in a ring.
 */
enum role { reader, caller, ringer, filler, loaner, role_count };

/*
 * Where a client was when it died: opening, between calls, in a call, with borrowed memory, or in the midst of the copy
 * of a payload that is being saved. Written by it alone; read by the driver, behind its death too.
 */
enum phase { phase_opening, phase_ready, phase_acting, phase_holding, phase_copying };

struct run {
  /* So many of its blocks were accepted, from the first one on. Written by its client. */
  _Atomic uint32_t accepted;
  _Atomic uint8_t role;
  /* So many of them were found behind a daemon's death. Written by the verifier, of which there is one at a time. */
  _Atomic uint32_t verified;
};

struct slot {
  _Atomic uint32_t phase;
  /* The client is about to be killed: it acts without pauses, and has begun to. */
  _Atomic bool is_wanted, is_hurried;
  /* Why its last call failed; for a client that does not begin. */
  char failure[failure_text_max];
};

struct board {
  struct slot slots[slot_count];
  /* Rises when a daemon is about to die, and when the next one serves: odd while there is none. */
  _Atomic uint32_t daemon_turn;
  /* A client stands still: those that save use the memory that was lent to it. */
  _Atomic uint32_t standing;
  /* Clients that are not about to be killed rest: everything is looked for. */
  _Atomic bool is_quiet;
  _Atomic uint32_t fault_count;
  char faults[faults_max][fault_text_max];
  _Atomic uint64_t loads, blocks_checked, bytes_checked, saves, refused, missed;
  /* Blocks that were found where the daemon had lent them: in its shared memory. */
  _Atomic uint64_t borrowed;
  _Atomic uint32_t run_count;
  struct run runs[runs_max];
};

/* Notes that something is wrong; whoever notes it goes on. */
void note_fault(struct board *board, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whether its blocks are long. */
bool is_long(enum role role);
/* 64 digits and a NUL. */
void digits_of(uint32_t run, uint32_t block, char digits[65]);
/* Bytes of a block, a multiple of 8. */
size_t length_of(enum role role, uint32_t run, uint32_t block);
void fill_block(uint8_t *bytes, size_t length, uint32_t run, uint32_t block);
/* Where the first byte is that is not the block's; `length` when all are. */
size_t first_wrong(const uint8_t *bytes, size_t length, uint32_t run, uint32_t block);

uint64_t now_us(void);
void pause_us(uint64_t us);
/* The next number of the sequence; its state is not 0. */
uint64_t next_random(uint64_t *state);

#endif
