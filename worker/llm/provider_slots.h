/* How many calls of this process each provider has in flight, and how many it may have (inflight_limit.h). Breakers are elsewhere (breakers/breakers.h).
 * Made once, by process.c. Any thread; one lock for each provider, held briefly; doesn't block otherwise.
 *
 * A call's slot:  take ─▶ started ─▶ ended
 *                   └───▶ give_back, when no call was made
 * From take to ended or give_back the call counts as in flight, and only take compares with the limit, under the lock: however many
 * threads start calls at once, for whatever reason (first, hedge, race, fallback), there are never more than the limit. */
#ifndef CHAT_LLM_PROVIDER_SLOTS_H
#define CHAT_LLM_PROVIDER_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "llm/call_end.h"
#include "settings/settings.h"

struct provider_slots;

struct provider_slots *provider_slots_create(const struct settings *settings);
void provider_slots_destroy(struct provider_slots *slots); /* NULL is fine */

/* provider: an index of settings.providers. */
size_t provider_slots_inflight(struct provider_slots *slots, size_t provider);
/* SIZE_MAX: none. */
size_t provider_slots_limit(struct provider_slots *slots, size_t provider);

/* Takes a slot for one call; false: the limit is reached, or as many are in flight as are admitted (by the breaker; SIZE_MAX: any
 * number). */
bool provider_slots_take(struct provider_slots *slots, size_t provider, size_t admitted) MUST_CHECK;
/* Returns a slot without a call. */
void provider_slots_give_back(struct provider_slots *slots, size_t provider);

/* The slot's call has begun. Returns began_under for provider_slots_ended: which limit the call began
 * under. */
uint32_t provider_slots_started(struct provider_slots *slots, size_t provider);
/* True: the limit has changed. */
bool provider_slots_ended(struct provider_slots *slots, size_t provider, uint32_t began_under, enum call_end end);

#endif
