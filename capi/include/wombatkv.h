/*
 * wombatkv.h - the C library of WombatKV, a shared, durable store for the KV cache of language models.
 *
 * Copyright the WombatKV authors. Licensed under Apache-2.0; see the file LICENSE.
 *
 * ---------------------------------------------------------------------------------------------------------
 * What it is for
 * ---------------------------------------------------------------------------------------------------------
 * An engine computes the KV state of a prompt once and stores it as blocks, each under a hash of the model and
 * of every token up to and including the block. Whoever computes the same prefix, in whatever process or on
 * whatever machine, computes the same hashes, finds the blocks, and does not compute them again. Around one
 * request an engine makes four calls:
 *
 *     wmbt_kv_lookup_block_prefix        how many leading blocks of this prompt are stored?
 *     wmbt_kv_get_kv_blocks_borrowed     their bytes; install them, then wmbt_kv_release_borrow
 *     (prefill the rest, answer)
 *     wmbt_kv_put_kv_blocks              store the new blocks
 *     wmbt_kv_put_raw_tail               store the tokens behind the last whole block
 *
 * These are ABI 1.0, which an engine may know from elsewhere, and which stays as it is. ABI 1.1 has for each of them
 * one that says and takes more (wmbt_kv_lookup, wmbt_kv_load, wmbt_kv_save, wmbt_kv_save_tail), and calls for what
 * 1.0 has not. Both may be mixed: what one stores the other finds.
 *
 * capi/examples/quickstart.c is the smallest complete program; engine.c and engine.cpp beside it are shaped like
 * engines.
 *
 * ---------------------------------------------------------------------------------------------------------
 * What it needs
 * ---------------------------------------------------------------------------------------------------------
 * A store, in one of three ways: that of a running `wombatkv-daemon` on the same host (WMBT_KV_REMOTE_PREFIX), over
 * TCP (WMBT_KV_TCP_ADDR) or HTTP (WMBT_KV_HTTP_ADDR), or, without a daemon, one that the library starts for this
 * process alone (see "A store of one's own"). On the same host blocks in the store's memory are found and lent where
 * they lie, without a copy and without a system call (one, for a store of one's own, by which it is known to live), and
 * puts go into memory that the store lends for them, small ones without a call; its Unix socket serves the rest, and
 * everything where it shares no memory. For TLS and for a near-cache the library starts a process of Node that is the
 * client of the daemon (see "TLS and near-cache"). Nothing is sent in the clear where TLS is asked for.
 *
 *     cc engine.c $(pkg-config --cflags --libs wombatkv)
 *
 * ---------------------------------------------------------------------------------------------------------
 * A store of one's own
 * ---------------------------------------------------------------------------------------------------------
 * When the environment names no daemon, wmbt_kv_init_from_env starts a store in a process of its own, by Node
 * (WMBT_KV_NODE, else `node` on PATH, version 20.19 or newer) from wombatkv/store.cjs beside the library (or
 * WMBT_KV_STORE). Handles of one configuration share it.
 *
 *  - It has the environment of this process but for NODE_OPTIONS, LD_PRELOAD, LD_AUDIT and NODE_EXTRA_CA_CERTS (for a
 *    bucket its path becomes WMBT_KV_S3_CA_FILE), and none of its descriptors, signal masks, ignored signals, and
 *    working directory. It is in a session of its own: Ctrl-C is the engine's.
 *  - It ends when the last handle is freed, or this process ends in whatever way: what it accepted is uploaded for up
 *    to WMBT_KV_DAEMON_SHUTDOWN_DRAIN_TIMEOUT_SECS (10), the rest stays on this host. A store that is started meanwhile
 *    with the same cache directory takes over at once.
 *  - When it ends before, the next call starts another; a call that does so may take its time limit twice. After two
 *    that ended soon calls fail at once for a while, up to 5 s.
 *  - It is a child of this process, so SIGCHLD comes when it ends, and an engine that waits for any child may be given
 *    its status. Both is fine, and so is ignoring SIGCHLD. Where nobody else takes note of its end, a thread of the
 *    library does, which is there only from the last free until then.
 *  - An engine may close all descriptors that it finds: the next call starts anew. A process forked from it uses the
 *    same store as long as the parent has it, and then one of its own.
 *
 * ---------------------------------------------------------------------------------------------------------
 * TLS and near-cache
 * ---------------------------------------------------------------------------------------------------------
 * An address `tls://host:port`, or `https://host:port` for HTTP, or WMBT_KV_TLS_CA_FILE, asks for TLS; with
 * WMBT_KV_NEAR_CACHE_BYTES blocks that were read from a daemon over TCP or HTTP are kept in memory of this host, where
 * they are read again without a call or a copy, also after another client has deleted them. For both the library starts
 * the same program as for a store of one's own, as the client of that daemon: it has no store and no place in the cache
 * directory, what it accepted the daemon has accepted, and the rest of what is said above of the process holds for it
 * too.
 *
 * ---------------------------------------------------------------------------------------------------------
 * Rules that hold for every function
 * ---------------------------------------------------------------------------------------------------------
 * Threads     A handle may be used from any number of threads at once; each call under way has a connection of
 *             its own, up to a limit, beyond which calls wait for each other. A borrow may be read and released
 *             by any thread. wmbt_kv_free must not run beside another call on the same handle. A thread that is
 *             cancelled (pthread_cancel) in a call ends behind it. A signal that breaks into a call does not end it;
 *             a handler of one must call nothing here.
 * Ownership   What you pass in is read during the call only and stays yours. What comes out belongs to a borrow
 *             or to the library, as each function says. Nothing that is returned is passed to free().
 * Errors      A storage fault is a return code, never an abort, an exception or a signal (SIGPIPE included). Its
 *             text is in wmbt_kv_last_error, and in `err_buf` where a function has one: at most `err_len` - 1
 *             bytes and a NUL, written only on error, skipped when it is NULL or `err_len` is 0.
 *             Treat any failure as a shorter prefix: compute what could not be restored.
 * Misses      Not an error: the text is NULL after one. Output arguments are written only on success.
 * Time        Every call ends by a deadline: a lookup after 250 ms (WMBT_KV_LOOKUP_DEADLINE_MS), a get of blocks
 *             after 10 s (WMBT_KV_LOAD_DEADLINE_MS), a put or a tail after 10 s, none later than
 *             WMBT_KV_REMOTE_CALL_TIMEOUT_MS (30 s); a quarter of a second is added while the answer of a daemon
 *             that is there is on its way. When the daemon is gone, calls fail within about 50 ms after the first
 *             one; the first call after it came back succeeds, without the caller's doing anything. Over TLS, where
 *             a process comes between, that may be a later one on a busy machine.
 * Processes   Files and sockets are closed on exec, and never get the numbers 0, 1 and 2, also where the engine has
 *             closed its standard input and output. After fork() the child may use a handle of its parent: it connects
 *             anew for itself, and borrows stay readable and unchanged until the child releases them or ends.
 *             Whichever of them ends, the other is not disturbed. An engine that closes descriptors which it did not
 *             open takes the protection from what it has borrowed in the memory of a daemon or of its store, and
 *             must not read it any more; with a daemon it must not use the handle either.
 * Hashes      64 hexadecimal digits of either case, NUL-terminated; the case makes no difference.
 * Namespaces  1 to 80 bytes of UTF-8. The empty string means the handle's own, which is WMBT_KV_NAMESPACE, or
 *             `default` when that is empty or unset. What is stored in one is never seen in another.
 *
 * When several arguments are wrong, they are checked in the order in which a function's comment lists them, all of
 * them before anything is sent.
 */
