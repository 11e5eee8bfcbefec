/*
 * Holds the library's frames to the golden ones, and its parsers to bytes that are not what they should be:
 * `frames-test DIRECTORY SEED`. Prints `ok SENTENCE` or `not ok SENTENCE`; the exit status is 1 when one failed. The
 * same seed tries the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/crc32c.h"
#include "../../src/library/clock.h"
#include "../../src/library/connection.h"
#include "frames-test.h"
#include "hostile-peer.h"
#include "http-test.h"
#include "turns-test.h"

enum { header_bytes = wmbt_frame_header_bytes };

static const char *directory;
static uint64_t state;
static unsigned failures;

void expect(bool holds, const char *what) {
  if (holds) return;
  failures += 1;
  printf("# %s\n", what);
}

uint64_t next_random(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

size_t read_golden(const char *name, uint8_t bytes[golden_max]) {
  char path[1024];
  (void)snprintf(path, sizeof path, "%s/%s.bin", directory, name);
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    fprintf(stderr, "no golden frame %s\n", path);
    exit(2);
  }
  const size_t length = fread(bytes, 1, golden_max, file);
  (void)fclose(file);
  return length;
}

/* The body as a message of its type is the golden frame. */
static void expect_golden(const char *name, enum wmbt_frame_type type, uint32_t id, struct wmbt_writer *body) {
  uint8_t golden[golden_max], header[header_bytes];
  const size_t length = read_golden(name, golden);
  wmbt_frame_encode_message(type, id, body->bytes, body->length, header);
  const bool is_equal = length == header_bytes + body->length && memcmp(golden, header, header_bytes) == 0 &&
                        memcmp(golden + header_bytes, body->bytes, body->length) == 0;
  expect(is_equal, name);
  wmbt_writer_free(body);
}

static struct wmbt_key key_of(uint8_t first) {
  struct wmbt_key key;
  for (unsigned i = 0; i < 32; i += 1) key.bytes[i] = (uint8_t)(first + i);
  return key;
}

static void encoders(void) {
  struct wmbt_hello hello = {.token = "s3cret", .agent = "c-library 1.1"};
  for (uint8_t i = 0; i < 16; i += 1) hello.client_id[i] = i;
  const struct wmbt_key keys[2] = {key_of(1), key_of(33)}, tip = key_of(7), parent = key_of(100);
  struct wmbt_terms none = {0};
  const struct wmbt_keys both = {"default", keys, 2, &none}, one = {"default", keys, 1, &none};
  const size_t lengths[2] = {5, 0};
  struct wmbt_head head = {"default", 250};
  struct wmbt_writer body = {0};
  wmbt_encode_hello(&body, &hello);
  expect_golden("hello", wmbt_frame_hello, 0, &body);
  wmbt_encode_keys(&body, &head, &both);
  expect_golden("lookup", wmbt_frame_lookup, 1, &body);
  head.left_ms = 0;
  wmbt_encode_load_raw_tail(&body, &head, &tip);
  expect_golden("load-raw-tail", wmbt_frame_load_raw_tail, 5, &body);
  wmbt_encode_load_raw_tail(&body, &head, &tip);
  expect_golden("borrow-raw-tail", wmbt_frame_borrow_raw_tail, 23, &body);
  head.left_ms = 9999;
  wmbt_encode_load(&body, &head, &one, false);
  expect_golden("load-any", wmbt_frame_load, 15, &body);
  wmbt_encode_load(&body, &head, &one, true);
  expect_golden("load-borrowing", wmbt_frame_load, 21, &body);
  head.left_ms = 10000;
  struct wmbt_save_options options = {0};
  wmbt_encode_save_raw_tail(&body, &head, &options, &tip, 5);
  expect_golden("save-raw-tail", wmbt_frame_save_raw_tail, 8, &body);
  options = (struct wmbt_save_options){
      .durability = wmbt_when_durable, .is_unasked = true, .is_whole = true, .parent = &parent};
  wmbt_encode_save(&body, &head, &options, &both, lengths);
  expect_golden("save-unasked", wmbt_frame_save, 16, &body);
  uint8_t golden[golden_max], header[header_bytes];
  const struct wmbt_frame_header data = {wmbt_frame_data, 3, 5, 0};
  wmbt_frame_encode_header(&data, header);
  expect(read_golden("data", golden) == header_bytes + 5 && memcmp(golden, header, header_bytes) == 0, "data");
}

