#include "hostile-peer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../src/crc32c.h"
#include "../../src/library/clock.h"
#include "../../src/library/remote.h"

enum { script_max = 512 * 1024, payload_bytes = 90000, payload_count = 2, rounds = 1000 };

/* What the peer answers on every connection: `welcome`, then the rest when the call has come. */
static struct {
  int listener;
  uint8_t bytes[script_max];
  size_t welcome, length;
  /* Held by whoever writes the script, and by the peer while it speaks. */
  pthread_mutex_t lock;
  /* What the peer reads before it sends what stands behind `pause`. */
  size_t pause, awaited;
  /* Connections that were served. */
  unsigned served;
} script = {.lock = PTHREAD_MUTEX_INITIALIZER};

static unsigned loaded, saved;

/* Where the peer listens, and its thread. */
static struct {
  char folder[64];
  struct sockaddr_un address;
  pthread_t thread;
} place;

static uint8_t payload[payload_bytes];

static void add(const void *bytes, size_t length) {
  (void)memcpy(script.bytes + script.length, bytes, length);
  script.length += length;
}

static void add_message(uint8_t type, uint32_t id, struct wmbt_writer *body) {
  uint8_t header[wmbt_frame_header_bytes];
  wmbt_frame_encode_message((enum wmbt_frame_type)type, id, body->bytes, body->length, header);
  add(header, sizeof header);
  if (body->length > 0) add(body->bytes, body->length);
  wmbt_writer_free(body);
}

static void add_welcome(void) {
  struct wmbt_writer body = {0};
  script.length = script.awaited = 0;
  wmbt_write_u16(&body, 1);
  wmbt_write_u32(&body, 0);
  wmbt_write_u32(&body, 8388608);
  wmbt_write_u32(&body, 1048576);
  wmbt_write_u32(&body, 131072);
  wmbt_write_u32(&body, 256);
  wmbt_write_u32(&body, 16);
  wmbt_write_text(&body, "script");
  add_message(wmbt_frame_welcome, 0, &body);
  script.welcome = script.pause = script.length;
}

static void add_load(void) {
  struct wmbt_writer body = {0};
  for (uint32_t i = 0; i < payload_count; i += 1) {
    wmbt_write_u32(&body, i);
    wmbt_write_u32(&body, payload_bytes);
    wmbt_write_u32(&body, wmbt_crc32c_append(0, payload, payload_bytes));
    wmbt_write_u32(&body, 0);
    wmbt_write_u16(&body, 0);
    add_message(wmbt_frame_payload, 1, &body);
    for (size_t at = 0; at < payload_bytes; at += payload_bytes / 3) {
      const struct wmbt_frame_header piece = {wmbt_frame_data, 1, payload_bytes / 3, 0};
      uint8_t header[wmbt_frame_header_bytes];
      wmbt_frame_encode_header(&piece, header);
      add(header, sizeof header);
      add(payload + at, payload_bytes / 3);
    }
  }
  wmbt_write_u32(&body, payload_count);
  wmbt_write_u8(&body, 0);
  add_message(wmbt_frame_loaded, 1, &body);
}

static void add_save(void) {
  struct wmbt_writer body = {0};
  wmbt_write_u32(&body, 1000000);
  wmbt_write_u32(&body, 0);
  wmbt_write_u32(&body, payload_count);
  wmbt_write_u8(&body, 3);
  add_message(wmbt_frame_wanted, 1, &body);
  script.pause = script.length;
  script.awaited = payload_bytes * payload_count;
  wmbt_write_u32(&body, payload_count);
  wmbt_write_u32(&body, 0);
  wmbt_write_u32(&body, payload_bytes * payload_count);
  wmbt_write_u32(&body, 0);
  add_message(wmbt_frame_saved, 1, &body);
}

/* Changes bytes behind `welcome`, half of them near the headers, or cuts the script off. */
static void spoil(void) {
  const size_t room = script.length - script.welcome;
  for (uint64_t changes = next_random() % 3; changes > 0; changes -= 1) {
    const size_t at = next_random() % 2 == 0 ? next_random() % (room < 64 ? room : 64) : next_random() % room;
    script.bytes[script.welcome + at] ^= (uint8_t)(1 << (next_random() % 8));
  }
  if (next_random() % 4 == 0) script.length = script.welcome + next_random() % room;
  if (script.pause > script.length) script.pause = script.length;
}

/* Reads until `enough` bytes have come or the other side has left. */
static void read_away(int fd, size_t enough) {
  static uint8_t drop[65536];
  for (size_t got = 0; got < enough;) {
    const ssize_t count = recv(fd, drop, sizeof drop, 0);
    if (count <= 0) return;
    got += (size_t)count;
  }
}

static void send_part(int fd, size_t start, size_t end) {
  (void)send(fd, script.bytes + start, end - start, MSG_NOSIGNAL);
}

/* Answers one connection after another, until the listener is closed. */
static void *serve(void *unused) {
  (void)unused;
  for (;;) {
    const int fd = accept(script.listener, NULL, NULL);
    if (fd < 0) return NULL;
    (void)pthread_mutex_lock(&script.lock);
    read_away(fd, 1);
    send_part(fd, 0, script.welcome);
    read_away(fd, 1);
    send_part(fd, script.welcome, script.pause);
    read_away(fd, script.awaited);
    send_part(fd, script.pause, script.length);
    (void)shutdown(fd, SHUT_WR);
    read_away(fd, SIZE_MAX);
    (void)close(fd);
    script.served += 1;
    (void)pthread_mutex_unlock(&script.lock);
  }
}

