/* The ABI as engines know it: declarations that were written from its description, not from wombatkv.h. */
#ifndef WMBT_TEST_CONTRACT_H
#define WMBT_TEST_CONTRACT_H

#include <stddef.h>
#include <stdint.h>

typedef struct wmbt_kv_handle wmbt_kv_handle_t;
typedef struct wmbt_kv_borrow wmbt_kv_borrow_t;

uint32_t          wmbt_kv_abi_version(void);
int32_t           wmbt_kv_blake3_64hex(const uint8_t *in, size_t in_len, char *out65);
uint32_t          wmbt_kv_crc32c(const uint8_t *in, size_t in_len);
uint32_t          wmbt_kv_crc32c_append(uint32_t crc, const uint8_t *in, size_t in_len);
wmbt_kv_handle_t *wmbt_kv_init_from_env(void);
wmbt_kv_handle_t *wmbt_kv_open_tcp(const char *addr);
wmbt_kv_handle_t *wmbt_kv_open_http(const char *addr);
void              wmbt_kv_free(wmbt_kv_handle_t *);
const char       *wmbt_kv_last_error(void);
void              wmbt_kv_release_borrow(wmbt_kv_borrow_t *);
int32_t wmbt_kv_lookup_block_prefix(wmbt_kv_handle_t *, const char *ns, const char *const *hashes, size_t n,
                                    size_t *out_matched, char *err_buf, size_t err_len);
int32_t wmbt_kv_get_kv_blocks_borrowed(wmbt_kv_handle_t *, const char *ns, const char *const *hashes, size_t n,
                                       const uint8_t ***out_ptrs, const size_t **out_lens, wmbt_kv_borrow_t **out);
int64_t wmbt_kv_put_kv_blocks(wmbt_kv_handle_t *, const char *ns, const char *const *hashes,
                              const uint8_t *const *payloads, const size_t *lens, size_t n);
int32_t wmbt_kv_put_raw_tail(wmbt_kv_handle_t *, const char *ns, const char *tip_hex, const uint8_t *bytes, size_t len,
                             char *err_buf, size_t err_len);
int32_t wmbt_kv_get_raw_tail_borrowed(wmbt_kv_handle_t *, const char *ns, const char *tip_hex,
                                      const uint8_t **out_bytes, size_t *out_len, wmbt_kv_borrow_t **out,
                                      char *err_buf, size_t err_len);

#endif
