/* How long a provider's answers take, and the hedging that follows: latencies, the budget of extra calls, what a hedge hides. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "llm/hedge_budget.h"
#include "llm/latency.h"
#include "llm/provider_times.h"

/* ---- latency ---- */

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

Test(latency, a_quantile_is_at_most_nine_percent_above_the_true_one)
{
    static const double shares[] = {0.05, 0.5, 0.95, 0.99, 1.0};
    for (unsigned seed = 0; seed < 50; seed++) {
        unsigned random = seed;
        struct latency latency = {0};
        int64_t samples[1000];
        for (size_t i = 0; i < 1000; i++) {
            samples[i] = 1 + rand_r(&random) % (1 << (rand_r(&random) % 20));
            latency_add(&latency, samples[i]);
        }
        qsort(samples, 1000, sizeof *samples, compare);
        for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
            int64_t exact = samples[(size_t)(shares[i] * 1000) - 1], found = latency_quantile(&latency, shares[i]);
            cr_expect(found >= exact && (double)found <= (double)exact * 1.0906 + 1, "seed %u, %.2f: %lld, not %lld", seed, shares[i],
                      (long long)found, (long long)exact);
        }
    }
}

Test(latency, few_samples_say_nothing_and_old_ones_are_forgotten)
{
    struct latency latency = {0};
    for (int i = 0; i < LATENCY_SAMPLES_MIN; i++) {
        cr_expect_eq(latency_quantile(&latency, 0.5), -1);
        latency_add(&latency, 10000);
    }
    cr_expect_geq(latency_quantile(&latency, 0.5), 10000);
    for (int i = 0; i < 2 * LATENCY_SAMPLES_HALVED; i++)
        latency_add(&latency, 100);
    cr_expect_leq(latency_quantile(&latency, 0.99), 110);
    latency_add(&latency, INT64_MAX / 4); /* beyond the last bucket */
    cr_expect_gt(latency_quantile(&latency, 1.0), 900000);
}

/* ---- the budget of extra calls ---- */

static int taken(struct hedge_budget *budget, int64_t now_ms, int tries)
{
    int n = 0;
    for (int i = 0; i < tries; i++)
        n += hedge_budget_take(budget, now_ms);
    return n;
}

Test(hedge_budget, a_fifth_of_the_calls_and_ten_a_second)
{
    struct hedge_budget budget;
    hedge_budget_init(&budget, 0);
    cr_expect_eq(taken(&budget, 0, 100), 10, "a second's worth to begin with");
    cr_expect_eq(taken(&budget, 1000, 100), 10);
    for (int i = 0; i < 100; i++)
        hedge_budget_called(&budget, 1000);
    cr_expect_eq(taken(&budget, 1000, 100), 20);
    cr_expect_eq(taken(&budget, 3600000, 1000), 100, "what is saved up is bounded");
}

Test(hedge_budget, many_failures_throttle_it_and_successes_open_it_again)
{
    struct hedge_budget budget;
    hedge_budget_init(&budget, 0);
    for (int i = 0; i < 5; i++) {
        cr_expect(hedge_budget_take(&budget, 0), "%d failures", i);
        hedge_budget_ended(&budget, false);
    }
    cr_expect_not(hedge_budget_take(&budget, 5000), "half of the tokens are gone");
    for (int i = 0; i < 1000; i++)
        hedge_budget_ended(&budget, false);
    for (int i = 0; i < 50; i++) {
        cr_expect_not(hedge_budget_take(&budget, 5000));
        hedge_budget_ended(&budget, true);
    }
    hedge_budget_ended(&budget, true);
    cr_expect(hedge_budget_take(&budget, 5000), "a tenth each: just above half again");
}

/* ---- of a provider ---- */

static struct settings settings;
static struct provider_settings providers[2];
static struct provider_times *times;

static void set_up(void)
{
    memset(providers, 0, sizeof providers);
    settings.providers = providers;
    settings.provider_count = settings.asked_count = 2;
    settings.worker.threads = 100;
    times = provider_times_create(&settings);
}

static void tear_down(void)
{
    provider_times_destroy(times);
}

TestSuite(provider_times, .init = set_up, .fini = tear_down);

/* One call of a provider from its begin to its end. */
static void ends_of(size_t provider, bool extra, enum call_end how, int64_t first_ms)
{
    provider_times_started(times, extra);
    provider_times_ended(times, provider, how, first_ms, first_ms, -1);
}

