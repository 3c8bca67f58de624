/* How a call to a provider ended, for what is counted of the provider: its slots (provider_slots.h) and its times (provider_times.h). Pure; any thread. */
#ifndef CHAT_LLM_CALL_END_H
#define CHAT_LLM_CALL_END_H

#include "llm/llm_client.h"

enum call_end {
    CALL_GOOD,
    CALL_OVERLOADED, /* by its own word: its rate, or its load */
    CALL_FAILED,
    CALL_DROPPED     /* by us: says nothing */
};
enum call_end call_end_of(const struct llm_failure *failure);

#endif
