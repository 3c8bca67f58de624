/* An answer that came whole, from its body: read liberally, so that an answer that was paid for is taken, and kept strictly, so that
 * what is written of it (reply, history, the next request) is valid JSON for everybody.
 *
 * What isn't JSON as it should be is mended (json_repair.h). Of numbers that can't be held only those within the message reach a
 * reply, as strings of their digits; what stands beside the message is read for what is known of it and left where it is. Behind the
 * answer may stand white space, NULs and `[DONE]`. Several values, or chunks of a stream, in one body are folded as a stream's.
 * Pure; any thread. */
#ifndef CHAT_LLM_LLM_RESPONSE_H
#define CHAT_LLM_LLM_RESPONSE_H

#include <jansson.h>
#include <stddef.h>

#include "llm/llm_client.h"

/* Reads a 2xx body. The message is choice 0's `message`; a `message` or `text` that is a text is its content. A `delta` instead makes the
 * body a chunk. FAILED: retriable `invalid_response` (no JSON, no choices, no message), what llm_finish_check says, or what an
 * error in a 200 says (llm_error.h); failure (may be NULL) then tells its kind. */
enum status llm_response_decode(const char *body, size_t size, struct llm_answer *ret, struct llm_failure *failure,
                                struct error *err) MUST_CHECK;

/* Reads the `usage` of an answer or a chunk, of any form; what isn't said as a count is -1, and never a reason to refuse an answer.
 * A count may be a number with a fraction of zero, or a text. */
struct usage llm_usage_read(const json_t *usage);

#endif
