/* Which bodies are errors, and what they mean for the call: of a response with a status of its own, of JSON in a 200, or of a stream's event.
 * refusal.h reads what is said; here it becomes the call's error and failure. Called where answers are read (llm_client.c, llm_response.c,
 * stream_fold.c). Pure; any thread. */
#ifndef CHAT_LLM_LLM_ERROR_H
#define CHAT_LLM_LLM_ERROR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "llm/llm_client.h"

/* Classes a non-2xx answer by what it means (refusal.h), and that by failure_class. Sets of failure (may be NULL) the kind and all that
 * belongs to it, the wait that the body tells unless a header's stands there, and where failure->said is set, the provider's own words.
 * err's code is refusal.h's; its message names status, code, kind and what to do, no content. */
void llm_error_classify(int http_status, const char *body, size_t size, struct llm_failure *failure, struct error *err);

/* Whether JSON that came with a 200, a body or an event of a stream, is an error: an `error` that says something (also in
 * Google's array), "object":"error", MiniMax's `base_resp`, and without choices a code with a message, `errors`, `detail`. root may be
 * NULL. */
bool llm_error_is_in_200(const json_t *root) MUST_CHECK;
/* Classes such an error as the same body would be with a status of its own; root may be NULL, for one that is no JSON. Otherwise as
 * llm_error_classify. Returns FAILED. */
enum status llm_error_in_200(const json_t *root, struct llm_failure *failure, struct error *err);
/* Does a member say anything? Many servers send an empty `error` beside a good answer: {}, "", {"code":null,"message":""}, or one whose code
 * says that all is well. NULL: no. */
bool llm_error_is_filled(const json_t *value) MUST_CHECK;

#endif