/* Those of ABI 1.1, whose terms say something. */
static void encoders_with_terms(void) {
  const struct wmbt_key keys[2] = {key_of(1), key_of(33)}, tip = key_of(7), parent = key_of(100), model = key_of(200);
  const struct wmbt_announced announced[2] = {{128, 0, false}, {0, WMBT_POSITION_UNKNOWN, true}};
  static const int32_t asked[3] = {1, -2, 2147483647}, bound[2] = {5, 6};
  const size_t lengths[2] = {5, 0};
  struct wmbt_terms terms = {.is_exact = true, .fingerprint = &model};
  struct wmbt_keys list = {"default", keys, 1, &terms};
  struct wmbt_head head = {"default", 9999};
  struct wmbt_writer body = {0};
  wmbt_encode_load(&body, &head, &list, false);
  expect_golden("load", wmbt_frame_load, 3, &body);
  terms = (struct wmbt_terms){.announced = announced};
  head.left_ms = 10000;
  list.count = 2;
  struct wmbt_save_options options = {
      .durability = wmbt_when_durable, .is_whole = true, .fingerprint = &model, .parent = &parent};
  wmbt_encode_save(&body, &head, &options, &list, lengths);
  expect_golden("save", wmbt_frame_save, 6, &body);
  terms = (struct wmbt_terms){.announced = announced + 1, .tokens = bound, .token_count = 2};
  options = (struct wmbt_save_options){.durability = wmbt_when_accepted, .is_unasked = true};
  const struct wmbt_keys end = {"default", &tip, 1, &terms};
  wmbt_encode_save_tail(&body, &head, &options, &end, 5);
  expect_golden("save-tail", wmbt_frame_save_tail, 7, &body);
  static const struct wmbt_announced first = {128, 0, false};
  static const size_t long_one = 131072;
  terms = (struct wmbt_terms){.announced = &first};
  options = (struct wmbt_save_options){.is_filling = true};
  list.count = 1;
  wmbt_encode_save(&body, &head, &options, &list, &long_one);
  expect_golden("save-filling", wmbt_frame_save, 17, &body);
  list.count = 2;
  static const uint32_t crc = 0xe3069283;
  wmbt_encode_filled(&body, &crc, 1);
  expect_golden("filled", wmbt_frame_filled, 17, &body);
  terms = (struct wmbt_terms){.tokens = asked, .token_count = 3};
  head.left_ms = 1;
  wmbt_encode_load_tail(&body, &head, &end, false);
  expect_golden("load-tail", wmbt_frame_load_tail, 4, &body);
  wmbt_encode_load_tail(&body, &head, &end, true);
  expect_golden("load-tail-borrowing", wmbt_frame_load_tail, 22, &body);
  const struct wmbt_keys nothing = {"\xc3\xa9quipe/a", NULL, 0, &terms};
  head = (struct wmbt_head){nothing.ns, 10000};
  wmbt_encode_keys(&body, &head, &nothing);
  expect_golden("contains", wmbt_frame_contains, 2, &body);
  head = (struct wmbt_head){"default", 60000};
  wmbt_encode_head(&body, &head);
  expect_golden("flush", wmbt_frame_flush, 11, &body);
  wmbt_encode_delete(&body, &head, wmbt_select_blocks, &list);
  expect_golden("delete-blocks", wmbt_frame_delete, 12, &body);
  wmbt_encode_delete(&body, &head, wmbt_select_subtree, &list);
  expect_golden("delete-subtree", wmbt_frame_delete, 13, &body);
  wmbt_encode_delete(&body, &head, wmbt_select_namespace, &list);
  expect_golden("delete-namespace", wmbt_frame_delete, 14, &body);
}

