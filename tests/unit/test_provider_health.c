/* What is remembered of a provider: latencies, the limit of calls in flight, the budget of extra calls. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "llm/hedge_budget.h"
#include "llm/latency.h"
#include "llm/provider_health.h"

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

/* ---- the limit of calls in flight ---- */

static struct settings settings;
static struct provider_settings providers[2];
static struct provider_health *health;

static void set_up(void)
{
    settings.providers = providers;
    settings.provider_count = settings.asked_count = 2;
    settings.worker.threads = 100;
    health = provider_health_create(&settings);
}

static void tear_down(void)
{
    provider_health_destroy(health);
}

TestSuite(provider_health, .init = set_up, .fini = tear_down);

static uint32_t epochs[200];

static void start(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        epochs[i] = provider_health_started(health, 0, false);
}

static void end(size_t from, size_t to, enum health_end how)
{
    for (size_t i = from; i < to; i++)
        (void)provider_health_ended(health, 0, epochs[i], how, 100, 100, 10);
}

Test(provider_health, an_overloaded_provider_is_asked_less_once_for_each_round)
{
    cr_expect_eq(provider_health_limit(health, 0), SIZE_MAX);
    start(0, 100);
    end(0, 1, HEALTH_GOOD);
    end(1, 40, HEALTH_OVERLOADED);
    size_t once = provider_health_limit(health, 0);
    cr_expect_eq(once, 89, "0.9 of the 99 that were under way: %zu", once);
    cr_expect_eq(provider_health_inflight(health, 0), 60);
    end(40, 100, HEALTH_OVERLOADED);
    cr_expect_eq(provider_health_limit(health, 0), once, "the others began before it was lowered");
    cr_expect_eq(provider_health_limit(health, 1), SIZE_MAX, "each on its own");
}

Test(provider_health, an_outage_is_no_overload)
{
    for (int round = 0; round < 20; round++) {
        start(0, 50);
        end(0, 50, HEALTH_OVERLOADED);
    }
    cr_expect_geq(provider_health_limit(health, 0), 44, "nobody was answered: lowered once, the rest is the breaker's");
}

Test(provider_health, good_answers_raise_it_to_no_limit_again)
{
    start(0, 50);
    end(0, 50, HEALTH_OVERLOADED);
    cr_assert_neq(provider_health_limit(health, 0), SIZE_MAX);
    int answers = 0;
    for (; provider_health_limit(health, 0) != SIZE_MAX && answers < 10000; answers += 40) {
        start(0, 100);
        end(0, 40, HEALTH_GOOD);
        end(40, 100, HEALTH_DROPPED);
    }
    cr_expect(answers > 400 && answers < 800, "a tenth of a call each: %d", answers);
}

Test(provider_health, it_never_falls_below_two)
{
    for (int round = 0; round < 200; round++) {
        start(0, 2);
        end(0, 1, HEALTH_GOOD);
        end(1, 2, HEALTH_OVERLOADED);
    }
    cr_expect_eq(provider_health_limit(health, 0), INFLIGHT_MIN);
}

Test(provider_health, answers_that_take_far_longer_for_their_length_lower_it)
{
    for (int i = 0; i < 200; i++) {
        start(0, 50);
        end(0, 50, HEALTH_GOOD);
    }
    cr_assert_eq(provider_health_limit(health, 0), SIZE_MAX);
    for (int i = 0; i < 3 * 100; i++) {
        uint32_t epoch = provider_health_started(health, 0, false);
        (void)provider_health_ended(health, 0, epoch, HEALTH_GOOD, 100, 1000, 10);
    }
    cr_expect_neq(provider_health_limit(health, 0), SIZE_MAX, "ten times the time per token, for three rounds of the threads");
}

Test(provider_health, knows_what_cannot_be_in_time_and_when_to_hedge)
{
    cr_expect_not(provider_health_too_slow(health, 0, 1), "nothing is known");
    cr_expect_eq(provider_health_hedge_after_ms(health, 0, 777), 777);
    for (int i = 0; i < 100; i++) {
        uint32_t epoch = provider_health_started(health, 0, false);
        (void)provider_health_ended(health, 0, epoch, HEALTH_GOOD, i < 90 ? 200 : 900, 2000, -1);
    }
    cr_expect(provider_health_too_slow(health, 0, 1500));
    cr_expect_not(provider_health_too_slow(health, 0, 2500));
    int64_t after_ms = provider_health_hedge_after_ms(health, 0, 777);
    cr_expect(after_ms >= 900 && after_ms <= 990, "%lld", (long long)after_ms);
}

