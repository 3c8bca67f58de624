/* What is remembered of a provider: latencies, calls in flight, the budget of extra calls. */
#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "llm/hedge_budget.h"
#include "llm/latency.h"
#include "llm/provider_health.h"
#include "telemetry/held_back.h"

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

/* ---- calls in flight ---- */

static struct settings settings;
static struct provider_settings providers[2];
static struct provider_health *health;

static void set_up(void)
{
    memset(providers, 0, sizeof providers);
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

static void anew(void)
{
    provider_health_destroy(health);
    health = provider_health_create(&settings);
}

Test(provider_health, a_slot_is_taken_once_and_comes_back_at_the_call_s_end_or_without_one)
{
    providers[0].in_flight_max = 2;
    anew();
    cr_expect_eq(provider_health_limit(health, 0), 2);
    cr_expect_eq(provider_health_limit(health, 1), SIZE_MAX, "each on its own");
    cr_assert(provider_health_take(health, 0, SIZE_MAX));
    cr_assert(provider_health_take(health, 0, SIZE_MAX));
    cr_expect_not(provider_health_take(health, 0, SIZE_MAX), "taken counts, also before the call has begun");
    uint32_t epoch = provider_health_started(health, 0, false);
    cr_expect_eq(provider_health_inflight(health, 0), 2, "a slot becomes a call");
    provider_health_give_back(health, 0);
    cr_expect_eq(provider_health_inflight(health, 0), 1);
    (void)provider_health_ended(health, 0, epoch, HEALTH_DROPPED, 1, 1, -1);
    cr_expect_eq(provider_health_inflight(health, 0), 0);
    cr_assert(provider_health_take(health, 0, 1));
    cr_expect_not(provider_health_take(health, 0, 1), "the breaker's permits bound it, too");
    cr_expect_not(provider_health_take(health, 1, 0));
}

Test(provider_health, the_limit_is_told_as_held_back_while_all_of_it_is_in_use)
{
    int64_t now_ms = clock_mono_ms();
    providers[0].in_flight_max = 1;
    anew();
    cr_expect_eq(held_back_get(HELD_BACK_LIMIT, 0, now_ms), 0);
    cr_assert(provider_health_take(health, 0, SIZE_MAX));
    cr_expect_eq(held_back_get(HELD_BACK_LIMIT, 0, now_ms), 1);
    cr_expect_eq(held_back_get(HELD_BACK_LIMIT, 0, now_ms + 3600000), 1, "however long");
    cr_expect_eq(held_back_get(HELD_BACK_LIMIT, 1, now_ms), 0);
    provider_health_give_back(health, 0);
    cr_expect_eq(held_back_get(HELD_BACK_LIMIT, 0, clock_mono_ms() + HELD_BACK_LINGERS_MS), 0);
}

static void *takes_slots(void *arg)
{
    _Atomic size_t *most = arg;
    for (int i = 0; i < 20000; i++) {
        if (!provider_health_take(health, 0, SIZE_MAX))
            continue;
        uint32_t epoch = provider_health_started(health, 0, i % 2 == 0);
        size_t now = provider_health_inflight(health, 0);
        if (now > atomic_load(most))
            atomic_store(most, now);
        (void)provider_health_ended(health, 0, epoch, HEALTH_GOOD, 1, 1, -1);
    }
    return NULL;
}

Test(provider_health, many_threads_at_once_never_take_more_than_there_are)
{
    pthread_t threads[8];
    _Atomic size_t most = 0;
    providers[0].in_flight_max = 3;
    anew();
    for (size_t i = 0; i < 8; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, takes_slots, &most), 0);
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    cr_expect(most >= 1 && most <= 3, "%zu", (size_t)most);
    cr_expect_eq(provider_health_inflight(health, 0), 0);
}

/* One call of a provider from its begin to its end. */
static void ends_of(size_t provider, bool extra, enum health_end how, int64_t first_ms, int64_t tokens)
{
    uint32_t epoch = provider_health_started(health, provider, extra);
    (void)provider_health_ended(health, provider, epoch, how, first_ms, first_ms, tokens);
}

