/* How each provider does, as this process sees it: calls in flight and how many may be, how long answers take, and how many
 * extra calls the hedge may make. Breakers are elsewhere (dispatch/weather.h). Any thread; a lock a provider, held briefly.
 *
 * The limit of calls in flight adapts (AIMD): an overloaded provider (429 that isn't billing, 503, 529, or a time per token
 * far above its usual) lowers it by a tenth, once for all calls that were under way then; each good answer while the limit
 * is in use raises it by a tenth of a call, so by a tenth for each round of answers. Between two lowerings somebody must have
 * been answered. It begins at worker.threads and never passes it: as long as nobody complains there is no limit. */
#ifndef CHAT_LLM_PROVIDER_HEALTH_H
#define CHAT_LLM_PROVIDER_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/settings.h"
#include "llm/llm_client.h"

#define INFLIGHT_MIN 2 /* one alone would find out too slowly that things are better */

struct provider_health;

struct provider_health *provider_health_create(const struct settings *settings);
void provider_health_destroy(struct provider_health *health); /* NULL is fine */

/* Index: of settings.providers. */
size_t provider_health_inflight(struct provider_health *health, size_t provider);
/* SIZE_MAX: none. */
size_t provider_health_limit(struct provider_health *health, size_t provider);

/* Returns what provider_health_ended wants back: which limit the call began under. extra: a hedge, not a first call. */
uint32_t provider_health_started(struct provider_health *health, size_t provider, bool extra);

enum health_end {
    HEALTH_GOOD,
    HEALTH_OVERLOADED, /* 429 (not billing), 503, 529 */
    HEALTH_FAILED,
    HEALTH_DROPPED     /* by us: says nothing */
};
enum health_end health_end_of(const struct llm_failure *failure);

/* first_ms: to the first token, or to the end of a call that brought none; duration_ms: to the end; tokens: of the
 * completion, -1 unknown, for HEALTH_GOOD. True: the limit has changed.
 *
 * Of a call that was cut short or failed, first_ms is less than what its answer would have taken: a censored sample. It
 * counts for the quantile where it is beyond it already, since then how far doesn't matter. Left out, a hedge would hide the
 * very calls it is for: those it beats are never answered, the p95 of the others is lower, and more is hedged. */
bool provider_health_ended(struct provider_health *health, size_t provider, uint32_t began_under, enum health_end end, int64_t first_ms,
                           int64_t duration_ms, int64_t tokens);

/* Is left_ms less than all but one in twenty of its answers took? Then a call can't finish in time. */
bool provider_health_too_slow(struct provider_health *health, size_t provider, int64_t left_ms);
/* When to hedge: the live p95 of its time to first token; fallback_ms before there are enough. */
int64_t provider_health_hedge_after_ms(struct provider_health *health, size_t provider, int64_t fallback_ms);
/* May an extra call be made? Takes it from the budget. */
bool provider_health_may_hedge(struct provider_health *health);

#endif
