/* Held-back jobs are released: jobs parked for a rate are woken, a limit is no outage, and each reason is reported while it holds. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "breakers/breakers.h"
#include "dispatch/dispatch_entry.h"
#include "dispatch/dispatcher.h"
#include "dispatch/dispatcher_waiting.h"
#include "quota/permits.h"
#include "quota/refused_tenants.h"
#include "telemetry/held_back.h"
#include "telemetry/metrics.h"
#include "one_provider.h"

static struct partition *partition;
static struct dispatcher *d;

static void setup(void)
{
    partition = partition_create("jobs", 0, 1);
    d = dispatcher_create(ORDERING_NONE, REDIS_IO_PER_THREAD, 4);
}

static void teardown(void)
{
    dispatcher_destroy(d);
    partition_unref(partition);
}

TestSuite(held_back, .init = setup, .fini = teardown, .timeout = 60); /* one that isn't woken would be waited for */

static struct task *added(void)
{
    static int64_t offset;
    struct record record = {.topic = xstrdup("jobs"), .offset = offset++, .timestamp_ms = -1};
    struct task *task = task_create(&record, partition);
    dispatcher_add(d, task);
    return task;
}

static void end(struct task *task)
{
    dispatcher_end(d, task);
    task_unref(task);
}

static struct task *parked(size_t provider, int64_t wait_ms)
{
    struct task *task = added();
    cr_assert_eq(dispatcher_take(d, 0), task);
    task->rated = (struct rated_start){.waits = true, .provider = provider, .due_ms = clock_mono_ms() + wait_ms};
    cr_assert(dispatcher_wait(d, task, wait_ms));
    return task;
}

static int64_t rated(size_t provider)
{
    return held_back_get(HELD_BACK_RATE, provider, clock_mono_ms());
}

#define HOUR_MS 3600000

Test(held_back, those_who_are_parked_for_a_rate_are_woken_by_what_is_given_back)
{
    struct task *first = parked(0, HOUR_MS), *other = parked(1, HOUR_MS), *second = parked(0, 2 * HOUR_MS), *soon = parked(0, HOUR_MS / 2);
    cr_expect(rated(0) == 3 && rated(1) == 1);
    int64_t due_ms = clock_mono_ms();
    dispatcher_hasten(d, 0, due_ms + HOUR_MS * 3 / 4);
    cr_expect(dispatcher_tick(d, 0));
    cr_expect_eq(soon->entry->due_ms, soon->rated.due_ms, "never later than it was");
    cr_expect(rated(0) == 3 && rated(1) == 1, "not yet");
    dispatcher_hasten(d, 0, due_ms);
    cr_expect(dispatcher_tick(d, 0));
    cr_expect(rated(0) == 0 && rated(1) == 1, "each provider's own");
    struct task *woken[3] = {dispatcher_take(d, 0), dispatcher_take(d, 0), dispatcher_take(d, 0)};
    for (size_t i = 0; i < 3; i++) {
        cr_expect(woken[i] == first || woken[i] == second || woken[i] == soon);
        cr_expect_leq(woken[i]->rated.due_ms, due_ms, "their reservations are due, too");
        end(woken[i]);
    }
    cr_assert_eq(dispatcher_remove_waiting(d, NULL), other);
    cr_expect_eq(rated(1), 0);
    end(other);
}

Test(held_back, many_that_are_hastened_come_by_time_and_then_in_turn)
{
    enum { N = 200 };
    for (unsigned seed = 1; seed <= 20; seed++) {
        unsigned random = seed;
        for (int i = 0; i < N; i++)
            (void)parked((size_t)rand_r(&random) % 3, HOUR_MS + rand_r(&random) % HOUR_MS);
        int64_t before[3] = {rated(0), rated(1), rated(2)};
        cr_assert_eq(before[0] + before[1] + before[2], N);
        int woken = 0;
        for (size_t provider = 0; provider < 3; provider++) {
            dispatcher_hasten(d, provider, clock_mono_ms());
            cr_assert(dispatcher_tick(d, 0));
            cr_assert_eq(rated(provider), 0);
            for (; woken < before[0] + (provider > 0 ? before[1] : 0) + (provider > 1 ? before[2] : 0); woken++)
                end(dispatcher_take(d, 0));
        }
        cr_assert_eq(woken, N);
        cr_assert_null(dispatcher_remove_waiting(d, NULL));
    }
}

Test(held_back, while_a_limit_alone_bounds_them_jobs_keep_their_turn)
{
    dispatcher_bound(d, 1, START_OLDEST);
    struct task *first = added(), *second = added(), *third = added();
    cr_assert_eq(dispatcher_take(d, 0), first);
    end(first);
    cr_assert_eq(dispatcher_take(d, 0), second);
    end(second);
    cr_assert_eq(dispatcher_take(d, 0), third);
    end(third);
}

