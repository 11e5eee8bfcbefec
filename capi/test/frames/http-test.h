/* Tests of what the library reads and writes of HTTP. */
#ifndef WMBT_TEST_HTTP_TEST_H
#define WMBT_TEST_HTTP_TEST_H

void http_bulk_bodies(void);
void http_bulk_bodies_last_first(void);
void http_heads(void);
void http_chunk_sizes(void);
void http_json(void);
void http_changed_messages(void);
void http_calls_on_spoiled_answers(void);

#endif
