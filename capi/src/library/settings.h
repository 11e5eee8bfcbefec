/* What the environment says, as docs/CONFIG.md has it. A value that is empty counts as unset. */
#ifndef WMBT_SETTINGS_H
#define WMBT_SETTINGS_H

#include "address.h"
#include "bounds.h"
#include "failure.h"
#include "remote.h"

enum { wmbt_path_max = 4096 };

/* How a store is reached. */
enum wmbt_door { wmbt_door_prefix, wmbt_door_tcp, wmbt_door_http, wmbt_door_embedded };

/* What every way of opening a handle reads. */
struct wmbt_settings {
  char ns[WMBT_NAMESPACE_BYTES_MAX + 1];
  char token[WMBT_TOKEN_BYTES_MAX + 1];
  struct wmbt_call_settings calls;
};

/* The value of a variable, or what a handle is opened with instead; NULL when it is unset or empty. */
const char *wmbt_settings_value(const char *name);

/* An absolute path, `~/` being the home directory, without a slash at its end; false when the value is none. */
bool wmbt_settings_path(const char *name, const char *value, char path[wmbt_path_max], struct wmbt_failure *failure);

/* False, naming the variable and what is accepted, for a value that cannot be read. */
bool wmbt_settings_read(struct wmbt_settings *settings, struct wmbt_failure *failure);

/* The token that is meant, instead of that of the environment. */
bool wmbt_settings_token(const char *token, struct wmbt_settings *settings, struct wmbt_failure *failure);

/* Which store the environment names, and the value that names it; NULL for an embedded one. */
enum wmbt_door wmbt_settings_door(const char **value);

/* True when a connection in the clear is not what the environment or the address asks for. */
bool wmbt_settings_asks_for_tls(const char *address);

/* The socket of the daemon with that prefix. */
bool wmbt_settings_socket(const char *prefix, char path[wmbt_path_max], struct wmbt_failure *failure);

#endif
