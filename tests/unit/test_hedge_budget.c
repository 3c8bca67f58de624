/* What a provider's calls bring to the budget of extra ones: first calls earn, extra ones don't; what was dropped is no failure. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/clock.h"
#include "llm/hedge_budget.h"
#include "llm/provider_health.h"

static struct settings two_providers(void)
{
    static struct provider_settings providers[2];
    struct settings settings = {.providers = providers, .provider_count = 2, .asked_count = 2};
    settings.worker.threads = 64;
    return settings;
}

/* How many it allows now, of so many tries. */
static int allowed(struct provider_health *health, int tries)
{
    int n = 0;
    for (int i = 0; i < tries; i++)
        n += provider_health_may_hedge(health);
    return n;
}

/* The clock brings ten a second as well: what it can have brought since from_ms. */
static int by_time(int64_t from_ms)
{
    return (int)((clock_mono_ms() - from_ms) / 100 + 1);
}

Test(hedge, first_calls_earn_a_fifth)
{
    struct settings settings = two_providers();
    int64_t from_ms = clock_mono_ms();
    struct provider_health *health = provider_health_create(&settings);
    (void)allowed(health, 1000);
    for (int i = 0; i < 200; i++)
        (void)provider_health_started(health, 0, false);
    int got = allowed(health, 1000);
    cr_expect(got >= 40 && got <= 40 + by_time(from_ms), "%d", got);
    provider_health_destroy(health);
}

Test(hedge, extra_calls_earn_nothing)
{
    struct settings settings = two_providers();
    int64_t from_ms = clock_mono_ms();
    struct provider_health *health = provider_health_create(&settings);
    int begun_with = allowed(health, 1000);
    for (int i = 0; i < 400; i++)
        (void)provider_health_started(health, 1, true);
    int got = begun_with + allowed(health, 1000);
    cr_expect(got >= 10 && got <= 10 + by_time(from_ms), "%d", got);
    provider_health_destroy(health);
}

Test(hedge, dropped_calls_are_no_failures)
{
    struct settings settings = two_providers();
    struct provider_health *health = provider_health_create(&settings);
    for (int i = 0; i < 10 * HEDGE_TOKENS; i++)
        (void)provider_health_ended(health, 0, provider_health_started(health, 0, false), HEALTH_DROPPED, 10, 10, -1);
    cr_expect(provider_health_may_hedge(health), "a hedge drops a call each time it wins");
    for (int i = 0; i < HEDGE_TOKENS; i++)
        (void)provider_health_ended(health, 0, provider_health_started(health, 0, false), HEALTH_FAILED, 10, 10, -1);
    cr_expect_not(provider_health_may_hedge(health), "failures stop it");
    provider_health_destroy(health);
}
