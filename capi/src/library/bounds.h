/*
 * Every bound of the C library that is not a setting. Those of the system stand in src/blocks/limits.ts and
 * docs/PROTOCOL.md too; test/capi/constants.test.ts compares them.
 */
#ifndef WMBT_BOUNDS_H
#define WMBT_BOUNDS_H

/* UTF-8 bytes of a namespace name. */
#define WMBT_NAMESPACE_BYTES_MAX 80
/* Bytes of one payload. */
#define WMBT_PAYLOAD_BYTES_MAX 1073741824
/* Tokens that a tail is bound to. */
#define WMBT_TAIL_TOKENS_MAX 8192
/* Keys in one call; longer lists go in several. */
#define WMBT_KEYS_PER_CALL_MAX 65536
/* Bytes of a piece of a payload. */
#define WMBT_PIECE_BYTES_MAX 1048576
/* Bytes of a message that this side sends. */
#define WMBT_MESSAGE_BYTES_MAX 8388608
/* Payload bytes that go along with a save unasked: below them a round trip costs more. */
#define WMBT_EAGER_BYTES_MAX 131072
/* Connections of a client that a daemon lets in. */
#define WMBT_CONNECTIONS_PER_CLIENT_MAX 16

/* Deadlines of calls that have no setting of their own, and what is waited beyond a deadline for the answer. */
#define WMBT_SAVE_DEADLINE_MS 10000
#define WMBT_TAIL_DEADLINE_MS 10000
#define WMBT_FLUSH_DEADLINE_MS 60000
#define WMBT_DELETE_DEADLINE_MS 60000
#define WMBT_ANSWER_GRACE_MS 250
/* How long a call waits for a daemon that was away when it was last tried, and the pause between two attempts. */
#define WMBT_AWAY_WAIT_MS 30
#define WMBT_AWAY_GAP_MS 15
/* A wait of a call that may be cancelled looks as often as this whether it was. */
#define WMBT_CANCEL_LOOK_MS 20
/* Attempts of one call whose connection is lost under way. */
#define WMBT_CALL_ATTEMPTS_MAX 4

/* Time to connect and be let in, as engines know it. */
#define WMBT_CONNECT_MS 10000
/*
 * Connections of a handle, and those that calls with payloads may use. Below what a daemon lets in, because one
 * that was lost may not be known to be gone at its other end.
 */
#define WMBT_CONNECTIONS_MAX 12
#define WMBT_BULK_CONNECTIONS_MAX 8
/* Of those, connections with a prefetch that nobody waits for. */
#define WMBT_PREFETCHES_MAX 2
/*
 * Bytes read at a time, and of the longest frame that a client is sent: `wanted` for all keys of a call has 8204.
 */
#define WMBT_READ_BYTES 65536
/* Pause between two looks for a daemon's shared memory that was not there. */
#define WMBT_SHARED_AGAIN_MS 1000
/* Between two times that a daemon is told of what was used without asking it, and how long that may take. */
#define WMBT_NOTE_MS 1000
/*
 * Bytes of an answer of HTTP that is text; bytes of one request of a save, and those below which nobody is asked first.
 */
#define WMBT_HTTP_TEXT_BYTES_MAX 1048576
#define WMBT_HTTP_SAVE_BYTES_MAX 268435456
#define WMBT_HTTP_ASK_BYTES_MIN 65536
/*
 * Memory for payloads that is kept for the next load, and for how long behind the last one. Of a load comes as much at
 * a time as the third says, and what is shorter than the fourth is not kept.
 */
#define WMBT_KEPT_BYTES_MAX 134217728
#define WMBT_KEPT_REST_MS 10000
#define WMBT_REGION_BYTES_MAX 16777216
#define WMBT_KEPT_BYTES_MIN 262144
/* Bytes of a payload that are read before their checksum is computed, which finds them in the processor's cache. */
#define WMBT_SLICE_BYTES 262144
/* Addresses of one host name that are tried. */
#define WMBT_ADDRESSES_MAX 8
/* Characters of a token, and bytes of a file that holds one. */
#define WMBT_TOKEN_BYTES_MAX 512
#define WMBT_TOKEN_FILE_BYTES_MAX 262144
/* Characters of a setting's name that are compared, and unknown names that are shown, each in a line. */
#define WMBT_SETTING_NAME_MAX 80
#define WMBT_UNKNOWN_NAMES_MAX 16

/* Time for a store process to say that it is ready: it reads what an earlier one left, on a busy machine. */
#define WMBT_STORE_START_MS 10000
/* One that ends sooner than this after its start is a failure; pauses after the second one, doubled up to a limit. */
#define WMBT_STORE_SOON_MS 10000
#define WMBT_STORE_PAUSE_MS 100
#define WMBT_STORE_PAUSE_MS_MAX 5000
/* Between the ends of two sockets of a process that is killed. */
#define WMBT_STORE_END_MS 10
/* Store processes that were left to themselves and are waited for. */
#define WMBT_LEAVING_MAX 16

/* What a daemon's log calls this program. */
#define WMBT_AGENT_VERSION "1.1"

#endif