static void load_once(struct wmbt_mode *mode, const struct wmbt_keys *keys) {
  struct wmbt_failure failure;
  struct wmbt_borrow *borrow = wmbt_borrow_new(payload_count, true);
  if (borrow == NULL) exit(2);
  const enum wmbt_outcome outcome = mode->calls->load(mode, keys, borrow, &failure);
  loaded += outcome == wmbt_had ? 1 : 0;
  for (size_t i = 0; outcome == wmbt_had && i < payload_count; i += 1) {
    const bool is_equal =
        borrow->lengths[i] == payload_bytes && memcmp(borrow->payloads[i], payload, payload_bytes) == 0;
    (void)expect_of_calls(is_equal, "wrong bytes were given");
  }
  wmbt_borrow_free(borrow);
}

static void save_once(struct wmbt_mode *mode, const struct wmbt_keys *keys) {
  struct wmbt_failure failure;
  const uint8_t *payloads[payload_count] = {payload, payload};
  const size_t lens[payload_count] = {payload_bytes, payload_bytes};
  saved += mode->calls->save(mode, keys, payloads, lens, &failure) ? 1 : 0;
}

/* Calls may take so long; opening succeeds however slow the machine is. */
static struct wmbt_call_settings settings_of(int64_t call_ms) {
  return (struct wmbt_call_settings){.lookup_ms = call_ms,
                                     .load_ms = call_ms,
                                     .save_ms = call_ms,
                                     .tail_ms = call_ms,
                                     .delete_ms = call_ms,
                                     .connect_ms = 60000,
                                     .most_ms = 60000};
}

static struct wmbt_mode *open_mode(const char *path, const struct wmbt_call_settings *settings) {
  struct wmbt_failure failure;
  struct wmbt_peer *peer = wmbt_peer_new(path, NULL, "", &failure);
  struct wmbt_mode *mode = peer == NULL ? NULL : wmbt_remote_open(peer, settings, &failure);
  if (mode != NULL) return mode;
  fprintf(stderr, "cannot open: %s\n", failure.text);
  exit(2);
}

static void start_peer(void) {
  place.address = (struct sockaddr_un){.sun_family = AF_UNIX};
  (void)snprintf(place.folder, sizeof place.folder, "/tmp/wombatkv-frames-XXXXXX");
  if (mkdtemp(place.folder) == NULL) exit(2);
  (void)snprintf(place.address.sun_path, sizeof place.address.sun_path, "%s/s", place.folder);
  script.listener = socket(AF_UNIX, SOCK_STREAM, 0);
  script.served = 0;
  if (bind(script.listener, (const struct sockaddr *)&place.address, sizeof place.address) != 0) exit(2);
  if (listen(script.listener, 16) != 0) exit(2);
  add_welcome();
  if (pthread_create(&place.thread, NULL, serve, NULL) != 0) exit(2);
}

static void stop_peer(void) {
  (void)shutdown(script.listener, SHUT_RDWR);
  (void)pthread_join(place.thread, NULL);
  (void)close(script.listener);
  (void)unlink(place.address.sun_path);
  (void)rmdir(place.folder);
}

/* Of blocks without bytes, whose payloads go along unasked: 65,536 in one call, and the rest in another. */
void saves_of_many_keys(void) {
  enum { many = 65540 };
  struct wmbt_key *keys = calloc(many, sizeof *keys);
  const uint8_t **payloads = calloc(many, sizeof *payloads);
  size_t *lens = calloc(many, sizeof *lens);
  if (keys == NULL || payloads == NULL || lens == NULL) exit(2);
  start_peer();
  (void)pthread_mutex_lock(&script.lock);
  struct wmbt_writer body = {0};
  for (unsigned i = 0; i < 4; i += 1) wmbt_write_u32(&body, 0);
  add_message(wmbt_frame_saved, 1, &body);
  (void)pthread_mutex_unlock(&script.lock);
  const struct wmbt_call_settings settings = settings_of(60000);
  struct wmbt_mode *mode = open_mode(place.address.sun_path, &settings);
  struct wmbt_failure failure = {.text = ""};
  struct wmbt_terms terms = {0};
  const struct wmbt_keys list = {"default", keys, many, &terms};
  (void)expect_of_calls(mode->calls->save(mode, &list, payloads, lens, &failure), failure.text);
  mode->calls->close(mode);
  stop_peer();
  (void)expect_of_calls(script.served == 2, "not two calls");
  free(keys);
  free(payloads);
  free(lens);
}

void calls_on_spoiled_answers(void) {
  start_peer();
  /* Calls are short, for some wait for their deadline. */
  const struct wmbt_call_settings settings = settings_of(300);
  for (size_t i = 0; i < payload_bytes; i += 1) payload[i] = (uint8_t)(i * 7 + i / 251);
  struct wmbt_key pair[payload_count] = {{{1}}, {{2}}};
  struct wmbt_terms terms = {0};
  const struct wmbt_keys keys = {"default", pair, payload_count, &terms};
  for (unsigned round = 0; round < rounds; round += 1) {
    /* A save whose answer is spoiled waits for its deadline, so there are few. */
    const bool is_load = round % 20 != 0;
    (void)pthread_mutex_lock(&script.lock);
    add_welcome();
    if (is_load) {
      add_load();
    } else {
      add_save();
    }
    if (is_load || round % 40 == 0) spoil();
    (void)pthread_mutex_unlock(&script.lock);
    struct wmbt_mode *mode = open_mode(place.address.sun_path, &settings);
    const int64_t began = wmbt_now_ms();
    if (is_load) {
      load_once(mode, &keys);
    } else {
      save_once(mode, &keys);
    }
    (void)expect_of_calls(wmbt_now_ms() - began < 5000, "a call did not end in time");
    mode->calls->close(mode);
  }
  (void)expect_of_calls(loaded >= 50 && loaded < rounds - 50 && saved >= 25, "too few calls succeeded, or failed");
  stop_peer();
}