/* The body of a golden frame whose header holds. */
static struct wmbt_reader golden_body(const char *name, uint8_t type, uint32_t id, uint8_t memory[golden_max]) {
  struct wmbt_frame_header header = {0};
  struct wmbt_failure failure;
  const size_t length = read_golden(name, memory);
  expect(wmbt_frame_decode_header(memory, &header, &failure), name);
  expect(header.type == type && header.id == id && header.length == length - header_bytes, name);
  return (struct wmbt_reader){.bytes = memory + header_bytes, .length = length - header_bytes};
}

static void decoders(void) {
  uint8_t memory[golden_max];
  struct wmbt_failure failure;
  struct wmbt_welcome welcome = {0};
  expect(wmbt_decode_welcome(golden_body("welcome", wmbt_frame_welcome, 0, memory), &welcome, &failure), "welcome");
  expect(welcome.body_bytes_max == 8388608 && welcome.data_bytes_max == 1048576, "limits of welcome");
  expect(welcome.eager_bytes_max == 131072, "eager bytes of welcome");
  expect(welcome.may_fill && welcome.is_accepting && welcome.may_ring && welcome.may_borrow &&
             welcome.may_borrow_tails, "features of welcome");
  wmbt_decode_error(golden_body("error", wmbt_frame_error, 7, memory), &failure);
  expect(failure.kind == wmbt_busy && strcmp(failure.text, "busy: the backlog limit is 4 bytes") == 0, "error");
  struct wmbt_loaded end = {0, wmbt_miss_none};
  struct wmbt_reader body = golden_body("looked-up", wmbt_frame_looked_up, 1, memory);
  expect(wmbt_decode_loaded("looked-up", body, &end, &failure) && end.count == 1 && (int)end.miss == 2, "looked-up");
  body = golden_body("loaded", wmbt_frame_loaded, 3, memory);
  expect(wmbt_decode_loaded("loaded", body, &end, &failure) && end.count == 1 && end.miss == wmbt_miss_none, "loaded");
  uint8_t present[10];
  body = golden_body("present", wmbt_frame_present, 2, memory);
  expect(wmbt_decode_present(body, 10, present, &failure), "present");
  expect(memcmp(present, "\1\0\1\0\0\0\0\1\0\1", 10) == 0, "bits of present");
  expect(!wmbt_decode_present(body, 9, present, &failure), "more bits than were asked for");
  struct wmbt_payload_notice notice = {0};
  expect(wmbt_decode_payload_notice(golden_body("payload", wmbt_frame_payload, 3, memory), &notice, &failure),
         "payload");
  const uint32_t crc = wmbt_crc32c_append(0, (const uint8_t *)"bytes", 5);
  expect(notice.index == 0 && notice.length == 5 && notice.crc == crc, "fields of payload");
  expect(notice.tokens == 128 && notice.has_decoded_tokens && notice.tier == 2, "facts of payload");
  struct wmbt_wanted wanted = {0};
  expect(wmbt_decode_wanted(golden_body("wanted", wmbt_frame_wanted, 6, memory), &wanted, &failure), "wanted");
  expect(wanted.granted == 67108864 && wanted.count == 2 && wanted.bits[0] == 1, "fields of wanted");
  uint64_t granted = 0;
  expect(wmbt_decode_number("grant", golden_body("grant", wmbt_frame_grant, 6, memory), &granted, &failure), "grant");
  expect(granted == 1048576, "bytes of grant");
  struct wmbt_places places = {0};
  expect(wmbt_decode_lent(golden_body("lent", wmbt_frame_lent, 17, memory), &places, &failure), "lent");
  const struct wmbt_lent place = wmbt_place_at(&places, 0);
  expect(places.count == 1 && place.segment == 2 && place.offset == 769, "place of lent");
  expect(place.salt == 0xdeadbeef && place.number == 7, "stamp of lent");
  expect(!wmbt_decode_lent((struct wmbt_reader){.bytes = (const uint8_t *)"\0\0\0\0", .length = 4}, &places, &failure),
         "a lent of no place");
  uint32_t ring = 0, ring_bytes = 0;
  body = golden_body("ring", wmbt_frame_ring, 18, memory);
  expect(wmbt_decode_ring(body, &ring, &ring_bytes, &failure) && ring == 3 && ring_bytes == 8392704, "ring");
  struct wmbt_resident resident = {0};
  expect(wmbt_decode_resident(golden_body("resident", wmbt_frame_resident, 21, memory), &resident, &failure),
         "resident");
  expect(resident.count == 3 && resident.tiers[0] == 2 && resident.tiers[1] == 1 && resident.tiers[2] == 0, "tiers");
  const struct wmbt_reader zeros = {.bytes = (const uint8_t *)"\0\0\0\0", .length = 4};
  expect(!wmbt_decode_resident(zeros, &resident, &failure), "a resident of nothing");
  expect(!wmbt_decode_resident((struct wmbt_reader){.bytes = (const uint8_t *)"\1\0\0\0\3", .length = 5}, &resident,
                               &failure),
         "a tier that there is not");
  struct wmbt_resident_tail tail = {0};
  body = golden_body("resident-tail", wmbt_frame_resident_tail, 22, memory);
  expect(wmbt_decode_resident_tail(body, &tail, &failure) && tail.tokens == 2 && tail.tier == 1, "resident-tail");
  expect(!wmbt_decode_resident_tail((struct wmbt_reader){.bytes = (const uint8_t *)"\1\0\0\0\3", .length = 5}, &tail,
                                    &failure),
         "a tier of a tail that there is not");
  struct wmbt_saved saved = {0};
  expect(wmbt_decode_saved(golden_body("saved", wmbt_frame_saved, 6, memory), &saved, &failure), "saved");
  expect(saved.saved == 1 && saved.known == 1 && saved.saved_bytes == 5, "fields of saved");
  body = golden_body("prefetched", wmbt_frame_prefetched, 10, memory);
  expect(wmbt_decode_number("prefetched", body, &granted, &failure) && granted == 40, "prefetched");
  body = golden_body("deleted", wmbt_frame_deleted, 14, memory);
  expect(wmbt_decode_number("deleted", body, &granted, &failure) && granted == 3, "deleted");
  expect(wmbt_decode_nothing("flushed", golden_body("flushed", wmbt_frame_flushed, 11, memory), &failure), "flushed");
  expect(golden_body("resend", wmbt_frame_resend, 6, memory).length == 0, "resend");
}

