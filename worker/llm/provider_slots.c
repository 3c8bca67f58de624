#include "llm/provider_slots.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "llm/inflight_limit.h"
#include "telemetry/held_back.h"

struct provider {
    struct mutex lock;
    size_t inflight; /* including taken slots */
    size_t taken;    /* of those: not started yet */
    bool full;       /* the limit is reached */
    struct inflight_limit limit;
};

struct provider_slots {
    size_t count;
    struct provider providers[];
};

struct provider_slots *provider_slots_create(const struct settings *settings)
{
    struct provider_slots *slots = xcalloc(1, sizeof *slots + settings->provider_count * sizeof slots->providers[0]);
    slots->count = settings->provider_count;
    for (size_t i = 0; i < slots->count; i++) {
        struct provider *provider = &slots->providers[i];
        const struct provider_settings *its = &settings->providers[i];
        mutex_init(&provider->lock);
        inflight_limit_init(&provider->limit, (size_t)settings_jobs_at_once(settings), (size_t)its->in_flight_max, its->in_flight == IN_FLIGHT_ADAPTIVE);
    }
    return slots;
}

void provider_slots_destroy(struct provider_slots *slots)
{
    if (slots == NULL)
        return;
    for (size_t i = 0; i < slots->count; i++)
        mutex_destroy(&slots->providers[i].lock);
    free(slots);
}

size_t provider_slots_inflight(struct provider_slots *slots, size_t index)
{
    struct provider *provider = &slots->providers[index];
    mutex_lock(&provider->lock);
    size_t inflight = provider->inflight;
    mutex_unlock(&provider->lock);
    return inflight;
}

size_t provider_slots_limit(struct provider_slots *slots, size_t index)
{
    struct provider *provider = &slots->providers[index];
    mutex_lock(&provider->lock);
    size_t limit = inflight_limit_get(&provider->limit);
    mutex_unlock(&provider->lock);
    return limit;
}

/* The limit holds calls back while it is reached, and for a moment after: the next call takes the free slot. */
static void tell_held_back_locked(struct provider *provider, size_t index)
{
    bool full = provider->inflight >= inflight_limit_get(&provider->limit);
    if (full == provider->full)
        return;
    provider->full = full;
    held_back_set(HELD_BACK_LIMIT, index, full);
    held_back_until(HELD_BACK_LIMIT, index, full ? 0 : clock_mono_ms() + HELD_BACK_LINGERS_MS);
}

bool provider_slots_take(struct provider_slots *slots, size_t index, size_t admitted)
{
    struct provider *provider = &slots->providers[index];
    mutex_lock(&provider->lock);
    size_t limit = inflight_limit_get(&provider->limit);
    bool free = provider->inflight < (limit < admitted ? limit : admitted);
    provider->inflight += free;
    provider->taken += free;
    tell_held_back_locked(provider, index);
    mutex_unlock(&provider->lock);
    return free;
}

void provider_slots_give_back(struct provider_slots *slots, size_t index)
{
    struct provider *provider = &slots->providers[index];
    mutex_lock(&provider->lock);
    provider->inflight--;
    provider->taken--;
    tell_held_back_locked(provider, index);
    mutex_unlock(&provider->lock);
}

uint32_t provider_slots_started(struct provider_slots *slots, size_t index)
{
    struct provider *provider = &slots->providers[index];
    mutex_lock(&provider->lock);
    if (provider->taken > 0)
        provider->taken--;
    else /* by a caller without provider_slots_take */
        provider->inflight++;
    uint32_t epoch = provider->limit.epoch;
    mutex_unlock(&provider->lock);
    return epoch;
}

bool provider_slots_ended(struct provider_slots *slots, size_t index, uint32_t began_under, enum call_end end)
{
    struct provider *provider = &slots->providers[index];
    int64_t now_ms = clock_mono_ms();
    mutex_lock(&provider->lock);
    size_t before = inflight_limit_get(&provider->limit);
    if (end == CALL_GOOD)
        inflight_limit_good(&provider->limit, provider->inflight, now_ms);
    if (end == CALL_OVERLOADED)
        inflight_limit_overloaded(&provider->limit, began_under, now_ms);
    provider->inflight--;
    bool changed = inflight_limit_get(&provider->limit) != before;
    tell_held_back_locked(provider, index);
    mutex_unlock(&provider->lock);
    return changed;
}
