#include "address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "clock.h"
#include "thread.h"

bool wmbt_endpoint_parse(const char *text, struct wmbt_endpoint *endpoint) {
  const bool has_brackets = text[0] == '[';
  const char *host = has_brackets ? text + 1 : text;
  const size_t host_length = strcspn(host, has_brackets ? "]" : ":");
  const char *colon = host + host_length + (has_brackets && host[host_length] == ']' ? 1 : 0);
  const char *port = colon + 1;
  if (host_length == 0 || host_length >= wmbt_host_max || *colon != ':') return false;
  if (strcspn(host, has_brackets ? " \t\r\n/@[" : " \t\r\n/@[]") < host_length) return false;
  const size_t digits = strspn(port, "0123456789");
  if (digits == 0 || digits >= wmbt_port_max || port[digits] != '\0') return false;
  const long number = strtol(port, NULL, 10);
  if (number < 1 || number > 65535) return false;
  (void)memcpy(endpoint->host, host, host_length);
  endpoint->host[host_length] = '\0';
  (void)memcpy(endpoint->port, port, digits + 1);
  return true;
}

bool wmbt_target_of_path(const char *path, struct wmbt_target *target, struct wmbt_failure *failure) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const size_t length = strlen(path);
  if (length >= sizeof address.sun_path) {
    return wmbt_fail(failure, wmbt_invalid, "the path of the socket has %zu bytes; a system takes %zu: %s", length,
                     sizeof address.sun_path - 1, path);
  }
  (void)memcpy(address.sun_path, path, length + 1);
  *target = (struct wmbt_target){.count = 1};
  (void)memcpy(&target->addresses[0].socket, &address, sizeof address);
  target->addresses[0].length = sizeof address;
  return true;
}

static int find_addresses(const struct wmbt_endpoint *endpoint, int flags, struct wmbt_target *target) {
  const struct addrinfo hints = {.ai_flags = flags | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
  struct addrinfo *found = NULL;
  const int error = getaddrinfo(endpoint->host, endpoint->port, &hints, &found);
  *target = (struct wmbt_target){0};
  if (error != 0) return error;
  for (const struct addrinfo *one = found; one != NULL && target->count < WMBT_ADDRESSES_MAX; one = one->ai_next) {
    struct wmbt_address *address = &target->addresses[target->count];
    if (one->ai_addrlen > sizeof address->socket) continue;
    (void)memcpy(&address->socket, one->ai_addr, one->ai_addrlen);
    address->length = one->ai_addrlen;
    target->count += 1;
  }
  freeaddrinfo(found);
  return target->count == 0 ? EAI_NONAME : 0;
}

bool wmbt_endpoint_is_numeric(const struct wmbt_endpoint *endpoint) {
  struct wmbt_target target;
  return find_addresses(endpoint, AI_NUMERICHOST, &target) == 0;
}

/* A look-up of a name, shared by the thread that does it and the one that waits; the last one frees it. */
struct name_lookup {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int owners, error;
  bool is_done;
  struct wmbt_endpoint endpoint;
  struct wmbt_target target;
};

/* Gives up one share; `lock` is held, and is not any more. */
static void leave_lookup(struct name_lookup *lookup) {
  lookup->owners -= 1;
  const bool is_last = lookup->owners == 0;
  (void)pthread_mutex_unlock(&lookup->lock);
  if (!is_last) return;
  (void)pthread_cond_destroy(&lookup->changed);
  (void)pthread_mutex_destroy(&lookup->lock);
  free(lookup);
}

static void *run_lookup(void *argument) {
  struct name_lookup *lookup = argument;
  struct wmbt_target target;
  const int error = find_addresses(&lookup->endpoint, 0, &target);
  (void)pthread_mutex_lock(&lookup->lock);
  lookup->target = target;
  lookup->error = error;
  lookup->is_done = true;
  (void)pthread_cond_broadcast(&lookup->changed);
  leave_lookup(lookup);
  return NULL;
}

static bool look_up_name(const struct wmbt_endpoint *endpoint, int64_t deadline_ms, struct wmbt_target *target,
                         struct wmbt_failure *failure) {
  struct name_lookup *lookup = calloc(1, sizeof *lookup);
  if (lookup == NULL) {
    return wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory to look up %s", endpoint->host);
  }
  lookup->owners = 2;
  lookup->endpoint = *endpoint;
  (void)pthread_mutex_init(&lookup->lock, NULL);
  wmbt_condition_init(&lookup->changed);
  const bool has_started = wmbt_start_thread(run_lookup, lookup);
  (void)pthread_mutex_lock(&lookup->lock);
  if (!has_started) lookup->owners = 1;
  while (has_started && !lookup->is_done && wmbt_now_ms() < deadline_ms) {
    wmbt_condition_wait(&lookup->changed, &lookup->lock, deadline_ms);
  }
  const bool is_done = lookup->is_done;
  const int error = lookup->error;
  *target = lookup->target;
  leave_lookup(lookup);
  if (!has_started) return wmbt_fail(failure, wmbt_unavailable, "unavailable: no thread to look up %s", endpoint->host);
  if (!is_done) {
    return wmbt_fail(failure, wmbt_unavailable, "unavailable: the name %s is not found in time", endpoint->host);
  }
  if (error == 0) return true;
  return wmbt_fail(failure, wmbt_unavailable, "unavailable: the name %s: %s", endpoint->host, gai_strerror(error));
}

bool wmbt_target_of_endpoint(const struct wmbt_endpoint *endpoint, int64_t deadline_ms, struct wmbt_target *target,
                             struct wmbt_failure *failure) {
  if (find_addresses(endpoint, AI_NUMERICHOST, target) == 0) return true;
  return look_up_name(endpoint, deadline_ms, target, failure);
}
