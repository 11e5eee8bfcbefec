/* The functions of the header that open, close and need no handle. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../include/wombatkv.h"
#include "../chain.h"
#include "../crc32c.h"
#include "cancellation.h"
#include "embedded.h"
#include "handle.h"
#include "http.h"
#include "last-error.h"
#include "odd-settings.h"
#include "overlay.h"
#include "program.h"
#include "request.h"
#include "settings.h"
#include "shared-mode.h"
#include "text.h"

uint32_t wmbt_kv_abi_version(void) { return WMBT_KV_ABI_VERSION; }

int32_t wmbt_kv_blake3_64hex(const uint8_t *in, size_t in_len, char *out65) {
  if (in == NULL || out65 == NULL) return -1;
  wmbt_blake3_hex(in, in_len, out65);
  out65[wmbt_digest_digits] = '\0';
  return 0;
}

uint32_t wmbt_kv_crc32c(const uint8_t *in, size_t in_len) { return wmbt_kv_crc32c_append(0, in, in_len); }

uint32_t wmbt_kv_crc32c_append(uint32_t crc, const uint8_t *in, size_t in_len) {
  return in == NULL || in_len == 0 ? crc : wmbt_crc32c_append(crc, in, in_len);
}

const char *wmbt_kv_last_error(void) { return wmbt_last_error_text(); }

/* What opening failed for is the last error; returns NULL, so that a function can end with it. */
static wmbt_kv_handle_t *refuse(const struct wmbt_failure *failure) {
  wmbt_last_error_set(failure, NULL, 0);
  return NULL;
}

/* Owns the mode from now on; NULL with a failure. */
static wmbt_kv_handle_t *handle_of(struct wmbt_mode *mode, const char *ns, struct wmbt_failure *failure) {
  wmbt_kv_handle_t *handle = malloc(sizeof *handle);
  if (handle == NULL) {
    mode->calls->close(mode);
    (void)wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory for a handle");
    return NULL;
  }
  handle->mode = mode;
  wmbt_payload_memory_enter();
  atomic_init(&handle->lent_blocks, 0);
  atomic_init(&handle->lent_bytes, 0);
  atomic_init(&handle->found_blocks, 0);
  (void)memcpy(handle->ns, ns, strlen(ns) + 1);
  return handle;
}

/* The last steps of opening; `where` names the store in the words that engines know. */
static wmbt_kv_handle_t *finish(const char *where, struct wmbt_mode *mode, const struct wmbt_settings *settings,
                                struct wmbt_failure *failure) {
  wmbt_kv_handle_t *handle = mode == NULL ? NULL : handle_of(mode, settings->ns, failure);
  if (handle != NULL) return handle;
  wmbt_failure_name(failure, where);
  return refuse(failure);
}

/* A door of a daemon elsewhere. */
struct remote_door {
  /* What calls it in the words that engines know. */
  const char *client;
  bool is_http;
  /* Its schemes, as the store program knows them. */
  const char *plain, *secure;
};

static const struct remote_door tcp_door = {"TcpKvClient", false, "tcp://", "tls://"};
static const struct remote_door http_door = {"HttpKvClient", true, "http://", "https://"};

/* TLS and a near-cache are those of a process of Node, which is the client of the daemon. */
static struct wmbt_mode *open_through_process(const struct remote_door *door, const char *address, bool is_secure,
                                              const struct wmbt_settings *settings, struct wmbt_failure *failure) {
  char remote[wmbt_remote_max];
  if (settings->is_token_given) {
    /* It would have to stand among the arguments or in the environment of the process, where others read it. */
    (void)wmbt_fail(failure, wmbt_invalid, "options->token is not taken with TLS or a near-cache; accepted: a file, in "
                    "WMBT_KV_TOKEN_FILE");
    return NULL;
  }
  (void)snprintf(remote, sizeof remote, "%s%s", is_secure ? door->secure : door->plain, address);
  return wmbt_embedded_open(settings, remote, failure);
}

static struct wmbt_mode *open_in_the_clear(const struct remote_door *door, const struct wmbt_endpoint *endpoint,
                                           const struct wmbt_settings *settings, struct wmbt_failure *failure) {
  wmbt_tell_odd_settings();
  struct wmbt_peer *peer = wmbt_peer_new(NULL, endpoint, settings->token, failure);
  if (peer == NULL) return NULL;
  return door->is_http ? wmbt_http_open(peer, endpoint, settings, failure)
                       : wmbt_remote_open(peer, &settings->calls, failure);
}

static wmbt_kv_handle_t *open_address(const struct remote_door *door, const char *addr,
                                      const struct wmbt_settings *settings) {
  char where[512];
  (void)snprintf(where, sizeof where, "%s::connect(%s)", door->client, addr);
  struct wmbt_endpoint endpoint;
  struct wmbt_failure failure;
  const bool has_scheme = strncmp(addr, door->secure, strlen(door->secure)) == 0;
  const char *address = has_scheme ? addr + strlen(door->secure) : addr;
  if (!wmbt_endpoint_parse(address, &endpoint)) {
    (void)wmbt_fail(&failure, wmbt_invalid, "%s: accepted: host:port, or %shost:port", where, door->secure);
    return refuse(&failure);
  }
  /* Whoever names certificates to trust wants to be sure of whom he talks to. */
  const bool is_secure = has_scheme || wmbt_settings_value("WMBT_KV_TLS_CA_FILE") != NULL;
  struct wmbt_mode *mode = is_secure || wmbt_settings_asks_for_near_cache()
                               ? open_through_process(door, address, is_secure, settings, &failure)
                               : open_in_the_clear(door, &endpoint, settings, &failure);
  return finish(where, mode, settings, &failure);
}