#ifndef WOMBATKV_H
#define WOMBATKV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Marks what the library exports. */
#ifndef WMBT_KV_API
#if defined(__GNUC__) && __GNUC__ >= 4
#define WMBT_KV_API __attribute__((visibility("default")))
#else
#define WMBT_KV_API
#endif
#endif

/* ---------------------------------------------------------------------------------------------------------
 * Version
 * --------------------------------------------------------------------------------------------------------- */

/*
 * The version of this interface that the header describes. A library of the same major version and at least this
 * minor version has everything in it.
 */
#define WMBT_KV_ABI_MAJOR 1
#define WMBT_KV_ABI_MINOR 1

/* The version in one number, as wmbt_kv_abi_version returns it. */
#define WMBT_KV_ABI_VERSION (((uint32_t)WMBT_KV_ABI_MAJOR << 16) | (uint32_t)WMBT_KV_ABI_MINOR)

/*
 * Returns the version of the library that is running: (major << 16) | minor. Never fails; does not change the last
 * error.
 *
 *     if (wmbt_kv_abi_version() >> 16 != WMBT_KV_ABI_MAJOR) { ... another library was found ... }
 * Threads: Any thread, beside all other calls.
 */
WMBT_KV_API uint32_t wmbt_kv_abi_version(void);

/* ---------------------------------------------------------------------------------------------------------
 * Open and close
 * --------------------------------------------------------------------------------------------------------- */

/* An open connection to a store. */
typedef struct wmbt_kv_handle wmbt_kv_handle_t;

/* Memory that a get returned. */
typedef struct wmbt_kv_borrow wmbt_kv_borrow_t;

