/* Redis for peers.c, which includes this: every batch is one pipeline of hiredis. */
#include <hiredis/hiredis.h>

static redisContext *redis;
static redisReply *replies[blocks_max];

static redisReply *next_reply(void) {
  void *reply = NULL;
  fault = redis->errstr;
  check(redisGetReply(redis, &reply) == REDIS_OK, "Redis");
  fault = ((redisReply *)reply)->str;
  check(((redisReply *)reply)->type != REDIS_REPLY_ERROR, "Redis refuses");
  fault = NULL;
  return reply;
}

static void send_words(int count, const char **words, const size_t *lengths) {
  check(redisAppendCommandArgv(redis, count, words, lengths) == REDIS_OK, "memory for a command");
}

static void redis_open(const char *place) {
  redis = redisConnectUnix(place);
  check(redis != NULL && redis->err == 0, "connect to Redis");
}

static void redis_put(const name *names, const uint8_t *const *bytes, const size_t *lengths, size_t count) {
  for (size_t i = 0; i < count; i += 1) {
    send_words(3, (const char *[]){"SET", names[i], (const char *)bytes[i]},
               (const size_t[]){3, name_bytes, lengths[i]});
  }
  for (size_t i = 0; i < count; i += 1) freeReplyObject(next_reply());
}

static void redis_get(const name *names, size_t count) {
  for (size_t i = 0; i < count; i += 1) {
    send_words(2, (const char *[]){"GET", names[i]}, (const size_t[]){3, name_bytes});
  }
  for (size_t i = 0; i < count; i += 1) {
    replies[i] = next_reply();
    check(replies[i]->type == REDIS_REPLY_STRING, "Redis has the value");
    found[i] = (const uint8_t *)replies[i]->str;
    found_lens[i] = replies[i]->len;
  }
}

static void redis_release(size_t count) {
  for (size_t i = 0; i < count; i += 1) freeReplyObject(replies[i]);
}

static void redis_drop(const name *names, size_t count) {
  for (size_t i = 0; i < count; i += 1) {
    send_words(2, (const char *[]){"DEL", names[i]}, (const size_t[]){3, name_bytes});
  }
  for (size_t i = 0; i < count; i += 1) freeReplyObject(next_reply());
}

static size_t redis_look_up(const char *const *names, size_t count) {
  const char *words[chain_blocks + 1] = {"EXISTS"};
  size_t lengths[chain_blocks + 1] = {6};
  for (size_t i = 0; i < count; i += 1) {
    words[i + 1] = names[i];
    lengths[i + 1] = name_bytes;
  }
  send_words((int)count + 1, words, lengths);
  redisReply *reply = next_reply();
  const size_t known = (size_t)reply->integer;
  freeReplyObject(reply);
  return known;
}
