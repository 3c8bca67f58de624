/* Whether a complete answer, by its finish_reason, is an answer or a failed call (finish_reason.h: what each reason means).
 * Called once for each answer, whole or streamed, at its end. Pure; any thread. */
#ifndef CHAT_LLM_LLM_FINISH_H
#define CHAT_LLM_LLM_FINISH_H

#include <jansson.h>

#include "base/error.h"
#include "llm/llm_client.h"

/* How an answer ended, whole or streamed; members of the choice, NULL where it lacks them. */
struct llm_finish {
    const char *reason, *native; /* `finish_reason`, OpenRouter's `native_finish_reason` */
    const json_t *error;
    const json_t *message; /* NULL: there is none */
};
/* FAILED where generation broke (retriable), a filter left no message (permanent, content_filter), or the prompt filled the context (permanent,
 * context_length_exceeded). failure may be NULL. */
enum status llm_finish_check(const struct llm_finish *finish, struct llm_failure *failure, struct error *err) MUST_CHECK;

#endif