static wmbt_kv_handle_t *open_tcp(const char *addr, const struct wmbt_settings *settings) {
  return open_address(&tcp_door, addr, settings);
}

static wmbt_kv_handle_t *open_http(const char *addr, const struct wmbt_settings *settings) {
  return open_address(&http_door, addr, settings);
}

static wmbt_kv_handle_t *open_prefix(const char *prefix, const struct wmbt_settings *settings) {
  char path[wmbt_path_max], where[wmbt_path_max + 128];
  struct wmbt_failure failure;
  if (!wmbt_settings_socket(prefix, path, &failure)) return refuse(&failure);
  wmbt_tell_odd_settings();
  (void)snprintf(where, sizeof where, "RemoteKvStoreClient::connect(%s): %s", prefix, path);
  struct wmbt_peer *peer = wmbt_peer_new(path, NULL, settings->token, &failure);
  struct wmbt_mode *mode = peer == NULL ? NULL : wmbt_remote_open(peer, &settings->calls, &failure);
  if (mode != NULL) mode = wmbt_shared_open(mode, path, &failure);
  return finish(where, mode, settings, &failure);
}

static wmbt_kv_handle_t *open_embedded(const struct wmbt_settings *settings) {
  struct wmbt_failure failure;
  return finish("embedded store", wmbt_embedded_open(settings, "", &failure), settings, &failure);
}

/* As the environment says, and as the thread opens instead. `token` NULL or empty: that of the settings. */
static wmbt_kv_handle_t *open_as_set(const char *token) {
  struct wmbt_settings settings;
  struct wmbt_failure failure;
  if (!wmbt_settings_read(&settings, &failure)) return refuse(&failure);
  const bool is_token_given = token != NULL && token[0] != '\0';
  if (is_token_given && !wmbt_settings_token(token, &settings, &failure)) return refuse(&failure);
  const char *value;
  switch (wmbt_settings_door(&value)) {
    case wmbt_door_prefix:
      return open_prefix(value, &settings);
    case wmbt_door_tcp:
      return open_tcp(value, &settings);
    case wmbt_door_http:
      return open_http(value, &settings);
    case wmbt_door_embedded:
    default:
      return open_embedded(&settings);
  }
}

wmbt_kv_handle_t *wmbt_kv_init_from_env(void) {
  WMBT_NOT_CANCELLED;
  wmbt_last_error_clear();
  return open_as_set(NULL);
}

wmbt_kv_handle_t *wmbt_kv_open(const wmbt_kv_open_t *options) {
  WMBT_NOT_CANCELLED;
  wmbt_last_error_clear();
  if (options == NULL) return open_as_set(NULL);
  wmbt_kv_open_t known;
  struct wmbt_failure failure;
  if (!wmbt_copy_sized(&known, sizeof known, options, sizeof known, "options", &failure)) return refuse(&failure);
  const bool is_sound =
      wmbt_outcome_check("options", known.outcome, &failure) && wmbt_overlay_check(&known, &failure);
  wmbt_kv_handle_t *handle = NULL;
  if (is_sound) {
    wmbt_overlay_use(&known);
    handle = open_as_set(known.token);
    wmbt_overlay_use(NULL);
  } else {
    (void)refuse(&failure);
  }
  wmbt_outcome_write(known.outcome);
  return handle;
}

/* That there is an address, and that it is text. */
static bool check_address(const char *call, const char *addr, struct wmbt_failure *failure) {
  if (addr == NULL) return wmbt_fail(failure, wmbt_invalid, "%s: addr is NULL", call);
  if (wmbt_is_utf8(addr, strlen(addr))) return true;
  return wmbt_fail(failure, wmbt_invalid, "%s: addr not utf-8: it has bytes that are no text", call);
}

static wmbt_kv_handle_t *open_checked(const char *call, const char *addr, bool is_http) {
  WMBT_NOT_CANCELLED;
  wmbt_last_error_clear();
  struct wmbt_settings settings;
  struct wmbt_failure failure;
  if (!check_address(call, addr, &failure) || !wmbt_settings_read(&settings, &failure)) return refuse(&failure);
  return is_http ? open_http(addr, &settings) : open_tcp(addr, &settings);
}

wmbt_kv_handle_t *wmbt_kv_open_tcp(const char *addr) { return open_checked("wmbt_kv_open_tcp", addr, false); }

wmbt_kv_handle_t *wmbt_kv_open_http(const char *addr) { return open_checked("wmbt_kv_open_http", addr, true); }

void wmbt_kv_free(wmbt_kv_handle_t *handle) {
  if (handle == NULL) return;
  WMBT_NOT_CANCELLED;
  handle->mode->calls->close(handle->mode);
  wmbt_payload_memory_leave();
  free(handle);
}