/*
 * Opens the store that the environment names. The first of these that is set wins:
 *
 *     WMBT_KV_REMOTE_PREFIX=NAME      the daemon of that prefix on this host, by its memory and its Unix socket
 *     WMBT_KV_TCP_ADDR=HOST:PORT      a daemon over TCP; tls://HOST:PORT: encrypted
 *     WMBT_KV_HTTP_ADDR=HOST:PORT     a daemon over HTTP/1.1; https://HOST:PORT: encrypted
 *     none of them                    a store of this process alone; waits until it is ready, up to 10 s,
 *                                     and as long again until it is connected
 *
 * Also read: WMBT_KV_NAMESPACE, WMBT_KV_RUNTIME_DIR (where sockets are), WMBT_KV_TOKEN_FILE (what the daemon asks
 * for), WMBT_KV_PUT_DURABLE and the deadlines above. docs/CONFIG.md has all of them. A value that cannot be read
 * is an error that names the variable and what is accepted. A name WMBT_KV_... that is none is a line on standard
 * error, with the nearest one that is, and those that have no effect are another; once.
 *
 * Returns the handle, to be given to wmbt_kv_free, or NULL: see wmbt_kv_last_error.
 * Threads: Any thread, beside other calls; none may change the environment meanwhile (setenv, putenv).
 */
WMBT_KV_API wmbt_kv_handle_t *wmbt_kv_init_from_env(void);

/*
 * Opens the daemon at `addr`, which is "host:port" or "[address]:port", over TCP, encrypted with "tls://" before it;
 * everything else is as the environment says. The text is read during the call only.
 *
 * Returns the handle, to be given to wmbt_kv_free, or NULL: `addr` is NULL, is not UTF-8, is no address, or nobody
 * answers there within 10 s.
 * Threads: Any thread, beside other calls; none may change the environment meanwhile (setenv, putenv).
 */
WMBT_KV_API wmbt_kv_handle_t *wmbt_kv_open_tcp(const char *addr);

/*
 * The same over HTTP/1.1, encrypted with "https://" before `addr`, for networks that let nothing else through: TCP
 * moves the same bytes with less work. Returns as wmbt_kv_open_tcp a handle, to be given to wmbt_kv_free, or NULL.
 * Threads: Any thread, beside other calls; none may change the environment meanwhile (setenv, putenv).
 */
WMBT_KV_API wmbt_kv_handle_t *wmbt_kv_open_http(const char *addr);

/*
 * Closes the `handle` and its connections; a daemon goes on, and a store of one's own ends by itself after the last
 * handle. NULL is ignored. Waits for nothing. Borrows stay valid. Must not run beside another call on the handle, and
 * not twice. Does not change the last error.
 * Threads: Any thread, beside no other call on the handle.
 */
WMBT_KV_API void wmbt_kv_free(wmbt_kv_handle_t *handle);

/* ---------------------------------------------------------------------------------------------------------
 * Errors
 * --------------------------------------------------------------------------------------------------------- */

/*
 * Returns why the last call on this thread failed, or NULL when it did not (a miss is no failure). The functions that
 * take a handle or open one clear it when they begin, but for wmbt_kv_free; the others leave it alone. The text belongs
 * to the library and is valid until the next call of a wmbt_kv function on this thread.
 *
 * Texts are for people. A daemon's refusal begins with what to do about it: `unavailable` (go on without, try
 * later), `busy` (slow down: nothing was taken), `corrupt`, `incompatible`, `too large`, `invalid`, `closed`,
 * `aborted`; docs/ERRORS.md has more on each.
 * Threads: Each thread has its own; the others neither see nor change it.
 */
WMBT_KV_API const char *wmbt_kv_last_error(void);

/* ---------------------------------------------------------------------------------------------------------
 * Blocks
 * --------------------------------------------------------------------------------------------------------- */

/*
 * How many leading hashes of the list are stored for the namespace, in memory, on disk or in the object store.
 *
 *   out_matched   receives the number, 0 to `n`; untouched on error. Checked first.
 *   handle, ns    neither may be NULL.
 *   hashes        `n` hashes in the order of the prompt. May be NULL when `n` is 0, which is a match of 0.
 *   err_buf       see "Errors" above.
 *
 * Returns 0, or -1 for an error. A lookup that runs out of time succeeds with what is known by then.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_lookup_block_prefix(wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes,
                                                size_t n, size_t *out_matched, char *err_buf, size_t err_len);

/*
 * The bytes of all the blocks, in the order of the hashes: all of them or none.
 *
 *   out_ptrs, out_lens, out    none may be NULL. On success they receive an array of `n` pointers, an array of `n`
 *                 lengths, and the borrow that owns both and the bytes. Untouched otherwise. Checked first.
 *   handle, ns    neither may be NULL.
 *   hashes        `n` hashes; the same one may stand there twice. May be NULL when `n` is 0, which gives empty
 *                 arrays and a borrow.
 *
 * The memory must not be written: where it is the daemon's, that ends the process. It stays as it is until
 * wmbt_kv_release_borrow, whatever is evicted, overwritten or restarted meanwhile, and after wmbt_kv_free. Its pointers
 * have no alignment beyond that of malloc; that of a block of length 0 must not be read. Release what lies in the
 * daemon's memory soon: it is not used for anything else meanwhile. A handle borrows at most 1,016 blocks there at
 * once; beyond that they are copied.
 *
 * Returns 1: all are there. 0: at least one is not stored, or could not be had in time (the last error is NULL).
 * -1: an error.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_get_kv_blocks_borrowed(wmbt_kv_handle_t *handle, const char *ns,
                                                   const char *const *hashes, size_t n, const uint8_t ***out_ptrs,
                                                   const size_t **out_lens, wmbt_kv_borrow_t **out);

/*
 * Stores blocks. Those that are stored already cost a question, not a transfer.
 *
 *   handle, ns    neither may be NULL.
 *   hashes        `n` hashes in the order of the prompt; the same one may stand there twice. With `n` 0 nothing
 *                 else is looked at, and the result is 0.
 *   payloads      `n` pointers; one may be NULL where its length is 0. A block has at most 1 GiB.
 *   lens          `n` lengths, in bytes.
 *
 * A lookup from the first block sees all of the batch or none of it. When the call returns, the bytes survive the
 * death of this process and of the daemon, and are uploaded by whichever daemon comes next; with
 * WMBT_KV_PUT_DURABLE they are in the object store.
 *
 * Returns the sum of `lens`, whatever had to be sent, or -1 for an error; then part of the batch may have been
 * stored, and putting it again is right. At the daemon's limit of what waits for upload the text contains `busy`.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int64_t wmbt_kv_put_kv_blocks(wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes,
                                          const uint8_t *const *payloads, const size_t *lens, size_t n);

/*
 * Releases the `borrow` that a get returned: its bytes and its arrays. NULL is ignored. In any order, from any
 * thread, once. Does not change the last error. Memory of this process that bytes came into is kept for the next
 * get, at most 128 MiB for all handles; it is freed by a call or a release 10 s after the last such get, and with
 * the last handle.
 * Threads: Any thread, beside all calls but another release of the same borrow.
 */
