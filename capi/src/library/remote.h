/* The mode of a daemon over its frames, by a Unix socket or TCP. */
#ifndef WMBT_REMOTE_H
#define WMBT_REMOTE_H

#include <stdatomic.h>

#include "mode.h"
#include "peer.h"

struct wmbt_access;

/* Milliseconds that calls may take, and what the environment says of saves. */
struct wmbt_call_settings {
  int64_t lookup_ms, load_ms, save_ms, tail_ms, delete_ms, connect_ms;
  /* What no call but a flush may take more than. */
  int64_t most_ms;
  bool is_durable;
};

struct wmbt_remote {
  /* First, so that a pointer to one is a pointer to the other. */
  struct wmbt_mode mode;
  struct wmbt_peer *peer;
  struct wmbt_call_settings settings;
  /* Where memory is found that the daemon lends for saves; NULL: they go over the connection. */
  struct wmbt_access *access;
  /* Until then loads do not borrow what the daemon brings into that memory: it could not be borrowed. */
  _Atomic int64_t borrow_again_ms;
};

/* Owns the peer from now on, also when it fails: connects, to see that the daemon is there. NULL with a failure. */
struct wmbt_mode *wmbt_remote_open(struct wmbt_peer *peer, const struct wmbt_call_settings *settings,
                                   struct wmbt_failure *failure);

/* For a mode that has this one in it: waits until a connection stands; closes. */
bool wmbt_remote_reach(struct wmbt_remote *remote, struct wmbt_failure *failure);
void wmbt_remote_close(struct wmbt_mode *mode);
/* When a call with these terms ends: as they say, else after what is usual, and never after more than `most_ms`. */
int64_t wmbt_call_end_ms(const struct wmbt_terms *terms, int64_t usual_ms, int64_t most_ms);
/* The keys from the first one on, as many as a call takes. */
struct wmbt_keys wmbt_call_part(const struct wmbt_keys *keys, size_t first);

/* A call under way, over all its attempts. */
struct wmbt_call {
  struct wmbt_remote *remote;
  enum wmbt_use use;
  /* When the daemon is to have answered. */
  int64_t end_ms;
  /*
   * Makes the call on the connection under this id. True when it is done. A failure `wmbt_lost`, `wmbt_again` or
   * `wmbt_corrupt` leads to another attempt.
   */
  bool (*attempt)(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                  struct wmbt_failure *failure);
  /* Of the attempt, and anything that lasts between attempts. */
  void *state;
  /* The attempt sends the call and is done: nobody waits for the answer. */
  bool is_left_owing;
};

/* Makes attempts until one is done, none is right any more, or time is over. */
bool wmbt_call_run(struct wmbt_call *call, struct wmbt_failure *failure);

/* The same for a call whose answer nobody waits for. `is_begun` is false, and nothing is sent, while there are as many
 * of them as may be. */
bool wmbt_call_begin(struct wmbt_call *call, bool *is_begun, struct wmbt_failure *failure);

/* How far a load of blocks, or of a tail, has come over all its calls. */
struct wmbt_load_progress {
  const struct wmbt_keys *keys;
  /* What came; its owner is whoever asked. */
  struct wmbt_borrow *borrow;
  /* Keys before this one are loaded by the call under way. */
  size_t end;
  /* The daemon has ended it. */
  bool has_missed;
};

/* Makes the call for as many keys at a time as one may have, until all have come, or one is missed. */
enum wmbt_outcome wmbt_call_load(struct wmbt_call *call, struct wmbt_load_progress *progress,
                                 struct wmbt_failure *failure);

/* The head for a message that is sent now. */
struct wmbt_head wmbt_call_head(const struct wmbt_call *call, const char *ns);

/* When the answer has to be there. */
int64_t wmbt_call_wait_ms(const struct wmbt_call *call);

/* Fails: this frame does not answer the call. */
bool wmbt_call_unexpected(const struct wmbt_frame *frame, const char *what, struct wmbt_failure *failure);

/* In files of their own (remote-load.c, remote-save.c, remote-small.c). */
bool wmbt_remote_lookup(struct wmbt_mode *mode, const struct wmbt_keys *keys, size_t *matched,
                        struct wmbt_failure *failure);
bool wmbt_remote_contains(struct wmbt_mode *mode, const struct wmbt_keys *keys, uint8_t *present,
                          struct wmbt_failure *failure);
bool wmbt_remote_prefetch(struct wmbt_mode *mode, const struct wmbt_keys *keys, size_t *count, bool *is_begun,
                          struct wmbt_failure *failure);
bool wmbt_remote_flush(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_failure *failure);
bool wmbt_remote_delete(struct wmbt_mode *mode, const struct wmbt_keys *keys, enum wmbt_selection selection,
                        uint64_t *objects, struct wmbt_failure *failure);
bool wmbt_remote_stats(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                       struct wmbt_failure *failure);

enum wmbt_outcome wmbt_remote_load(struct wmbt_mode *mode, const struct wmbt_keys *keys, struct wmbt_borrow *borrow,
                                   struct wmbt_failure *failure);
enum wmbt_outcome wmbt_remote_load_tail(struct wmbt_mode *mode, const struct wmbt_keys *keys,
                                        struct wmbt_borrow *borrow, struct wmbt_failure *failure);
bool wmbt_remote_save(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *const *payloads,
                      const size_t *lens, struct wmbt_failure *failure);
bool wmbt_remote_save_tail(struct wmbt_mode *mode, const struct wmbt_keys *keys, const uint8_t *bytes, size_t length,
                           struct wmbt_failure *failure);

#endif
