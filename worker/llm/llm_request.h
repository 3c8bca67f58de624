/* What a provider is asked: a request's body in the OpenAI dialect, made of its settings, the history, contexts and the job.
 * Called by a job's thread before its first call (llm_ask.c). Pure; any thread. It can't fail: what is damaged in a history is left out. */
#ifndef CHAT_LLM_LLM_REQUEST_H
#define CHAT_LLM_LLM_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "settings/settings.h"
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

/* How a provider is asked: as it likes it (provider.NAME.stream), else as a stream where deltas are wanted. */
bool llm_request_is_streamed(const struct provider_settings *provider, bool wants_deltas) MUST_CHECK;

/* The body: model, messages (system, context, history, new), provider params merged, then the job's. Elements of
 * the job itself and what follows it are cut (a job asked again after its turn was applied); leading ones
 * are dropped until one begins with `user`; a trailing unanswered tool_calls turn is left out unless the
 * new messages answer it; damaged elements are skipped. Owned by the caller. */
char *llm_request_encode(const struct llm_request_parts *parts) MUST_CHECK;

#endif