WMBT_KV_API void wmbt_kv_release_borrow(wmbt_kv_borrow_t *borrow);

/* ---------------------------------------------------------------------------------------------------------
 * Raw tails
 *
 * The state of the tokens behind the last whole block, under that block's hash. The last one written wins. WARNING:
 * nothing here says which tokens a tail was computed from, and two prompts that share all whole blocks share the
 * tip. Keep the tokens in the bytes, and compare them before you install a tail.
 * --------------------------------------------------------------------------------------------------------- */

/*
 * Stores `len` bytes, at most 1 GiB, as the tail of the chain that ends with the block `tip_hex`.
 *
 *   handle, ns, tip_hex    none may be NULL.
 *   bytes         may be NULL when `len` is 0.
 *   tip_hex       64 hexadecimal digits.
 *
 * Returns 0, or -1 for an error.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_put_raw_tail(wmbt_kv_handle_t *handle, const char *ns, const char *tip_hex,
                                         const uint8_t *bytes, size_t len, char *err_buf, size_t err_len);

/*
 * The tail of the chain that ends with the block `tip_hex`.
 *
 *   out_bytes, out_len, out    none may be NULL; written only when the result is 1. The borrow is as that of
 *                 wmbt_kv_get_kv_blocks_borrowed. Checked first.
 *   handle, ns, tip_hex    as above.
 *
 * Returns 1: there is one. 0: there is none. -1: an error.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_get_raw_tail_borrowed(wmbt_kv_handle_t *handle, const char *ns, const char *tip_hex,
                                                  const uint8_t **out_bytes, size_t *out_len, wmbt_kv_borrow_t **out,
                                                  char *err_buf, size_t err_len);

/* ---------------------------------------------------------------------------------------------------------
 * ABI 1.1
 *
 * A program that may meet a library of ABI 1.0 asks wmbt_kv_abi_version first. Structures begin with their size,
 * set by their INIT macro or to sizeof, where later versions may add fields at the end: a library that does not know a
 * field refuses it unless it is zero. The others stay as they are; what is reserved in them must be 0.
 *
 *     wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
 *     call.time_limit_ms = 2000;
 *     call.flags = WMBT_KV_DURABLE;
 *     if (wmbt_kv_save(kv, "", blocks, n, &call, NULL) != 0) { ... wmbt_kv_last_error() ... }
 * --------------------------------------------------------------------------------------------------------- */

/* What to do about an error, as docs/ERRORS.md says of each. */
#define WMBT_KV_ERROR_NONE 0
#define WMBT_KV_ERROR_UNAVAILABLE 1  /* Go on without, and try later. */
#define WMBT_KV_ERROR_BUSY 2         /* Slow down: nothing was taken. */
#define WMBT_KV_ERROR_CORRUPT 3      /* Bytes failed a check: as a miss. */
#define WMBT_KV_ERROR_INCOMPATIBLE 4 /* One of the two is to be upgraded. */
#define WMBT_KV_ERROR_TOO_LARGE 5    /* It never fits. */
#define WMBT_KV_ERROR_INVALID 6      /* The call is to be mended. */
#define WMBT_KV_ERROR_CLOSED 7       /* The store was closing. */
#define WMBT_KV_ERROR_ABORTED 8      /* The call was cancelled. */

/*
 * Returns the code of the last error of this thread; WMBT_KV_ERROR_NONE where wmbt_kv_last_error is NULL. Of every
 * call, those of ABI 1.0 included.
 * Threads: Each thread has its own; the others neither see nor change it.
 */