/* Runs the decoder of the type; whatever comes out, it must not read beyond the body. */
static bool decode(uint8_t type, struct wmbt_reader body, struct wmbt_failure *failure) {
  struct wmbt_welcome welcome;
  struct wmbt_payload_notice notice;
  struct wmbt_wanted wanted;
  struct wmbt_places places;
  struct wmbt_loaded end;
  struct wmbt_saved saved_now;
  uint8_t present[10];
  uint32_t numbers[2];
  uint64_t granted;
  switch (type) {
    case wmbt_frame_welcome: return wmbt_decode_welcome(body, &welcome, failure);
    case wmbt_frame_looked_up: return wmbt_decode_loaded("looked-up", body, &end, failure);
    case wmbt_frame_present: return wmbt_decode_present(body, sizeof present, present, failure);
    case wmbt_frame_payload: return wmbt_decode_payload_notice(body, &notice, failure);
    case wmbt_frame_loaded: return wmbt_decode_loaded("loaded", body, &end, failure);
    case wmbt_frame_grant: return wmbt_decode_number("grant", body, &granted, failure);
    case wmbt_frame_prefetched: return wmbt_decode_number("prefetched", body, &granted, failure);
    case wmbt_frame_deleted: return wmbt_decode_number("deleted", body, &granted, failure);
    case wmbt_frame_flushed: return wmbt_decode_nothing("flushed", body, failure);
    case wmbt_frame_saved: return wmbt_decode_saved(body, &saved_now, failure);
    case wmbt_frame_error: wmbt_decode_error(body, failure); return failure->kind != wmbt_lost;
    case wmbt_frame_wanted:
      if (!wmbt_decode_wanted(body, &wanted, failure)) return false;
      for (uint32_t i = 0; i < wanted.count; i += 1) present[i % sizeof present] = wanted.bits[i >> 3];
      return true;
    case wmbt_frame_resident: return wmbt_decode_resident(body, &(struct wmbt_resident){0}, failure);
    case wmbt_frame_resident_tail: return wmbt_decode_resident_tail(body, &(struct wmbt_resident_tail){0}, failure);
    case wmbt_frame_ring: return wmbt_decode_ring(body, &numbers[0], &numbers[1], failure);
    case wmbt_frame_lent:
      if (!wmbt_decode_lent(body, &places, failure)) return false;
      for (uint32_t i = 0; i < places.count; i += 1) {
        present[i % sizeof present] = (uint8_t)wmbt_place_at(&places, i).offset;
      }
      return true;
    default: return false;
  }
}

