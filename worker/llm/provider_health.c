#include "llm/provider_health.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "llm/hedge_budget.h"
#include "telemetry/held_back.h"

struct provider {
    struct mutex lock;
    size_t inflight; /* those taken, too */
    size_t taken;    /* of them: not started yet */
    bool full;       /* as many as there may be */
    struct inflight_limit limit;
    struct answer_times times;
};

struct provider_health {
    size_t count;
    struct mutex budget_lock; /* guards budget */
    struct hedge_budget budget;
    struct provider providers[];
};

struct provider_health *provider_health_create(const struct settings *settings)
{
    struct provider_health *health = xcalloc(1, sizeof *health + settings->provider_count * sizeof health->providers[0]);
    health->count = settings->provider_count;
    mutex_init(&health->budget_lock);
    hedge_budget_init(&health->budget, clock_mono_ms());
    for (size_t i = 0; i < health->count; i++) {
        struct provider *provider = &health->providers[i];
        const struct provider_settings *its = &settings->providers[i];
        mutex_init(&provider->lock);
        inflight_limit_init(&provider->limit, (size_t)settings->worker.threads, (size_t)its->in_flight_max, its->in_flight == IN_FLIGHT_ADAPTIVE);
        answer_times_init(&provider->times, clock_mono_ms());
    }
    return health;
}

void provider_health_destroy(struct provider_health *health)
{
    if (health == NULL)
        return;
    for (size_t i = 0; i < health->count; i++)
        mutex_destroy(&health->providers[i].lock);
    mutex_destroy(&health->budget_lock);
    free(health);
}

/* ---- calls in flight ---- */

size_t provider_health_inflight(struct provider_health *health, size_t index)
{
    struct provider *provider = &health->providers[index];
    mutex_lock(&provider->lock);
    size_t inflight = provider->inflight;
    mutex_unlock(&provider->lock);
    return inflight;
}

size_t provider_health_limit(struct provider_health *health, size_t index)
{
    struct provider *provider = &health->providers[index];
    mutex_lock(&provider->lock);
    size_t limit = inflight_limit_get(&provider->limit);
    mutex_unlock(&provider->lock);
    return limit;
}

/* The limit holds others back while all of it is in use, and for a moment after: the next call takes the free slot. */
static void tell_held_back_locked(struct provider *provider, size_t index)
{
    bool full = provider->inflight >= inflight_limit_get(&provider->limit);
    if (full == provider->full)
        return;
    provider->full = full;
    held_back_set(HELD_BACK_LIMIT, index, full);
    held_back_until(HELD_BACK_LIMIT, index, full ? 0 : clock_mono_ms() + HELD_BACK_LINGERS_MS);
}

bool provider_health_take(struct provider_health *health, size_t index, size_t permits)
{
    struct provider *provider = &health->providers[index];
    mutex_lock(&provider->lock);
    size_t limit = inflight_limit_get(&provider->limit);
    bool free = provider->inflight < (limit < permits ? limit : permits);
    provider->inflight += free;
    provider->taken += free;
    tell_held_back_locked(provider, index);
    mutex_unlock(&provider->lock);
    return free;
}

void provider_health_give_back(struct provider_health *health, size_t index)
{
    struct provider *provider = &health->providers[index];
    mutex_lock(&provider->lock);
    provider->inflight--;
    provider->taken--;
    tell_held_back_locked(provider, index);
    mutex_unlock(&provider->lock);
}

uint32_t provider_health_started(struct provider_health *health, size_t index, bool extra)
{
    struct provider *provider = &health->providers[index];
    mutex_lock(&provider->lock);
    if (provider->taken > 0)
        provider->taken--;
    else /* by a caller that has no limits to keep */
        provider->inflight++;
    uint32_t epoch = provider->limit.epoch;
    mutex_unlock(&provider->lock);
    if (!extra && health->count > 1) { /* with one provider nobody hedges */
        mutex_lock(&health->budget_lock);
        hedge_budget_called(&health->budget, clock_mono_ms());
        mutex_unlock(&health->budget_lock);
    }
    return epoch;
}

/* ---- ends ---- */

enum health_end health_end_of(const struct llm_failure *failure)
{
    return failure->kind == FAILURE_RATE || failure->kind == FAILURE_OVERLOAD ? HEALTH_OVERLOADED : HEALTH_FAILED;
}

bool provider_health_ended(struct provider_health *health, size_t index, uint32_t began_under, enum health_end end, int64_t first_ms,
                           int64_t duration_ms, int64_t tokens)
{
    struct provider *provider = &health->providers[index];
    int64_t now_ms = clock_mono_ms();
    mutex_lock(&provider->lock);
    size_t before = inflight_limit_get(&provider->limit);
    if (end == HEALTH_GOOD) {
        inflight_limit_good(&provider->limit, provider->inflight, now_ms);
        answer_times_good(&provider->times, first_ms, duration_ms, tokens, now_ms);
    } else {
        answer_times_cut(&provider->times, first_ms);
    }
    if (end == HEALTH_OVERLOADED)
        inflight_limit_overloaded(&provider->limit, began_under, now_ms);
    provider->inflight--;
    bool changed = inflight_limit_get(&provider->limit) != before;
    tell_held_back_locked(provider, index);
    mutex_unlock(&provider->lock);
    if (end != HEALTH_DROPPED && health->count > 1) {
        mutex_lock(&health->budget_lock);
        hedge_budget_ended(&health->budget, end == HEALTH_GOOD);
        mutex_unlock(&health->budget_lock);
    }
    return changed;
}

/* ---- times ---- */

enum in_time provider_health_in_time(struct provider_health *health, size_t index, const struct in_time_question *question)
{
    struct provider *provider = &health->providers[index];
    int64_t now_ms = clock_mono_ms();
    mutex_lock(&provider->lock);
    enum in_time in_time = answer_times_look(&provider->times, question, now_ms);
    mutex_unlock(&provider->lock);
    if (in_time != IN_TIME_ASK)
        held_back_until(HELD_BACK_TOO_SLOW, index, now_ms + HELD_BACK_LINGERS_MS);
    return in_time;
}

int64_t provider_health_hedge_after_ms(struct provider_health *health, size_t index, int64_t fallback_ms)
{
    struct provider *provider = &health->providers[index];
    mutex_lock(&provider->lock);
    int64_t after_ms = answer_times_hedge_after_ms(&provider->times, fallback_ms);
    mutex_unlock(&provider->lock);
    return after_ms;
}

bool provider_health_may_hedge(struct provider_health *health)
{
    mutex_lock(&health->budget_lock);
    bool may = hedge_budget_take(&health->budget, clock_mono_ms());
    mutex_unlock(&health->budget_lock);
    return may;
}
