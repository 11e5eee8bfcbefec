/*
 * Heads of HTTP/1.1 answers (RFC 9112), read as strictly as docs/HTTP.md says: what two readers could take in two ways
 * is refused. Pure: nothing here waits or takes memory. Failures are `wmbt_lost`: the connection is of no use.
 */
#ifndef WMBT_HTTP_HEAD_H
#define WMBT_HTTP_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"

/* Those of src/protocol/http1-head.ts. */
enum {
  wmbt_http_head_bytes_max = 16384,
  wmbt_http_fields_max = 100,
  wmbt_http_chunk_line_bytes_max = 256,
  wmbt_http_trailer_bytes_max = 4096,
};

struct wmbt_http_head {
  unsigned status;
  /* The body comes in chunks; else it has so many bytes. */
  bool is_chunked;
  uint64_t body_bytes;
  /* Another request may follow on the connection. */
  bool is_kept;
  /* The body is a bulk body. */
  bool is_bulk;
};

/*
 * Where the head ends that begins the bytes, its empty line included; 0 when more have to come. `looked` is 0 at first
 * and remembers between calls how far the bytes were looked at.
 */
bool wmbt_http_head_end(const uint8_t *bytes, size_t length, size_t *looked, size_t *end, struct wmbt_failure *failure);

/* Reads the head of so many bytes, which is whole. */
bool wmbt_http_head_parse(const uint8_t *bytes, size_t length, struct wmbt_http_head *head,
                          struct wmbt_failure *failure);

/* Reads the line before a chunk, without its end. */
bool wmbt_http_chunk_size(const char *line, size_t length, uint64_t *size, struct wmbt_failure *failure);

/* Looks at a line of a trailer, without its end: it is dropped, whatever it says. */
bool wmbt_http_trailer_check(const char *line, size_t length, struct wmbt_failure *failure);

#endif
