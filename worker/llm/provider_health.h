/* How each provider does, as this process sees it: calls in flight and how many may be (inflight_limit.h), how long answers take
 * (answer_times.h), and how many extra calls the hedge may make (hedge_budget.h). Breakers are elsewhere (breakers/weather.h).
 * Any thread; a lock a provider, held briefly.
 *
 * A call's slot:  take ─▶ started ─▶ ended
 *                   └───▶ give_back, when no call came of it
 * From take to ended or give_back it counts as in flight, and take alone compares with the limit, under the lock: however many
 * threads start calls at once, for whatever reason (first, hedge, race, fallback), there are never more than the limit. */
#ifndef CHAT_LLM_PROVIDER_HEALTH_H
#define CHAT_LLM_PROVIDER_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "llm/answer_times.h"
#include "llm/inflight_limit.h"
#include "llm/llm_client.h"
#include "settings/settings.h"

struct provider_health;

struct provider_health *provider_health_create(const struct settings *settings);
void provider_health_destroy(struct provider_health *health); /* NULL is fine */

/* Index: of settings.providers. */
size_t provider_health_inflight(struct provider_health *health, size_t provider);
/* SIZE_MAX: none. */
size_t provider_health_limit(struct provider_health *health, size_t provider);

/* Takes a slot for one call; false: there are as many as there may be, by the limit or by permits (the breaker's; SIZE_MAX: any
 * number). */
bool provider_health_take(struct provider_health *health, size_t provider, size_t permits) MUST_CHECK;
/* No call came of it. */
void provider_health_give_back(struct provider_health *health, size_t provider);

/* The call that the slot was taken for has begun. Returns what provider_health_ended wants back: which limit the call began
 * under. extra: a hedge, not a first call. */
uint32_t provider_health_started(struct provider_health *health, size_t provider, bool extra);

enum health_end {
    HEALTH_GOOD,
    HEALTH_OVERLOADED, /* by its own word: its rate, or its load */
    HEALTH_FAILED,
    HEALTH_DROPPED     /* by us: says nothing */
};
enum health_end health_end_of(const struct llm_failure *failure);

/* The times and tokens: as answer_times.h has them. True: the limit has changed. */
bool provider_health_ended(struct provider_health *health, size_t provider, uint32_t began_under, enum health_end end, int64_t first_ms,
                           int64_t duration_ms, int64_t tokens);

/* Is a job's time too short to ask? As answer_times_look. */
enum in_time provider_health_in_time(struct provider_health *health, size_t provider, const struct in_time_question *question);
/* When to hedge: the live p95 of its time to first token; fallback_ms before there are enough. */
int64_t provider_health_hedge_after_ms(struct provider_health *health, size_t provider, int64_t fallback_ms);
/* May an extra call be made? Takes it from the budget. */
bool provider_health_may_hedge(struct provider_health *health);

#endif
