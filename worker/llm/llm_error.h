/* Which bodies are errors, and what they mean for the call: of a response with a status of its own, of JSON in a 200, or of a stream's event.
 * refusal.h reads them; here the result becomes the call's error and failure. Called where answers are read (llm_client.c, llm_response.c,
 * stream_fold.c). Pure; any thread. */
#ifndef CHAT_LLM_LLM_ERROR_H
#define CHAT_LLM_LLM_ERROR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "llm/llm_client.h"

/* Sets the class of a non-2xx answer by its kind (refusal.h, failure_class). Sets in failure (may be NULL) the kind and its
 * details, the wait from the body unless a header's is set, and, if failure->said isn't NULL, the provider's error text.
 * err's code is refusal.h's; its message contains status, code, kind and what to do, no content. */
void llm_error_classify(int http_status, const char *body, size_t size, struct llm_failure *failure, struct error *err);

/* Whether JSON that came with a 200, a body or an event of a stream, is an error: a non-empty `error` (also in
 * Google's array), "object":"error", MiniMax's `base_resp`, and without choices a code with a message, `errors`, `detail`. root may be
 * NULL. */
bool llm_error_is_in_200(const json_t *root) MUST_CHECK;
/* llm_error_classify for such an error, which gets the class of the same body with a status of its own; root may be NULL, for a body that isn't
 * JSON. Returns FAILED. */
enum status llm_error_in_200(const json_t *root, struct llm_failure *failure, struct error *err);
/* Is the member non-empty? Many servers send an empty `error` with a good answer: {}, "", {"code":null,"message":""}, or one with a code
 * for success. NULL: no. */
bool llm_error_is_filled(const json_t *value) MUST_CHECK;

#endif