static const struct {
  const char *name;
  uint8_t type;
} answers[] = {
    {"welcome", wmbt_frame_welcome},     {"error", wmbt_frame_error},   {"looked-up", wmbt_frame_looked_up},
    {"payload", wmbt_frame_payload},     {"loaded", wmbt_frame_loaded}, {"wanted", wmbt_frame_wanted},
    {"grant", wmbt_frame_grant},         {"saved", wmbt_frame_saved},   {"present", wmbt_frame_present},
    {"deleted", wmbt_frame_deleted},     {"flushed", wmbt_frame_flushed},
    {"prefetched", wmbt_frame_prefetched}, {"lent", wmbt_frame_lent},   {"ring", wmbt_frame_ring},
    {"resident", wmbt_frame_resident},   {"resident-tail", wmbt_frame_resident_tail},
};

enum { answer_count = sizeof answers / sizeof answers[0] };

static void cut_bodies(void) {
  uint8_t memory[golden_max];
  struct wmbt_failure failure;
  for (size_t i = 0; i < answer_count; i += 1) {
    const size_t length = read_golden(answers[i].name, memory) - header_bytes;
    for (size_t cut = 0; cut <= length + 1; cut += 1) {
      /* Memory of exactly the size, so that a sanitizer sees a byte too many. */
      uint8_t *exact = calloc(1, cut == 0 ? 1 : cut);
      if (exact == NULL) exit(2);
      (void)memcpy(exact, memory + header_bytes, cut < length ? cut : length);
      const bool is_read = decode(answers[i].type, (struct wmbt_reader){.bytes = exact, .length = cut}, &failure);
      const bool may_be_longer = answers[i].type == wmbt_frame_welcome;
      expect(is_read == (cut == length || (may_be_longer && cut > length)), answers[i].name);
      free(exact);
    }
  }
}

static void changed_bodies(void) {
  uint8_t memory[golden_max];
  struct wmbt_failure failure;
  for (unsigned round = 0; round < 200000; round += 1) {
    const size_t i = next_random() % answer_count;
    size_t length = read_golden(answers[i].name, memory) - header_bytes;
    if (next_random() % 4 == 0) length = next_random() % (length + 1);
    uint8_t *exact = malloc(length == 0 ? 1 : length);
    if (exact == NULL) exit(2);
    (void)memcpy(exact, memory + header_bytes, length);
    for (uint64_t changes = next_random() % 5; length > 0 && changes > 0; changes -= 1) {
      exact[next_random() % length] = (uint8_t)next_random();
    }
    (void)decode(answers[i].type, (struct wmbt_reader){.bytes = exact, .length = length}, &failure);
    free(exact);
    if (round % 1000 == 0 && failures > 0) return;
  }
}

static void flipped_headers(void) {
  uint8_t memory[golden_max];
  struct wmbt_failure failure;
  struct wmbt_frame_header header;
  (void)read_golden("lookup", memory);
  for (unsigned bit = 0; bit < 8 * header_bytes; bit += 1) {
    memory[bit / 8] ^= (uint8_t)(1 << (bit % 8));
    expect(!wmbt_frame_decode_header(memory, &header, &failure), "a flipped bit is not seen");
    memory[bit / 8] ^= (uint8_t)(1 << (bit % 8));
  }
}

