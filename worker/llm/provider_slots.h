/* How many calls each provider has, as this process sees it, and how many it may have (inflight_limit.h). Breakers are elsewhere (breakers/breakers.h).
 * Made once, by process.c. Any thread; a lock a provider, held briefly; blocks for nothing else.
 *
 * A call's slot:  take ─▶ started ─▶ ended
 *                   └───▶ give_back, when no call came of it
 * From take to ended or give_back it counts as in flight, and take alone compares with the limit, under the lock: however many
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

/* Takes a slot for one call; false: there are as many as there may be, by the limit or as many as are admitted (by the breaker; SIZE_MAX: any
 * number). */
bool provider_slots_take(struct provider_slots *slots, size_t provider, size_t admitted) MUST_CHECK;
/* No call came of it. */
void provider_slots_give_back(struct provider_slots *slots, size_t provider);

/* The call that the slot was taken for has begun. Returns what provider_slots_ended wants back: which limit the call began
 * under. */
uint32_t provider_slots_started(struct provider_slots *slots, size_t provider);
/* True: the limit has changed. */
bool provider_slots_ended(struct provider_slots *slots, size_t provider, uint32_t began_under, enum call_end end);

#endif
