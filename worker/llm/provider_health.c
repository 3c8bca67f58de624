#include "llm/provider_health.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "llm/hedge_budget.h"
#include "llm/latency.h"

#define LOWERED 0.9
#define RAISED 0.1
#define REFRESH_EVERY 16       /* answers between two readings of the quantiles */
#define TOKEN_TIME_FAR_ABOVE 2.0
#define TOKEN_TIME_COUNTED 4.0 /* times the usual: one slow answer in a heavy tail says no more than this */
/* The latest is an average over about as many answers as run side by side, and the usual over ten times as many: of calls
 * that begin together the quick ones end first, so that fewer would compare the slow end of a wave with its middle. */
#define FAST_BESIDE_THREADS 20
#define SLOW_TIMES_FAST 10

struct provider {
    struct mutex lock;
    size_t inflight;
    double limit;
    uint32_t limit_epoch; /* grows when the limit is lowered */
    bool answered;        /* well, since then */
    struct latency first, whole;
    uint32_t firsts; /* samples of `first` */
    int64_t soonest_ms, p95_first_ms; /* of the quantiles' last reading; -1: none */
    double token_ms_fast, token_ms_slow;
    uint32_t token_samples;
};

struct provider_health {
    size_t threads;
    size_t count;
    struct mutex budget_lock; /* guards budget */
    struct hedge_budget budget;
    struct provider providers[];
};