/* A stream of golden frames, spoiled, is read to its end: frames, a failure, and nothing that is not there. */
static void spoiled_streams(void) {
  static uint8_t stream[8 * golden_max], into[1048576];
  unsigned whole = 0;
  for (unsigned round = 0; round < 20000; round += 1) {
    size_t length = 0;
    for (unsigned i = 0; i < 6; i += 1) {
      const char *name = next_random() % 8 == 0 ? "data" : answers[next_random() % answer_count].name;
      length += read_golden(name, stream + length);
    }
    for (uint64_t changes = next_random() % 3; changes > 0; changes -= 1) {
      stream[next_random() % length] = (uint8_t)next_random();
    }
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) exit(2);
    const struct wmbt_target nowhere = {0};
    struct wmbt_connection *connection = wmbt_connection_new(&nowhere);
    if (connection == NULL) exit(2);
    connection->fd = ends[0];
    connection->made = wmbt_descriptor_of(ends[0]);
    length = next_random() % 3 == 0 ? next_random() % length : length;
    expect(send(ends[1], stream, length, 0) == (ssize_t)length, "the stream is not sent");
    (void)close(ends[1]);
    struct wmbt_frame frame;
    struct wmbt_failure failure;
    const int64_t end_ms = wmbt_now_ms() + 20000;
    for (uint32_t id = 0; id < 8; id += 1) {
      /* Frames of all calls of the stream, one after another, as far as they are theirs. */
      if (!wmbt_connection_receive(connection, id, end_ms, &frame, &failure)) continue;
      whole += 1;
      if (frame.type != wmbt_frame_data) continue;
      (void)wmbt_connection_receive_data(connection, into, frame.length, NULL, end_ms, &failure);
    }
    wmbt_connection_free(connection);
    expect(wmbt_now_ms() < end_ms, "a stream that has ended is waited for");
  }
  expect(whole > 1000, "hardly a frame was read");
}

static const struct {
  const char *name;
  void (*run)(void);
} tests[] = {
    {"messages are written as the golden frames", encoders},
    {"messages that say more are too", encoders_with_terms},
    {"the golden frames are read", decoders},
    {"a body that is cut off, or longer than it should be, is refused", cut_bodies},
    {"no bit of a header can flip unseen", flipped_headers},
    {"changed bodies are read within their bounds", changed_bodies},
    {"spoiled streams end in a failure, in time", spoiled_streams},
    {"whatever is granted and lent for a save is for the payloads that are due, in order", turns_of_saves},
    {"a save of more keys than a message holds goes in several", saves_of_many_keys},
    {"calls on spoiled answers fail or give the right bytes, in time", calls_on_spoiled_answers},
    {"bulk bodies are written and read as the golden ones", http_bulk_bodies},
    {"bulk bodies of version 2, and the question before them, too", http_bulk_bodies_last_first},
    {"heads of answers are read in one way or refused", http_heads},
    {"sizes of chunks are digits alone", http_chunk_sizes},
    {"JSON is read strictly", http_json},
    {"changed messages of HTTP are read within their bounds", http_changed_messages},
    {"calls on spoiled answers of HTTP fail or give the right bytes, in time", http_calls_on_spoiled_answers},
    {"a silent address leaves time for the next one", silent_first_address},
};

bool expect_of_calls(bool holds, const char *what) {
  expect(holds, what);
  return holds;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: frames-test DIRECTORY SEED\n");
    return 2;
  }
  directory = argv[1];
  const uint64_t seed = strtoull(argv[2], NULL, 10);
  unsigned failed = 0;
  for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i += 1) {
    state = seed * UINT64_C(0x9e3779b97f4a7c15) + i + 1;
    failures = 0;
    tests[i].run();
    if (failures > 0) failed += 1;
    printf("%s %s\n", failures > 0 ? "not ok" : "ok", tests[i].name);
    (void)fflush(stdout);
  }
  printf("end %zu\n", sizeof tests / sizeof tests[0]);
  return failed > 0 ? 1 : 0;
}
