/* A peer that answers calls of HTTP rightly, but for one answer that it spoils. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../src/crc32c.h"
#include "../../src/library/clock.h"
#include "../../src/library/http-bulk.h"
#include "../../src/library/http.h"
#include "frames-test.h"
#include "http-test.h"

enum { answer_max = 512 * 1024, payload_bytes = 90000, payload_count = 2, rounds = 1000 };

static uint8_t payload[payload_bytes];
static const struct wmbt_key pair[payload_count] = {{{1}}, {{2}}};

/* What is answered to a load or a save; held by whoever writes it, and by the peer while it sends. */
static struct {
  pthread_mutex_t lock;
  uint8_t bytes[answer_max];
  size_t length;
} spoiled = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct {
  int listener;
  char folder[64];
  struct sockaddr_un address;
  pthread_t thread;
} place;

static void add(const void *bytes, size_t length) {
  (void)memcpy(spoiled.bytes + spoiled.length, bytes, length);
  spoiled.length += length;
}

static void add_text(const char *text) { add(text, strlen(text)); }

/* The body as chunks of random lengths. */
static void add_chunks(const uint8_t *body, size_t length) {
  char line[64];
  add_text("HTTP/1.1 200 OK\r\ncontent-type: application/vnd.wombatkv.bulk\r\ntransfer-encoding: chunked\r\n\r\n");
  for (size_t at = 0; at < length;) {
    size_t piece = 1 + next_random() % 40000;
    if (piece > length - at) piece = length - at;
    (void)snprintf(line, sizeof line, "%zx;n=%zu\r\n", piece, at);
    add_text(line);
    add(body + at, piece);
    add_text("\r\n");
    at += piece;
  }
  add_text("0\r\nchecked: no\r\n\r\n");
}

static void answer_load(void) {
  static uint8_t body[answer_max / 2];
  char line[64];
  const size_t lens[payload_count] = {payload_bytes, payload_bytes};
  const struct wmbt_bulk_batch batch = {.keys = pair, .lens = lens, .count = payload_count, .attributes = "{}"};
  struct wmbt_writer table = {0};
  wmbt_bulk_encode(&table, &batch);
  size_t length = table.length;
  (void)memcpy(body, table.bytes, length);
  wmbt_writer_free(&table);
  for (unsigned i = 0; i < payload_count; i += 1) {
    (void)memcpy(body + length, payload, payload_bytes);
    wmbt_put_u32(body + length + payload_bytes, wmbt_crc32c_append(0, payload, payload_bytes));
    length += payload_bytes + 4;
  }
  spoiled.length = 0;
  if (next_random() % 3 == 0) {
    add_chunks(body, length);
    return;
  }
  add_text("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: application/vnd.wombatkv.bulk\r\n");
  (void)snprintf(line, sizeof line, "content-length: %zu\r\n\r\n", length);
  add_text(line);
  add(body, length);
}

static void answer_save(void) {
  spoiled.length = 0;
  add_text("HTTP/1.1 200 OK\r\ncontent-length: 43\r\n\r\n{\"saved\":2,\"known\":0,\"savedBytes\":180000  }");
}

/* Half of the changes are near the heads. */
static void spoil(void) {
  for (uint64_t changes = next_random() % 3; changes > 0; changes -= 1) {
    const size_t near = spoiled.length < 300 ? spoiled.length : 300;
    const size_t at = next_random() % 2 == 0 ? next_random() % near : next_random() % spoiled.length;
    spoiled.bytes[at] ^= (uint8_t)(1 << (next_random() % 8));
  }
  if (next_random() % 4 == 0) spoiled.length = next_random() % spoiled.length;
}

