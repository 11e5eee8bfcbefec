/* The calls about a ring, in which saves are left for the daemon. */
#include "bounds.h"
#include "clock.h"
#include "remote-use.h"
#include "remote.h"

struct ring_offer {
  uint32_t number, bytes;
};

static bool attempt_open(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                         struct wmbt_failure *failure) {
  struct ring_offer *offer = call->state;
  if (!connection->welcome.may_ring) return true;
  const struct wmbt_writer nothing = {0};
  const int64_t wait_ms = wmbt_call_wait_ms(call);
  struct wmbt_frame frame;
  if (!wmbt_connection_send_message(connection, wmbt_frame_open_ring, id, &nothing, wait_ms, failure)) return false;
  if (!wmbt_connection_receive(connection, id, wait_ms, &frame, failure)) return false;
  if (frame.type != wmbt_frame_ring) return wmbt_call_unexpected(&frame, "open-ring", failure);
  return wmbt_decode_ring(frame.body, &offer->number, &offer->bytes, failure);
}

bool wmbt_remote_open_ring(struct wmbt_mode *mode, uint32_t *number, uint32_t *bytes) {
  struct wmbt_remote *remote = (struct wmbt_remote *)mode;
  struct ring_offer offer = {0, 0};
  struct wmbt_call call = {.remote = remote,
                           .use = wmbt_small,
                           .end_ms = wmbt_now_ms() + remote->settings.lookup_ms,
                           .attempt = attempt_open,
                           .state = &offer};
  struct wmbt_failure ignored;
  /* Without a ring saves are sent, and say what is wrong. */
  if (!wmbt_call_run(&call, &ignored)) return false;
  *number = offer.number;
  *bytes = offer.bytes;
  return true;
}

static bool attempt_tell(struct wmbt_call *call, struct wmbt_connection *connection, uint32_t id,
                         struct wmbt_failure *failure) {
  (void)id;
  const struct wmbt_writer nothing = {0};
  return wmbt_connection_send_message(connection, wmbt_frame_ring_news, 0, &nothing, wmbt_call_wait_ms(call), failure);
}

bool wmbt_remote_ring_news(struct wmbt_mode *mode) {
  struct wmbt_call call = {.remote = (struct wmbt_remote *)mode,
                           .use = wmbt_small,
                           .end_ms = wmbt_now_ms() + WMBT_RING_NEWS_MS,
                           .attempt = attempt_tell};
  struct wmbt_failure ignored;
  return wmbt_call_run(&call, &ignored);
}
