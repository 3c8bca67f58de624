/* The OpenAI dialect as pure functions: a request's body from settings, history and job; an answer or an
 * error from a response's body. Any thread. */
#ifndef CHAT_LLM_LLM_CODEC_H
#define CHAT_LLM_LLM_CODEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "llm/llm_client.h"
#include "wire/job.h"

struct llm_request_parts {
    const struct provider_settings *provider;
    const char *system_prompt; /* NULL: none; left out when the job brings its own system message */
    const char *context;       /* goes behind the leading system messages, into the last of them; NULL: none */
    char **turns;              /* history elements {"job":ID,"messages":[…]}, oldest first */
    size_t turn_count;
    int64_t history_bytes_max; /* oldest whole turns are left out beyond it */
    const struct job *job;
    bool stream; /* ask for the answer as a stream, with its usage unless the provider's settings leave that out */
};

/* The body: model, messages (system, context, history, new), provider params merged, then the job's. Elements of
 * the job itself and what follows it are cut (a job asked again after its turn was applied); leading ones
 * are dropped until one begins with `user`; a trailing unanswered tool_calls turn is left out unless the
 * new messages answer it; damaged elements are skipped. Owned by the caller. */
char *llm_request_encode(const struct llm_request_parts *parts) MUST_CHECK;

/* Reads a 2xx body. FAILED: retriable `invalid_response` (no JSON, no choices, no message), or what an
 * `error` object in a 200 says, classed as below; failure (may be NULL) then tells its kind, and of a context overflow. */
enum status llm_response_decode(const char *body, size_t size, struct llm_answer *ret, struct llm_failure *failure,
                                struct error *err) MUST_CHECK;

/* Classes a non-2xx answer: status and body (OpenAI, llama.cpp, vLLM, TGI, Gemini shapes). A billing 429
 * (insufficient_quota and kin) is permanent; 408, 409, 424, 429, 5xx retriable; 503 and 529 unavailable; other
 * 4xx permanent. Sets failure->kind, billing, unexplained and context_overflow (then the code is always
 * context_length_exceeded); of a content that is refused, permanent, the code is always content_filter. err's code
 * is the provider's where that looks like an identifier, else `http_STATUS`; its message names status and
 * code, no content. failure may be NULL. */
void llm_error_classify(int http_status, const char *body, size_t size, struct llm_failure *failure, struct error *err);

/* Whether JSON that came with a 200, a body or an event of a stream, is an error: an `error` object or text (also in
 * Gemini's array), or vLLM's "object":"error". root may be NULL. */
bool llm_is_error_in_200(const json_t *root) MUST_CHECK;
/* Classes such an error by the status that its code or type would have had (500 where they say nothing); root may be
 * NULL, for one that is no JSON. Otherwise as llm_error_classify. Returns FAILED. */
enum status llm_error_in_200(const json_t *root, struct llm_failure *failure, struct error *err);

/* Reads the `usage` of an answer or a chunk; what isn't said is -1. */
struct usage llm_usage_read(const json_t *usage);

#endif