static void ends(enum call_end how, int64_t first_ms)
{
    ends_of(0, false, how, first_ms);
}

/* ---- the hedge's budget, as calls come and go ---- */

/* How many extra calls there are to be had. A few milliseconds bring none. */
static int hedges_left(void)
{
    int n = 0;
    while (n < 10000 && provider_times_may_hedge(times))
        n++;
    return n;
}

Test(provider_times, first_calls_earn_extra_ones_and_extra_ones_earn_nothing)
{
    int64_t began_ms = clock_mono_ms();
    hedges_left();
    for (int i = 0; i < 100; i++)
        ends_of(0, false, CALL_GOOD, 10);
    int earned = hedges_left();
    cr_expect(earned >= 20 && earned <= 22 + (clock_mono_ms() - began_ms) / 50, "a fifth of a hundred, and ten a second: %d", earned);
    began_ms = clock_mono_ms();
    for (int i = 0; i < 1000; i++)
        ends_of(1, true, CALL_GOOD, 10);
    earned = hedges_left();
    cr_expect(earned <= 2 + (clock_mono_ms() - began_ms) / 50, "ten a second, at most: %d", earned); /* had they earned: 200 */
}

Test(provider_times, what_was_cut_short_is_no_failure_to_the_budget_and_what_failed_is)
{
    for (int i = 0; i < 100; i++) {
        ends_of(0, false, CALL_GOOD, 10);
        ends_of(1, true, CALL_DROPPED, 10); /* each question's loser */
    }
    cr_expect(provider_times_may_hedge(times), "no failure was there");
    for (int i = 0; i < 100; i++)
        ends_of(1, true, CALL_DROPPED, 10);
    cr_expect(provider_times_may_hedge(times), "not even many in a row");
    for (int i = 0; i < 5; i++)
        ends_of(0, false, CALL_FAILED, 10);
    cr_expect_not(provider_times_may_hedge(times), "half of the tokens are gone");
    for (int i = 0; i < 100; i++)
        ends_of(0, false, CALL_DROPPED, 10);
    cr_expect_not(provider_times_may_hedge(times), "nor are they a success");
    for (int i = 0; i < 100; i++)
        ends_of(0, false, CALL_GOOD, 10);
    cr_expect(provider_times_may_hedge(times));
}

/* ---- what a hedge hides ---- */

static double normal(unsigned *random) /* Irwin-Hall: near enough, and the same everywhere */
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += (double)rand_r(random) / RAND_MAX;
    return sum;
}

static int64_t heavy_tail(unsigned *random)
{
    return (int64_t)ceil(200 * exp(1.2 * normal(random)));
}

/* Without the dropped calls 14 of 100 would be slower than the computed 95th percentile. */
Test(provider_times, the_live_p95_is_that_of_all_calls_also_of_those_that_a_hedge_beat)
{
    for (unsigned seed = 1; seed <= 10; seed++) {
        unsigned random = seed;
        int hedged = 0;
        provider_times_destroy(times);
        times = provider_times_create(&settings);
        for (int i = 0; i < 12000; i++) {
            int64_t after_ms = provider_times_hedge_after_ms(times, 0, 1000);
            int64_t main_ms = heavy_tail(&random), spare_ms = heavy_tail(&random);
            hedged += i >= 2000 && main_ms > after_ms;
            if (main_ms > after_ms + spare_ms)
                ends(CALL_DROPPED, after_ms + spare_ms);
            else
                ends(CALL_GOOD, main_ms);
        }
        cr_expect(hedged > 10000 * 3 / 100 && hedged < 10000 * 8 / 100, "seed %u: %d of 10000 were hedged", seed, hedged);
    }
}

Test(provider_times, what_ended_before_the_p95_without_an_answer_says_nothing_of_it)
{
    for (int i = 0; i < 200; i++)
        ends(CALL_GOOD, 500);
    int64_t before_ms = provider_times_hedge_after_ms(times, 0, 777);
    for (int i = 0; i < 1000; i++)
        ends(i % 2 ? CALL_DROPPED : CALL_FAILED, 5); /* lost races, quick refusals */
    cr_expect_eq(provider_times_hedge_after_ms(times, 0, 777), before_ms);
    for (int i = 0; i < 200; i++)
        ends(CALL_FAILED, 10000); /* given up */
    cr_expect_gt(provider_times_hedge_after_ms(times, 0, 777), 5000);
}
