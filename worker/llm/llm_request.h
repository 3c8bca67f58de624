/* The body of a request to a provider in the OpenAI dialect, made from its settings, the history, contexts and the job.
 * Called by a job's thread before a call (llm_ask.c). Pure; any thread. It can't fail: damaged elements of a history are omitted. */
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
    const char *context;       /* appended to the last of the leading system messages; NULL: none */
    char **turns;              /* history elements {"job":ID,"messages":[…]}, oldest first */
    size_t turn_count;
    int64_t history_bytes_max; /* beyond it the oldest whole turns are omitted */
    const struct job *job;
    bool stream; /* request a stream, with its usage unless the provider's settings exclude that; false: a whole answer */
};

/* Is a stream requested? By provider.NAME.stream, else where deltas are wanted. */
bool llm_request_is_streamed(const struct provider_settings *provider, bool wants_deltas) MUST_CHECK;

/* The body: model, messages (system, context, history, new), provider params merged, then the job's. Elements of
 * the job itself and what follows it are cut (a job asked again after its turn was applied); leading ones
 * are dropped until one begins with `user`; a trailing unanswered tool_calls turn is left out unless the
 * new messages answer it; damaged elements are skipped. Owned by the caller. */
char *llm_request_encode(const struct llm_request_parts *parts) MUST_CHECK;

#endif