Test(held_back, a_limit_of_one_call_is_no_outage)
{
    static const char *const overrides[] = {"provider.main.in_flight_max=1", NULL};
    struct settings *settings = one_provider_settings(overrides);
    struct error why = {.class = ERROR_UNAVAILABLE};
    struct breakers *breakers = breakers_create(settings, d);
    cr_expect_eq(breakers_calls_max(breakers, 0), 1);
    struct task *first = added(), *second = added(), *third = added();
    cr_assert_eq(dispatcher_take(d, 0), first);
    cr_expect_not(breakers_failed(breakers, DEPENDENCY_PROVIDER, first, &why), "one failure: no longer calm");
    cr_expect_not(breakers_are_calm(breakers));
    cr_expect_eq(breakers_intake(breakers, 2), INTAKE_FREE);
    cr_expect_eq(held_back_get(HELD_BACK_BREAKER, 0, 0), 0);
    end(first);
    cr_assert_eq(dispatcher_take(d, 0), second, "the oldest, not the newest");
    end(second);
    cr_assert_eq(dispatcher_take(d, 0), third);
    end(third);
    breakers_destroy(breakers);
    settings_destroy(settings);
}

Test(held_back, a_line_is_drawn_together_to_what_is_left_of_it)
{
    static const struct permit_limits limits = {.requests_per_minute = 60, .tokens_per_minute = 6000, .burst_ms = 5000};
    static const struct {
        int64_t requests_us, tokens_us, want_ms;
    } rows[] = {{0, 0, 0}, {104000000, 0, 0}, {105000000, 105000000, 0}, {106000000, 0, 1000}, {0, 106000001, 1001}, {107000000, 109500000, 4500}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct permit_settle_op op = {.limits = &limits, .redis_us = 100000000, .requests_until_us = rows[i].requests_us, .tokens_until_us = rows[i].tokens_us};
        cr_expect_eq(permits_line_ms(&op), rows[i].want_ms, "row %zu: %lld", i, (long long)permits_line_ms(&op));
    }
}

Test(held_back, refused_tenants_are_counted_once_and_leave)
{
    char name[16];
    refused_tenants_add("acme", 1000);
    refused_tenants_add("acme", 1000);
    refused_tenants_add("other", 2000);
    cr_expect_eq(held_back_get(HELD_BACK_BUDGET, HELD_BACK_NO_PROVIDER, 0), 2);
    refused_tenants_remove("acme");
    refused_tenants_remove("nobody");
    cr_expect_eq(held_back_get(HELD_BACK_BUDGET, HELD_BACK_NO_PROVIDER, 0), 1);
    refused_tenants_look(1999);
    cr_expect_eq(held_back_get(HELD_BACK_BUDGET, HELD_BACK_NO_PROVIDER, 0), 1);
    refused_tenants_look(2000);
    cr_expect_eq(held_back_get(HELD_BACK_BUDGET, HELD_BACK_NO_PROVIDER, 0), 0, "its day has ended");
    for (int i = 0; i < 3 * REFUSED_TENANTS_MAX; i++) {
        snprintf(name, sizeof name, "t%d", i);
        refused_tenants_add(name, i);
    }
    cr_expect_eq(held_back_get(HELD_BACK_BUDGET, HELD_BACK_NO_PROVIDER, 0), REFUSED_TENANTS_MAX);
    refused_tenants_look(INT64_MAX);
    cr_expect_eq(held_back_get(HELD_BACK_BUDGET, HELD_BACK_NO_PROVIDER, 0), 0);
}

Test(held_back, suspects_are_told_while_they_wait_and_run)
{
    struct task *task = added();
    cr_assert_eq(dispatcher_take(d, 0), task);
    cr_assert(dispatcher_suspect(d, task, CRASHES_FREE_MAX + 2));
    cr_expect_eq(held_back_get(HELD_BACK_SUSPECTS, HELD_BACK_NO_PROVIDER, 0), 1);
    cr_assert_eq(dispatcher_take(d, 0), task);
    cr_expect_eq(held_back_get(HELD_BACK_SUSPECTS, HELD_BACK_NO_PROVIDER, 0), 1, "alone");
    end(task);
    cr_expect_eq(held_back_get(HELD_BACK_SUSPECTS, HELD_BACK_NO_PROVIDER, 0), 0);
}

Test(held_back, every_reason_has_a_series_at_any_time)
{
    struct provider_settings providers[2] = {{.name = (char[]){"main"}}, {.name = (char[]){"spare"}}};
    struct settings settings = {.providers = providers, .provider_count = 2};
    AUTO_FREE char *text = NULL;
    size_t size;
    held_back_name(&settings);
    held_back_set(HELD_BACK_LIMIT, 1, 1);
    held_back_until(HELD_BACK_TOO_SLOW, 0, clock_mono_ms() + HOUR_MS);
    FILE *out = open_memstream(&text, &size);
    held_back_print(out);
    fclose(out);
    held_back_name(NULL);
    static const char *const lines[] = {"# TYPE chat_held_back gauge\n", "{reason=\"limit\",provider=\"main\"} 0\n", "{reason=\"limit\",provider=\"spare\"} 1\n",
                                        "{reason=\"too_slow\",provider=\"main\"} 1\n", "{reason=\"rate\",provider=\"main\"} 0\n",
                                        "{reason=\"breaker\",provider=\"spare\"} 0\n", "{reason=\"breaker\"} 0\n", "{reason=\"budget\"} 0\n", "{reason=\"buffer\"} 0\n",
                                        "{reason=\"completed_set\"} 0\n", "{reason=\"suspects\"} 0\n", "{reason=\"held\"} 0\n", "{reason=\"draining\"} 0\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        cr_expect(strstr(text, lines[i]) != NULL, "%s in %s", lines[i], text);
}