static void ends(enum health_end how, int64_t first_ms, int64_t tokens)
{
    ends_of(0, false, how, first_ms, tokens);
}

Test(provider_health, only_the_provider_s_own_word_moves_its_limit)
{
    static const enum health_end others[] = {HEALTH_FAILED, HEALTH_DROPPED, HEALTH_GOOD};
    for (int i = 0; i < 3000; i++) /* answers of 100 tokens in 200 ms, then of 5 in 100 */
        ends(HEALTH_GOOD, i < 1500 ? 200 : 100, i < 1500 ? 100 : 5);
    for (int i = 0; i < 3000; i++)
        ends(others[i % 3], 1 + i % 5000, 1 + i % 7);
    cr_expect_eq(provider_health_limit(health, 0), SIZE_MAX);
    ends(HEALTH_OVERLOADED, 5, -1);
    cr_expect_eq(provider_health_limit(health, 0), 90);
    cr_expect_eq(provider_health_limit(health, 1), SIZE_MAX);
}

Test(provider_health, which_failures_are_overload)
{
    for (enum failure_kind kind = FAILURE_NONE; kind < FAILURE_KINDS; kind++) {
        struct llm_failure failure = {.kind = kind, .http_status = 429};
        bool is = kind == FAILURE_RATE || kind == FAILURE_OVERLOAD; /* not an empty account's, say */
        cr_expect_eq(health_end_of(&failure), is ? HEALTH_OVERLOADED : HEALTH_FAILED, "%s", failure_kind_name(kind));
    }
}

/* ---- the hedge's budget, as calls come and go ---- */

/* How many extra calls there are to be had. A few milliseconds bring none. */
static int hedges_left(void)
{
    int n = 0;
    while (n < 10000 && provider_health_may_hedge(health))
        n++;
    return n;
}

Test(provider_health, first_calls_earn_extra_ones_and_extra_ones_earn_nothing)
{
    int64_t began_ms = clock_mono_ms();
    hedges_left();
    for (int i = 0; i < 100; i++)
        ends_of(0, false, HEALTH_GOOD, 10, -1);
    int earned = hedges_left();
    cr_expect(earned >= 20 && earned <= 22 + (clock_mono_ms() - began_ms) / 50, "a fifth of a hundred, and ten a second: %d", earned);
    began_ms = clock_mono_ms();
    for (int i = 0; i < 1000; i++)
        ends_of(1, true, HEALTH_GOOD, 10, -1);
    earned = hedges_left();
    cr_expect(earned <= 2 + (clock_mono_ms() - began_ms) / 50, "ten a second, at most: %d", earned); /* had they earned: 200 */
}

Test(provider_health, what_was_cut_short_is_no_failure_to_the_budget_and_what_failed_is)
{
    for (int i = 0; i < 100; i++) {
        ends_of(0, false, HEALTH_GOOD, 10, -1);
        ends_of(1, true, HEALTH_DROPPED, 10, -1); /* each question's loser */
    }
    cr_expect(provider_health_may_hedge(health), "no failure was there");
    for (int i = 0; i < 100; i++)
        ends_of(1, true, HEALTH_DROPPED, 10, -1);
    cr_expect(provider_health_may_hedge(health), "not even many in a row");
    for (int i = 0; i < 5; i++)
        ends_of(0, false, HEALTH_FAILED, 10, -1);
    cr_expect_not(provider_health_may_hedge(health), "half of the tokens are gone");
    for (int i = 0; i < 100; i++)
        ends_of(0, false, HEALTH_DROPPED, 10, -1);
    cr_expect_not(provider_health_may_hedge(health), "nor are they a success");
    for (int i = 0; i < 100; i++)
        ends_of(0, false, HEALTH_GOOD, 10, -1);
    cr_expect(provider_health_may_hedge(health));
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
