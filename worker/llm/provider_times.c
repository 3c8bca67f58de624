#include "llm/provider_times.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "llm/hedge_budget.h"
#include "telemetry/held_back.h"

struct provider {
    struct mutex lock;
    struct answer_times times;
};

struct provider_times {
    size_t count;
    struct mutex budget_lock; /* guards budget */
    struct hedge_budget budget;
    struct provider providers[];
};

struct provider_times *provider_times_create(const struct settings *settings)
{
    struct provider_times *times = xcalloc(1, sizeof *times + settings->provider_count * sizeof times->providers[0]);
    times->count = settings->provider_count;
    mutex_init(&times->budget_lock);
    hedge_budget_init(&times->budget, clock_mono_ms());
    for (size_t i = 0; i < times->count; i++) {
        mutex_init(&times->providers[i].lock);
        answer_times_init(&times->providers[i].times, clock_mono_ms());
    }
    return times;
}

void provider_times_destroy(struct provider_times *times)
{
    if (times == NULL)
        return;
    for (size_t i = 0; i < times->count; i++)
        mutex_destroy(&times->providers[i].lock);
    mutex_destroy(&times->budget_lock);
    free(times);
}

/* ---- calls ---- */

void provider_times_started(struct provider_times *times, bool extra)
{
    if (!extra && times->count > 1) { /* with one provider there is no hedging */
        mutex_lock(&times->budget_lock);
        hedge_budget_called(&times->budget, clock_mono_ms());
        mutex_unlock(&times->budget_lock);
    }
}

void provider_times_ended(struct provider_times *times, size_t index, enum call_end end, int64_t first_ms, int64_t duration_ms, int64_t tokens)
{
    struct provider *provider = &times->providers[index];
    int64_t now_ms = clock_mono_ms();
    mutex_lock(&provider->lock);
    if (end == CALL_GOOD)
        answer_times_good(&provider->times, first_ms, duration_ms, tokens, now_ms);
    else
        answer_times_cut(&provider->times, first_ms);
    mutex_unlock(&provider->lock);
    if (end != CALL_DROPPED && times->count > 1) {
        mutex_lock(&times->budget_lock);
        hedge_budget_ended(&times->budget, end == CALL_GOOD);
        mutex_unlock(&times->budget_lock);
    }
}

/* ---- decisions ---- */

enum in_time provider_times_look(struct provider_times *times, size_t index, const struct in_time_question *question)
{
    struct provider *provider = &times->providers[index];
    int64_t now_ms = clock_mono_ms();
    mutex_lock(&provider->lock);
    enum in_time in_time = answer_times_look(&provider->times, question, now_ms);
    mutex_unlock(&provider->lock);
    if (in_time != IN_TIME_ASK)
        held_back_until(HELD_BACK_TOO_SLOW, index, now_ms + HELD_BACK_LINGERS_MS);
    return in_time;
}

int64_t provider_times_hedge_after_ms(struct provider_times *times, size_t index, int64_t fallback_ms)
{
    struct provider *provider = &times->providers[index];
    mutex_lock(&provider->lock);
    int64_t after_ms = answer_times_hedge_after_ms(&provider->times, fallback_ms);
    mutex_unlock(&provider->lock);
    return after_ms;
}

bool provider_times_may_hedge(struct provider_times *times)
{
    mutex_lock(&times->budget_lock);
    bool may = hedge_budget_take(&times->budget, clock_mono_ms());
    mutex_unlock(&times->budget_lock);
    return may;
}
