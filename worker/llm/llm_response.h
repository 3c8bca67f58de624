/* A whole answer, from its body: read liberally, so that an answer that was paid for is accepted, and stored strictly, so that
 * reply, history and the next request are valid JSON.
 *
 * Malformed JSON is repaired (json_repair.h). Numbers that can't be represented reach a reply only within the message,
 * as strings of their digits; of the members beside the message only known ones are read. The
 * answer may be followed by white space, NULs and `[DONE]`. Several values, or chunks of a stream, in one body are folded as a stream's.
 * Pure; any thread. */
#ifndef CHAT_LLM_LLM_RESPONSE_H
#define CHAT_LLM_LLM_RESPONSE_H

#include <jansson.h>
#include <stddef.h>

#include "llm/llm_client.h"

/* Reads a 2xx body. The message is choice 0's `message`; a `message` or `text` that is a text is its content. A `delta` instead makes the
 * body a chunk. FAILED: retriable `invalid_response` (no JSON, no choices, no message), the error of llm_finish_check, or an
 * error in a 200 (llm_error.h); failure (may be NULL) gets its kind. */
enum status llm_response_decode(const char *body, size_t size, struct llm_answer *ret, struct llm_failure *failure,
                                struct error *err) MUST_CHECK;

/* Reads the `usage` of an answer or a chunk, in any form; a missing or malformed count is -1, and never a reason to refuse an answer.
 * A count may be a number with a fraction of zero, or a text. */
struct usage llm_usage_read(const json_t *usage);

#endif