static bool send_all(int fd, const void *bytes, size_t length) {
  return send(fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static bool send_json(int fd, const char *text) {
  char answer[256];
  const int length =
      snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\n\r\n%s", strlen(text), text);
  return send_all(fd, answer, (size_t)length);
}

/* Reads one request away; its head is in `head`. */
static bool read_request(int fd, char head[4096]) {
  static uint8_t drop[65536];
  size_t length = 0;
  do {
    if (length + 1 == 4096 || recv(fd, head + length, 1, 0) != 1) return false;
    length += 1;
    head[length] = '\0';
  } while (strstr(head, "\r\n\r\n") == NULL);
  const char *stated = strstr(head, "content-length: ");
  size_t left = stated == NULL ? 0 : (size_t)strtoull(stated + 16, NULL, 10);
  while (left > 0) {
    const ssize_t count = recv(fd, drop, left < sizeof drop ? left : sizeof drop, 0);
    if (count <= 0) return false;
    left -= (size_t)count;
  }
  return true;
}

/* Of the peer's own thread. */
static unsigned connection_count;

/* False when the connection is over. */
static bool answer_request(int fd, const char *head) {
  if (strstr(head, "/ping") != NULL) return send_json(fd, "");
  if (strstr(head, "/contains") != NULL) {
    const bool is_entry = strstr(head, "content-length: 11\r\n") != NULL;
    /* Of daemons that know of the newer bulk body, and of others. */
    const char *answer =
        connection_count % 2 == 0 ? "{\"stored\":[false,false],\"bulk\":2}" : "{\"stored\":[false,false]}";
    return send_json(fd, is_entry ? "{\"stored\":[]}" : answer);
  }
  (void)pthread_mutex_lock(&spoiled.lock);
  (void)send_all(fd, spoiled.bytes, spoiled.length);
  (void)pthread_mutex_unlock(&spoiled.lock);
  (void)shutdown(fd, SHUT_WR);
  return false;
}

static void *serve(void *unused) {
  (void)unused;
  char head[4096];
  for (;;) {
    const int fd = accept(place.listener, NULL, NULL);
    if (fd < 0) return NULL;
    connection_count += 1;
    while (read_request(fd, head) && answer_request(fd, head)) continue;
    /* Until the other side has left too. */
    while (recv(fd, head, sizeof head, 0) > 0) continue;
    (void)close(fd);
  }
}

static void start_peer(void) {
  place.address = (struct sockaddr_un){.sun_family = AF_UNIX};
  (void)snprintf(place.folder, sizeof place.folder, "/tmp/wombatkv-http-XXXXXX");
  if (mkdtemp(place.folder) == NULL) exit(2);
  (void)snprintf(place.address.sun_path, sizeof place.address.sun_path, "%s/s", place.folder);
  place.listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(place.listener, (const struct sockaddr *)&place.address, sizeof place.address) != 0) exit(2);
  if (listen(place.listener, 16) != 0) exit(2);
  if (pthread_create(&place.thread, NULL, serve, NULL) != 0) exit(2);
}

static void stop_peer(void) {
  (void)shutdown(place.listener, SHUT_RDWR);
  (void)pthread_join(place.thread, NULL);
  (void)close(place.listener);
  (void)unlink(place.address.sun_path);
  (void)rmdir(place.folder);
}

static struct wmbt_mode *open_mode(void) {
  /* Calls are short, for some wait for their deadline; opening succeeds however slow the machine is. */
  const struct wmbt_settings settings = {.ns = "a b/c", .calls = {300, 300, 300, 300, 300, 60000, 300, false}};
  const struct wmbt_endpoint endpoint = {.host = "::1", .port = "80"};
  struct wmbt_failure failure;
  struct wmbt_peer *peer = wmbt_peer_new(place.address.sun_path, NULL, "token", &failure);
  struct wmbt_mode *mode = peer == NULL ? NULL : wmbt_http_open(peer, &endpoint, &settings, &failure);
  if (mode != NULL) return mode;
  fprintf(stderr, "cannot open: %s\n", failure.text);
  exit(2);
}

static bool load_once(struct wmbt_mode *mode, const struct wmbt_keys *keys) {
  struct wmbt_failure failure;
  struct wmbt_borrow *borrow = wmbt_borrow_new(payload_count, false);
  if (borrow == NULL) exit(2);
  const enum wmbt_outcome outcome = mode->calls->load(mode, keys, borrow, &failure);
  for (size_t i = 0; outcome == wmbt_had && i < payload_count; i += 1) {
    expect(borrow->lengths[i] == payload_bytes && memcmp(borrow->payloads[i], payload, payload_bytes) == 0,
           "wrong bytes were given");
  }
  wmbt_borrow_free(borrow);
  return outcome == wmbt_had;
}

static bool save_once(struct wmbt_mode *mode, const struct wmbt_keys *keys) {
  struct wmbt_failure failure;
  const uint8_t *payloads[payload_count] = {payload, payload};
  const size_t lens[payload_count] = {payload_bytes, payload_bytes};
  return mode->calls->save(mode, keys, payloads, lens, &failure);
}

void http_calls_on_spoiled_answers(void) {
  unsigned loaded = 0, saved = 0;
  for (size_t i = 0; i < payload_bytes; i += 1) payload[i] = (uint8_t)(i * 7 + i / 251);
  struct wmbt_terms terms = {0};
  const struct wmbt_keys keys = {"default", pair, payload_count, &terms};
  start_peer();
  for (unsigned round = 0; round < rounds; round += 1) {
    const bool is_load = round % 10 != 0;
    (void)pthread_mutex_lock(&spoiled.lock);
    if (is_load) {
      answer_load();
    } else {
      answer_save();
    }
    if (is_load || round % 20 == 0) spoil();
    (void)pthread_mutex_unlock(&spoiled.lock);
    struct wmbt_mode *mode = open_mode();
    const int64_t began = wmbt_now_ms();
    if (is_load) {
      loaded += load_once(mode, &keys) ? 1 : 0;
    } else {
      saved += save_once(mode, &keys) ? 1 : 0;
    }
    expect(wmbt_now_ms() - began < 5000, "a call did not end in time");
    mode->calls->close(mode);
  }
  stop_peer();
  char counts[64];
  (void)snprintf(counts, sizeof counts, "%u loads and %u saves succeeded", loaded, saved);
  expect(loaded >= 50 && loaded < rounds - 150 && saved >= 45, counts);
}
