/* Where a daemon listens. */
#ifndef WMBT_ADDRESS_H
#define WMBT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "bounds.h"
#include "failure.h"

struct wmbt_address {
  struct sockaddr_storage socket;
  socklen_t length;
};

/* The addresses of one daemon, tried one after another. */
struct wmbt_target {
  size_t count;
  struct wmbt_address addresses[WMBT_ADDRESSES_MAX];
};

enum { wmbt_host_max = 256, wmbt_port_max = 6 };

/* A host, by name or number, and a port. */
struct wmbt_endpoint {
  char host[wmbt_host_max], port[wmbt_port_max];
};

/* Reads `host:port` or `[address]:port`; false for anything else. */
bool wmbt_endpoint_parse(const char *text, struct wmbt_endpoint *endpoint);

bool wmbt_target_of_path(const char *path, struct wmbt_target *target, struct wmbt_failure *failure);

/*
 * Finds the addresses. Numbers take no time; a name is looked up by a thread of its own, because the system's
 * resolver knows no deadline, and what it finds too late is dropped.
 */
bool wmbt_target_of_endpoint(const struct wmbt_endpoint *endpoint, int64_t deadline_ms, struct wmbt_target *target,
                             struct wmbt_failure *failure);

/* True when the host is written in numbers. */
bool wmbt_endpoint_is_numeric(const struct wmbt_endpoint *endpoint);

#endif