WMBT_KV_API int32_t wmbt_kv_last_error_code(void);

/* Why a payload was not had. */
#define WMBT_KV_MISS_NONE 0
#define WMBT_KV_MISS_UNKNOWN 1           /* Nobody knows of it. */
#define WMBT_KV_MISS_EVICTED 2           /* It was there, and was dropped for lack of room, or removed by another. */
#define WMBT_KV_MISS_CORRUPT 3           /* Its bytes failed a check and were set aside. */
#define WMBT_KV_MISS_DECODED 4           /* It holds decoded tokens, and exact ones were asked for. */
#define WMBT_KV_MISS_OTHER_FINGERPRINT 5 /* It is another model's. */
#define WMBT_KV_MISS_DEADLINE 6          /* Time ran out. */
#define WMBT_KV_MISS_UNAVAILABLE 7       /* The object store, or the daemon in the middle of a load, did not answer. */
#define WMBT_KV_MISS_INCOMPATIBLE 8      /* It was written by a newer version. */
#define WMBT_KV_MISS_CLOSED 9            /* The store was closing. */

/*
 * Returns why the first payload that the last call on this thread did not find or get was not had: of a lookup or load
 * that gave fewer than all, a get that gave none. WMBT_KV_MISS_NONE when nothing was missed. A number that is none
 * of these is of a newer version. Of every call, those of ABI 1.0 included.
 * Threads: Each thread has its own; the others neither see nor change it.
 */
WMBT_KV_API int32_t wmbt_kv_last_miss(void);

/* Bytes of an outcome's text, with its NUL. */
#define WMBT_KV_OUTCOME_TEXT_MAX 512

/*
 * The same three for a caller whose next line may run on another thread: a coroutine, or a binding of a language that
 * calls from a pool of threads. Where a call, or options, point to one it is written when the call ends, also with
 * success.
 */
typedef struct wmbt_kv_outcome {
  size_t size;
  int32_t code; /* WMBT_KV_ERROR_... */
  int32_t miss; /* WMBT_KV_MISS_... */
  char text[WMBT_KV_OUTCOME_TEXT_MAX]; /* Empty, or the last error, cut to what fits. */
} wmbt_kv_outcome_t;

/* ------ Opening with options ------ */

/* Settings count from this structure alone: variables WMBT_KV_* and AWS_* of the environment do not. */
#define WMBT_KV_OPEN_WITHOUT_ENVIRONMENT 1u

/* What wmbt_kv_open takes instead of the environment. NULL, an empty text or 0 in a field: as the environment says. */
typedef struct wmbt_kv_open_options {
  size_t size;
  uint32_t flags;
  /* At most one: which daemon, as WMBT_KV_REMOTE_PREFIX, WMBT_KV_TCP_ADDR or WMBT_KV_HTTP_ADDR would name it. When
   * one of them is given, those variables do not count. */
  const char *remote_prefix;
  const char *tcp_addr;
  const char *http_addr;
  /* The handle's namespace. */
  const char *ns;
  /* What the daemon asks for: the token itself, where the environment has the name of a file. Not taken with TLS or a
   * near-cache: the process that is the daemon's client reads it from a file, WMBT_KV_TOKEN_FILE in `settings`. */
  const char *token;
  /*
   * Any setting of docs/CONFIG.md: "WMBT_KV_PUFFER_RAM_BYTES=2GiB", ..., NULL at the end. They count instead of the
   * variables of the same names, here and in a store of one's own. One with nothing behind `=` is as if it were not
   * set.
   */
  const char *const *settings;
  /* NULL: none is wanted. */
  wmbt_kv_outcome_t *outcome;
} wmbt_kv_open_t;

#define WMBT_KV_OPEN_INIT {sizeof(wmbt_kv_open_t), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL}

/*
 * Opens a store as the `options` say. NULL options are as wmbt_kv_init_from_env. They are read during the call only.
 * Returns the handle, to be given to wmbt_kv_free, or NULL: see wmbt_kv_last_error.
 * Threads: Any thread, beside other calls; none may change the environment meanwhile (setenv, putenv).
 */
WMBT_KV_API wmbt_kv_handle_t *wmbt_kv_open(const wmbt_kv_open_t *options);

/* ------ How a call is made ------ */

/* What ends calls early. It may be given to any number of calls, one after another and at once. */
typedef struct wmbt_kv_cancel_state wmbt_kv_cancel_t;

/*
 * Returns a new one, to be given to wmbt_kv_cancel_free, or NULL without memory. Does not change the last error;
 * neither do the two below.
 * Threads: Any thread, beside all other calls.
 */
WMBT_KV_API wmbt_kv_cancel_t *wmbt_kv_cancel_new(void);

