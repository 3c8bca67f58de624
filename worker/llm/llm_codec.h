/* The OpenAI dialect as pure functions: a request's body from settings, history and job; what an error means, in a response of its own or
 * within a good one. Answers are llm_response.h's. Any thread. */
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
    bool stream; /* ask for the answer as a stream, with its usage unless the provider's settings leave that out; false: whole */
};

/* How a provider is asked: as it likes it (provider.NAME.stream), else as a stream where pieces are wanted. */
bool llm_request_is_streamed(const struct provider_settings *provider, bool wants_pieces) MUST_CHECK;

/* The body: model, messages (system, context, history, new), provider params merged, then the job's. Elements of
 * the job itself and what follows it are cut (a job asked again after its turn was applied); leading ones
 * are dropped until one begins with `user`; a trailing unanswered tool_calls turn is left out unless the
 * new messages answer it; damaged elements are skipped. Owned by the caller. */
char *llm_request_encode(const struct llm_request_parts *parts) MUST_CHECK;

/* Classes a non-2xx answer by what it means (refusal.h), and that by failure_class. Sets of failure (may be NULL) the kind and all that
 * belongs to it, the wait that the body tells unless a header's stands there, and where failure->said is set, the provider's own words.
 * err's code is refusal.h's; its message names status, code, kind and what to do, no content. */
void llm_error_classify(int http_status, const char *body, size_t size, struct llm_failure *failure, struct error *err);

/* Whether JSON that came with a 200, a body or an event of a stream, is an error: an `error` that says something (also in
 * Google's array), "object":"error", MiniMax's `base_resp`, and without choices a code with a message, `errors`, `detail`. root may be
 * NULL. */
bool llm_is_error_in_200(const json_t *root) MUST_CHECK;
/* Classes such an error as the same body would be with a status of its own; root may be NULL, for one that is no JSON. Otherwise as
 * llm_error_classify. Returns FAILED. */
enum status llm_error_in_200(const json_t *root, struct llm_failure *failure, struct error *err);

/* How an answer ended, whole or streamed; all but the message as the choice says it, NULL where it doesn't. */
struct llm_finish {
    const char *reason, *native; /* `finish_reason`, OpenRouter's `native_finish_reason` */
    const json_t *error;
    const json_t *message; /* NULL: there is none */
};
/* FAILED where generation broke (retriable), a filter left no message (permanent, content_filter), or the prompt filled the context (permanent,
 * context_length_exceeded). failure may be NULL. */
enum status llm_finish_check(const struct llm_finish *finish, struct llm_failure *failure, struct error *err) MUST_CHECK;

#endif