struct provider_health *provider_health_create(const struct settings *settings)
{
    struct provider_health *health = xcalloc(1, sizeof *health + settings->provider_count * sizeof health->providers[0]);
    health->threads = (size_t)settings->worker.threads;
    health->count = settings->provider_count;
    mutex_init(&health->budget_lock);
    hedge_budget_init(&health->budget, clock_mono_ms());
    for (size_t i = 0; i < health->count; i++) {
        struct provider *provider = &health->providers[i];
        mutex_init(&provider->lock);
        provider->limit = (double)health->threads;
        provider->answered = true;
        provider->soonest_ms = provider->p95_first_ms = -1;
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

size_t provider_health_inflight(struct provider_health *health, size_t index)
{
    struct provider *provider = &health->providers[index];
    mutex_lock(&provider->lock);
    size_t inflight = provider->inflight;
    mutex_unlock(&provider->lock);
    return inflight;
}

static size_t limit_locked(const struct provider_health *health, const struct provider *provider)
{
    return provider->limit >= (double)health->threads ? SIZE_MAX : (size_t)provider->limit;
}

size_t provider_health_limit(struct provider_health *health, size_t index)
{
    struct provider *provider = &health->providers[index];
    mutex_lock(&provider->lock);
    size_t limit = limit_locked(health, provider);
    mutex_unlock(&provider->lock);
    return limit;
}

uint32_t provider_health_started(struct provider_health *health, size_t index, bool extra)
{
    struct provider *provider = &health->providers[index];
    mutex_lock(&provider->lock);
    provider->inflight++;
    uint32_t epoch = provider->limit_epoch;
    mutex_unlock(&provider->lock);
    if (!extra && health->count > 1) { /* with one provider nobody hedges */
        mutex_lock(&health->budget_lock);
        hedge_budget_called(&health->budget, clock_mono_ms());
        mutex_unlock(&health->budget_lock);
    }
    return epoch;
}

enum health_end health_end_of(const struct llm_failure *failure)
{
    int status = failure->http_status;
    return !failure->billing && (status == 429 || status == 503 || status == 529) ? HEALTH_OVERLOADED : HEALTH_FAILED;
}

static void lower_locked(struct provider *provider, uint32_t began_under)
{
    if (began_under != provider->limit_epoch || !provider->answered)
        return; /* lowered for this already; or nobody is answered, which is an outage, and the breaker's to judge */
    provider->limit_epoch++;
    provider->answered = false;
    /* From what is really under way: a limit far above it would have to be lowered many times to be felt. */
    double used = (double)(provider->inflight + 1);
    provider->limit = LOWERED * (used < provider->limit ? used : provider->limit);
    if (provider->limit < INFLIGHT_MIN)
        provider->limit = INFLIGHT_MIN;
}

static void raise_locked(struct provider *provider, size_t threads)
{
    if (provider->limit < (double)threads && (double)(provider->inflight + 1) * 2 >= provider->limit)
        provider->limit += RAISED;
}

/* True: answers take far longer for their length than they use to. */
static bool is_laboured_locked(struct provider *provider, size_t threads, int64_t duration_ms, int64_t tokens)
{
    double fast = 1.0 / (double)(threads + FAST_BESIDE_THREADS), slow = fast / SLOW_TIMES_FAST;
    if (tokens <= 0)
        return false;
    double ms = (double)duration_ms / (double)tokens;
    if (provider->token_samples++ == 0)
        provider->token_ms_fast = provider->token_ms_slow = ms;
    if (ms > TOKEN_TIME_COUNTED * provider->token_ms_slow)
        ms = TOKEN_TIME_COUNTED * provider->token_ms_slow;
    provider->token_ms_fast += fast * (ms - provider->token_ms_fast);
    /* The usual is learnt as a plain mean at first, and says nothing until then. */
    double weight = 1.0 / provider->token_samples;
    provider->token_ms_slow += (weight > slow ? weight : slow) * (ms - provider->token_ms_slow);
    return weight < slow && provider->token_ms_fast > TOKEN_TIME_FAR_ABOVE * provider->token_ms_slow;
}

/* A sample of the time to the first token; reads the quantiles, of both kinds of time, now and then. */
static void note_first_locked(struct provider *provider, int64_t first_ms)
{
    latency_add(&provider->first, first_ms);
    if (++provider->firsts % REFRESH_EVERY == 0 || provider->firsts == LATENCY_SAMPLES_MIN) {
        provider->soonest_ms = latency_quantile(&provider->whole, 0.05);
        provider->p95_first_ms = latency_quantile(&provider->first, 0.95);
    }
}

bool provider_health_ended(struct provider_health *health, size_t index, uint32_t began_under, enum health_end end, int64_t first_ms,
                           int64_t duration_ms, int64_t tokens)
{
    struct provider *provider = &health->providers[index];
    mutex_lock(&provider->lock);
    size_t before = limit_locked(health, provider);
    provider->inflight--;
    if (end == HEALTH_GOOD) {
        provider->answered = true;
        latency_add(&provider->whole, duration_ms);
        note_first_locked(provider, first_ms); /* last: it reads both */
        if (is_laboured_locked(provider, health->threads, duration_ms, tokens))
            lower_locked(provider, began_under);
        else
            raise_locked(provider, health->threads);
    } else if (end == HEALTH_OVERLOADED) {
        lower_locked(provider, began_under);
    }
    if (end != HEALTH_GOOD && provider->p95_first_ms >= 0 && first_ms > provider->p95_first_ms)
        note_first_locked(provider, first_ms);
    bool changed = limit_locked(health, provider) != before;
    mutex_unlock(&provider->lock);
    if (end != HEALTH_DROPPED && health->count > 1) {
        mutex_lock(&health->budget_lock);
        hedge_budget_ended(&health->budget, end == HEALTH_GOOD);
        mutex_unlock(&health->budget_lock);
    }
    return changed;
}

bool provider_health_too_slow(struct provider_health *health, size_t index, int64_t left_ms)
{
    struct provider *provider = &health->providers[index];
    mutex_lock(&provider->lock);
    bool slow = provider->soonest_ms > left_ms;
    mutex_unlock(&provider->lock);
    return slow;
}

int64_t provider_health_hedge_after_ms(struct provider_health *health, size_t index, int64_t fallback_ms)
{
    struct provider *provider = &health->providers[index];
    mutex_lock(&provider->lock);
    int64_t p95_ms = provider->p95_first_ms;
    mutex_unlock(&provider->lock);
    return p95_ms >= 0 ? p95_ms : fallback_ms;
}

bool provider_health_may_hedge(struct provider_health *health)
{
    mutex_lock(&health->budget_lock);
    bool may = hedge_budget_take(&health->budget, clock_mono_ms());
    mutex_unlock(&health->budget_lock);
    return may;
}
