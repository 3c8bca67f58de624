/* How long each provider's answers to this process take (answer_times.h), and what follows: is a job's time too short to ask a provider, when is a call
 * hedged, and may it be (hedge_budget.h, one for all providers).
 * Made once, by process.c. Any thread; one lock for each provider and one for the budget, held briefly; doesn't block otherwise. */
#ifndef CHAT_LLM_PROVIDER_TIMES_H
#define CHAT_LLM_PROVIDER_TIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "llm/answer_times.h"
#include "llm/call_end.h"
#include "settings/settings.h"

struct provider_times;

struct provider_times *provider_times_create(const struct settings *settings);
void provider_times_destroy(struct provider_times *times); /* NULL is fine */

/* A call has begun; extra: a hedge, not a first call. */
void provider_times_started(struct provider_times *times, bool extra);
/* A call of a provider (an index of settings.providers) has ended. Times and tokens: as for answer_times_good. */
void provider_times_ended(struct provider_times *times, size_t provider, enum call_end end, int64_t first_ms, int64_t duration_ms, int64_t tokens);

/* Is a job's time too short to ask the provider? As answer_times_look. */
enum in_time provider_times_look(struct provider_times *times, size_t provider, const struct in_time_question *question);
/* When to hedge: the live p95 of the provider's time to first token; fallback_ms before there are enough samples. */
int64_t provider_times_hedge_after_ms(struct provider_times *times, size_t provider, int64_t fallback_ms);
/* May an extra call be made? Takes it from the budget. */
bool provider_times_may_hedge(struct provider_times *times);

#endif