/*
 * Ends the calls to which `cancel` was given: within about 20 ms they fail with WMBT_KV_ERROR_ABORTED, and so
 * does every later one, which then has done nothing. A save that is ended has stored all of its batch or none. What
 * is read is not changed by it. NULL is ignored. Not from a signal handler.
 * Threads: Any thread, beside the calls that it ends.
 */
WMBT_KV_API void wmbt_kv_cancel(wmbt_kv_cancel_t *cancel);

/*
 * Frees `cancel`, which no call under way was given. NULL is ignored.
 * Threads: Any thread, behind all calls that were given it.
 */
WMBT_KV_API void wmbt_kv_cancel_free(wmbt_kv_cancel_t *cancel);

#define WMBT_KV_DURABLE 1u  /* Of saves: return when the object store has confirmed. */
#define WMBT_KV_ACCEPTED 2u /* Of saves: return when accepted, also where WMBT_KV_PUT_DURABLE is on. */
#define WMBT_KV_EXACT 4u    /* Of loads: payloads that hold decoded tokens are misses. */

/* How one call is made. Fields that do not concern a call are not looked at, but for the flags. */
typedef struct wmbt_kv_call {
  size_t size;
  /* Milliseconds that it may take instead of the usual time; 0: the usual. WMBT_KV_REMOTE_CALL_TIMEOUT_MS bounds all
   * but a flush. A quarter of a second is added while an answer is on its way. */
  int64_t time_limit_ms;
  /* NULL: nothing ends it early. */
  wmbt_kv_cancel_t *cancel;
  uint32_t flags;
  /* The caller's model, 64 digits; NULL: not said. Saves keep it with the payloads. To loads, payloads that name
   * another are misses; those that name none are not. Zeros mean unknown. */
  const char *fingerprint;
  /* Of a save of blocks: the hash of the block before the first one. NULL: none, or not known. */
  const char *parent;
  /* NULL: none is wanted. */
  wmbt_kv_outcome_t *outcome;
} wmbt_kv_call_t;

#define WMBT_KV_CALL_INIT {sizeof(wmbt_kv_call_t), 0, NULL, 0, NULL, NULL, NULL}
#define WMBT_KV_OUTCOME_INIT {sizeof(wmbt_kv_outcome_t), 0, 0, {0}}

/*
 * Common to all functions below, besides the rules at the top:
 *
 *   handle, ns    neither may be NULL.
 *   hashes        `n` of them, in the order of the prompt. May be NULL when `n` is 0, for which nothing is asked.
 *   call          NULL is a call of which nothing is said.
 *
 * Result arguments are checked first, then handle, namespace, what the call is about, and `call`.
 */

/* ------ Reading ------ */

/*
 * As wmbt_kv_lookup_block_prefix, with the terms of `call`.
 *
 *   out_matched   receives the number; untouched on error.
 *
 * Returns 0, or -1 for an error. When fewer than all are stored, wmbt_kv_last_miss says why.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_lookup(wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes, size_t n,
                                   const wmbt_kv_call_t *call, size_t *out_matched);

/*
 * Which of the blocks are stored, whether or not those before them are: an engine that saves a conversation anew after
 * each turn need not serialise them. Takes up to the time of a load.
 *
 *   out_present   receives `n` bytes, 1 for a block that is stored and 0 for one that is not; untouched on error.
 *                 May be NULL when `n` is 0.
 *
 * Returns 0, or -1 for an error.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_contains(wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes, size_t n,
                                     const wmbt_kv_call_t *call, uint8_t *out_present);

#define WMBT_KV_TIER_MEMORY 0u
#define WMBT_KV_TIER_DISK 1u
#define WMBT_KV_TIER_OBJECT 2u

/* Tokens of it were decoded one by one, not prefilled: of a payload, or of what is saved. */
#define WMBT_KV_DECODED 1u

/* A payload on loan, by the rules of wmbt_kv_get_kv_blocks_borrowed. */
typedef struct wmbt_kv_payload {
  const uint8_t *bytes;
  size_t length;
  uint32_t tokens; /* 0: not known. Of a tail: how many of the tokens asked for it covers. */
  uint32_t flags;  /* WMBT_KV_DECODED, or 0. */
  uint32_t tier;   /* Where it was found: WMBT_KV_TIER_... */
  uint32_t crc32c; /* Of the bytes, as wmbt_kv_crc32c computes it. */
} wmbt_kv_payload_t;

/*
 * The leading blocks, up to the first that cannot be had.
 *
 *   out_payloads, out_count, out    none may be NULL. Unless it is an error they receive an array, how many blocks it
 *                 has, and the borrow that owns it and the bytes, which is there also when the count is 0.
 *
 * Returns 1: all are there. 0: fewer, see wmbt_kv_last_miss. -1: an error, and the results are untouched.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_load(wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes, size_t n,
                                 const wmbt_kv_call_t *call, const wmbt_kv_payload_t **out_payloads, size_t *out_count,
                                 wmbt_kv_borrow_t **out);

/*
 * Brings the leading blocks of a chain into the store's memory.
 *
 *   out_count     NULL: the store begins with it, and the call returns at once. Else the call waits, up to the time of
 *                 a load, and it receives how many are there; untouched on error.
 *
 * Returns 1: begun, or done. 0: nothing was begun, because as many as may be (2 for a handle) are under way; only with
 * NULL. -1: an error. Whether what was begun succeeds is not said.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_prefetch(wmbt_kv_handle_t *handle, const char *ns, const char *const *hashes, size_t n,
                                     const wmbt_kv_call_t *call, size_t *out_count);

/* ------ Writing ------ */