Test(provider_health, which_failures_are_overload)
{
    struct llm_failure failure = {0};
    static const int overload[] = {429, 503, 529}, not[] = {0, 200, 400, 401, 408, 500, 502};
    for (size_t i = 0; i < sizeof overload / sizeof *overload; i++) {
        failure.http_status = overload[i];
        cr_expect_eq(health_end_of(&failure), HEALTH_OVERLOADED, "%d", overload[i]);
    }
    for (size_t i = 0; i < sizeof not / sizeof *not; i++) {
        failure.http_status = not[i];
        cr_expect_eq(health_end_of(&failure), HEALTH_FAILED, "%d", not[i]);
    }
    failure = (struct llm_failure){.http_status = 429, .billing = true};
    cr_expect_eq(health_end_of(&failure), HEALTH_FAILED, "the account, not the load");
}

Test(provider_health, the_twentieth_answer_is_enough)
{
    for (int i = 0; i < LATENCY_SAMPLES_MIN; i++) {
        cr_expect_not(provider_health_too_slow(health, 0, 100), "%d answers", i);
        cr_expect_eq(provider_health_hedge_after_ms(health, 0, 777), 777, "%d answers", i);
        uint32_t epoch = provider_health_started(health, 0, false);
        (void)provider_health_ended(health, 0, epoch, HEALTH_GOOD, 400, 400, -1);
    }
    cr_expect(provider_health_too_slow(health, 0, 100));
    cr_expect_neq(provider_health_hedge_after_ms(health, 0, 777), 777);
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

static void ends(enum health_end how, int64_t first_ms, int64_t tokens)
{
    uint32_t epoch = provider_health_started(health, 0, false);
    (void)provider_health_ended(health, 0, epoch, how, first_ms, first_ms, tokens);
}

/* Without the calls that were cut short it would find 14 of 100 to be slower than its 95th percentile. */
Test(provider_health, the_live_p95_is_that_of_all_calls_also_of_those_that_a_hedge_beat)
{
    for (unsigned seed = 1; seed <= 10; seed++) {
        unsigned random = seed;
        int hedged = 0;
        provider_health_destroy(health);
        health = provider_health_create(&settings);
        for (int i = 0; i < 12000; i++) {
            int64_t after_ms = provider_health_hedge_after_ms(health, 0, 1000);
            int64_t main_ms = heavy_tail(&random), spare_ms = heavy_tail(&random);
            hedged += i >= 2000 && main_ms > after_ms;
            if (main_ms > after_ms + spare_ms)
                ends(HEALTH_DROPPED, after_ms + spare_ms, -1);
            else
                ends(HEALTH_GOOD, main_ms, -1);
        }
        cr_expect(hedged > 10000 * 3 / 100 && hedged < 10000 * 8 / 100, "seed %u: %d of 10000 were hedged", seed, hedged);
    }
}

Test(provider_health, what_ended_before_the_p95_without_an_answer_says_nothing_of_it)
{
    for (int i = 0; i < 200; i++)
        ends(HEALTH_GOOD, 500, -1);
    int64_t before_ms = provider_health_hedge_after_ms(health, 0, 777);
    for (int i = 0; i < 1000; i++)
        ends(i % 2 ? HEALTH_DROPPED : HEALTH_FAILED, 5, -1); /* lost races, quick refusals */
    cr_expect_eq(provider_health_hedge_after_ms(health, 0, 777), before_ms);
    for (int i = 0; i < 200; i++)
        ends(HEALTH_FAILED, 10000, -1); /* given up */
    cr_expect_gt(provider_health_hedge_after_ms(health, 0, 777), 5000);
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* All threads begin together, so the quick answers end first. Returns the wave that lowered the limit; -1: none did. */
static int waves(unsigned seed, int count, int slower_from)
{
    unsigned random = seed;
    int64_t times[100];
    provider_health_destroy(health);
    health = provider_health_create(&settings);
    for (int wave = 0; wave < count; wave++) {
        for (size_t i = 0; i < 100; i++)
            times[i] = heavy_tail(&random) * (wave >= slower_from ? 6 : 1);
        qsort(times, 100, sizeof *times, by_time);
        start(0, 100);
        for (size_t i = 0; i < 100; i++) {
            (void)provider_health_ended(health, 0, epochs[i], HEALTH_GOOD, times[i], times[i], 10);
            if (provider_health_limit(health, 0) != SIZE_MAX)
                return wave;
        }
    }
    return -1;
}

/* In a heavy tail an answer takes many times the usual, and nobody is overloaded. */
Test(provider_health, a_heavy_tail_alone_lowers_no_limit_and_real_labour_does)
{
    for (unsigned seed = 1; seed <= 100; seed++) {
        cr_expect_eq(waves(seed, 40, 40), -1, "seed %u", seed);
        int found = waves(seed, 40, 20);
        cr_expect(found >= 20 && found <= 23, "seed %u: six times slower from wave 20 on, seen in %d", seed, found);
    }
}
