/* How a call to a provider ended, for the provider's slots (provider_slots.h) and times (provider_times.h). Pure; any thread. */
#ifndef CHAT_LLM_CALL_END_H
#define CHAT_LLM_CALL_END_H

#include "llm/llm_client.h"

enum call_end {
    CALL_GOOD,
    CALL_OVERLOADED, /* an answer about its rate or load */
    CALL_FAILED,
    CALL_DROPPED     /* by us: no information */
};
enum call_end call_end_of(const struct llm_failure *failure);

#endif