/* A position that is not known. */
#define WMBT_KV_POSITION_UNKNOWN UINT32_C(0xffffffff)

/* A block to save. */
typedef struct wmbt_kv_block {
  const char *hash;
  const uint8_t *bytes; /* May be NULL when `length` is 0. */
  size_t length;        /* At most 1 GiB. */
  uint32_t tokens;      /* 0: not known. */
  uint32_t position;    /* Index of its first token in the sequence, or WMBT_KV_POSITION_UNKNOWN. */
  uint32_t flags;       /* WMBT_KV_DECODED, or 0. */
  uint32_t reserved;    /* 0. */
} wmbt_kv_block_t;

/* What a save came to. */
typedef struct wmbt_kv_saved {
  uint64_t saved;       /* Payloads that were new. */
  uint64_t known;       /* Payloads that were stored already. */
  uint64_t saved_bytes; /* Bytes of the new ones. */
} wmbt_kv_saved_t;

/*
 * Stores blocks of one chain, in its order, as wmbt_kv_put_kv_blocks does.
 *
 *   blocks        `n` of them. May be NULL when `n` is 0.
 *   out           receives what it came to; may be NULL; untouched on error.
 *
 * Returns 0, or -1 for an error. After WMBT_KV_ERROR_BUSY or WMBT_KV_ERROR_TOO_LARGE nothing of a batch of up to 65,536
 * blocks is stored; after WMBT_KV_ERROR_UNAVAILABLE or WMBT_KV_ERROR_ABORTED of a durable one it may be, and be
 * uploaded.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_save(wmbt_kv_handle_t *handle, const char *ns, const wmbt_kv_block_t *blocks, size_t n,
                                 const wmbt_kv_call_t *call, wmbt_kv_saved_t *out);

/*
 * Waits until everything that the store accepted before is in the object store: 60 s, or as long as `call` says.
 * Returns 0, or -1: WMBT_KV_ERROR_UNAVAILABLE when an upload was refused, or the object store is gone. What is pending
 * stays pending.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_flush(wmbt_kv_handle_t *handle, const char *ns, const wmbt_kv_call_t *call);

#define WMBT_KV_DELETE_BLOCKS 0    /* The blocks of the hashes. */
#define WMBT_KV_DELETE_SUBTREE 1   /* The block of the one hash, and all that continue it. */
#define WMBT_KV_DELETE_NAMESPACE 2 /* All of the namespace. */

/*
 * Removes blocks from the store's tiers and from the object store: 60 s, or as long as `call` says, and no longer than
 * WMBT_KV_REMOTE_CALL_TIMEOUT_MS (30 s).
 *
 *   what          one of the three above.
 *   hashes        `n` of them for blocks, 1 for a subtree, 0 for a namespace.
 *   out_objects   receives how many objects were removed; may be NULL; untouched on error.
 *
 * Returns 0, or -1 for an error.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_delete(wmbt_kv_handle_t *handle, const char *ns, int32_t what, const char *const *hashes,
                                   size_t n, const wmbt_kv_call_t *call, uint64_t *out_objects);

/* ------ Tails that are bound to their tokens ------ */

/* A tail: the state of the tokens behind the last whole block. */
typedef struct wmbt_kv_tail {
  const char *tip;       /* The hash of that block; that of an empty chain is its seed. */
  const int32_t *tokens; /* What it was computed from. */
  size_t token_count;    /* At most 8192. */
  const uint8_t *bytes;  /* May be NULL when `length` is 0. */
  size_t length;         /* At most 1 GiB. */
  uint32_t position;     /* Index of the first token in the sequence, or WMBT_KV_POSITION_UNKNOWN. */
  uint32_t flags;        /* WMBT_KV_DECODED, or 0. */
} wmbt_kv_tail_t;

/*
 * Stores a tail under its tip and its tokens: another prompt with the same blocks does not find it. At most eight are
 * kept under a tip.
 *
 *   tail          may not be NULL.
 *   out           as of wmbt_kv_save.
 *
 * Returns 0, or -1 for an error.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_save_tail(wmbt_kv_handle_t *handle, const char *ns, const wmbt_kv_tail_t *tail,
                                      const wmbt_kv_call_t *call, wmbt_kv_saved_t *out);

/*
 * The longest stored tail that continues the chain with these tokens: its own are the first of them.
 *
 *   out_payload, out    neither may be NULL; written only when the result is 1: the payload, and the borrow that owns
 *                 it, to be given to wmbt_kv_release_borrow.
 *   tip           64 digits.
 *   tokens        `token_count` of them, at most 8192, those behind the last whole block. NULL only when there are
 *                 none.
 *
 * Returns 1: there is one. 0: there is none, see wmbt_kv_last_miss. -1: an error.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_load_tail(wmbt_kv_handle_t *handle, const char *ns, const char *tip, const int32_t *tokens,
                                      size_t token_count, const wmbt_kv_call_t *call,
                                      const wmbt_kv_payload_t **out_payload, wmbt_kv_borrow_t **out);

/*
 * As wmbt_kv_put_raw_tail, `length` `bytes` under `tip`, with the terms of `call`; `out` as of wmbt_kv_save.
 * Returns 0, or -1 for an error.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_save_raw_tail(wmbt_kv_handle_t *handle, const char *ns, const char *tip,
                                          const uint8_t *bytes, size_t length, const wmbt_kv_call_t *call,
                                          wmbt_kv_saved_t *out);

/*
 * As wmbt_kv_get_raw_tail_borrowed, of `tip`, with the terms of `call`.
 *
 *   out_payload, out    neither may be NULL; written only when the result is 1: the payload, and the borrow that owns
 *                 it, to be given to wmbt_kv_release_borrow.
 *
 * Returns 1: there is one. 0: there is none, see wmbt_kv_last_miss. -1: an error.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_load_raw_tail(wmbt_kv_handle_t *handle, const char *ns, const char *tip,
                                          const wmbt_kv_call_t *call, const wmbt_kv_payload_t **out_payload,
                                          wmbt_kv_borrow_t **out);

/* ------ Statistics ------ */

/* Statistics of a store, and of one handle. */
typedef struct wmbt_kv_statistics {
  size_t size;
  /*
   * Those of the store as JSON, `json_length` bytes of UTF-8 with a NUL behind them, until the borrow is released.
   * Names and meanings are those of StoreStats in src/blocks/kv-store.ts; readers skip names that they do not know.
   */
  const char *json;
  size_t json_length;
  /* Blocks and tails, and their bytes, that this handle borrowed from the store's memory itself: the store does not
   * count them. */
  uint64_t lent_blocks;
  uint64_t lent_bytes;
  /* Those that this handle was given to save and found in the store's memory: the store does not count them as
   * known. */
  uint64_t found_blocks;
} wmbt_kv_stats_t;

#define WMBT_KV_STATS_INIT {sizeof(wmbt_kv_stats_t), NULL, 0, 0, 0, 0}

/*
 * Counters since the store was opened, and what its tiers hold now. Takes up to the time of a lookup.
 *
 *   out_stats     its size is set; the rest is written on success. Neither it nor `out` may be NULL.
 *   out           receives the borrow that owns the text.
 *
 * Returns 0, or -1 for an error.
 * Threads: Any thread, beside all other calls but wmbt_kv_free of the handle.
 */
WMBT_KV_API int32_t wmbt_kv_stats(wmbt_kv_handle_t *handle, const char *ns, const wmbt_kv_call_t *call,
                                  wmbt_kv_stats_t *out_stats, wmbt_kv_borrow_t **out);

/* ---------------------------------------------------------------------------------------------------------
 * Hashes and checksums
 *
 * They need no handle, take no time limit, and do not change the last error. Any number of threads may call them.
 *
 * The chain of block hashes over tokens, with blocks of B tokens as 32-bit little-endian integers:
 *
 *     seed     = blake3_hex(seed input)         "WMBTBLK1|<fingerprint of the model>|..."
 *     chain[0] = blake3_hex(seed     followed by the tokens 0 to B-1)
 *     chain[i] = blake3_hex(chain[i-1] followed by the tokens iB to (i+1)B-1)
 *
 * where a hash goes in as its 64 characters.
 * --------------------------------------------------------------------------------------------------------- */

/*
 * BLAKE3 of the `in_len` bytes at `in` as 64 lower-case digits and a NUL, written to the 65 characters at `out65`.
 * Returns 0, or -1 when `in` or `out65` is NULL, also when `in_len` is 0.
 * Threads: Any thread, beside all other calls.
 */
WMBT_KV_API int32_t wmbt_kv_blake3_64hex(const uint8_t *in, size_t in_len, char *out65);

/*
 * Returns the CRC32C (Castagnoli) of the `in_len` bytes at `in`; 0 when there are none or `in` is NULL.
 * Threads: Any thread, beside all other calls.
 */
WMBT_KV_API uint32_t wmbt_kv_crc32c(const uint8_t *in, size_t in_len);

/*
 * Returns the CRC32C of something followed by the `in_len` bytes at `in`, given `crc`, that of the something. `crc`
 * itself when there are none or `in` is NULL.
 * Threads: Any thread, beside all other calls.
 */
WMBT_KV_API uint32_t wmbt_kv_crc32c_append(uint32_t crc, const uint8_t *in, size_t in_len);

#ifdef __cplusplus
}
#endif

#endif /* WOMBATKV_H */
