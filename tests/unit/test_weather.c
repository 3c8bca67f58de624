/* What the intake may do while a dependency is away. The breakers' clock is real, so their pause is a millisecond. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "dispatch/dispatcher.h"
#include "dispatch/weather.h"
#include "ops/metrics.h"

static struct settings *settings;
static struct dispatcher *dispatcher;
static struct weather *weather;
static struct partition *partition;

static void setup(void)
{
    static const char *const overrides[] = {"kafka.bootstrap.servers=b:1", "provider.main.url=http://localhost:1/v1", "provider.main.model=m",
                                            "worker.threads=64", NULL};
    struct settings_sources sources = {.overrides = overrides};
    struct error err = {0};
    cr_assert_eq(settings_load(&sources, &settings, &err), STATUS_OK, "%s", err.message);
    settings->retry.backoff_ms = settings->retry.backoff_max_ms = 1;
    log_configure(LOG_ERROR, LOG_LOGFMT);
    dispatcher = dispatcher_create(ORDERING_KEY, REDIS_IO_PER_THREAD, 64);
    weather = weather_create(settings, dispatcher);
    partition = partition_create("jobs", 0, 1);
}

static void teardown(void)
{
    partition_unref(partition);
    weather_destroy(weather);
    dispatcher_destroy(dispatcher);
    settings_destroy(settings);
}

static bool fails(int dependency, int session)
{
    struct error why = {.class = ERROR_UNAVAILABLE};
    struct record record = {.topic = xstrdup("jobs"), .timestamp_ms = -1};
    struct task *task = task_create(&record, partition);
    task->job.session = xasprintf("s%d", session);
    bool away = weather_failed(weather, dependency, task, &why);
    task_unref(task);
    return away;
}

static void opens(int dependency)
{
    for (int session = 0; session < 4; session++)
        cr_assert_not(fails(dependency, session));
    cr_assert(fails(dependency, 4));
}

/* The pause of whatever is open is over. */
static void half_opens(void)
{
    for (int64_t until = clock_mono_ms() + settings->retry.backoff_max_ms; clock_mono_ms() < until;)
        ;
    cr_assert(weather_tick(weather));
}

static void probe_fails(int dependency)
{
    half_opens();
    cr_assert(fails(dependency, 5));
}

Test(weather, one_let_in_that_ended_without_asking_is_followed_by_another, .init = setup, .fini = teardown)
{
    opens(WEATHER_PROVIDER);
    cr_assert_eq(weather_intake(weather, 5), INTAKE_CLOSED, "there are jobs to probe with");
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(weather_intake(weather, 0), INTAKE_ONE, "%d: none is left to probe with", i);
        weather_let_in(weather);
        cr_assert_eq(weather_intake(weather, 1), INTAKE_CLOSED, "%d: it is the next probe", i);
        half_opens(); /* it ends, by its deadline say, and tells nothing of the provider */
    }
}

Test(weather, a_probe_in_vain_of_an_outage_that_is_over_says_nothing_of_the_next, .init = setup, .fini = teardown)
{
    opens(WEATHER_PROVIDER);
    for (int i = 0; i < 9; i++)
        probe_fails(WEATHER_PROVIDER);
    half_opens();
    for (int i = 0; i < 64; i++)
        weather_succeeded(weather, WEATHER_PROVIDER);
    cr_assert_eq(weather_intake(weather, 5), INTAKE_FREE);
    opens(WEATHER_REDIS);
    cr_assert_eq(weather_intake(weather, 5), INTAKE_CLOSED, "the provider's probes aren't those of Redis");
}

Test(weather, when_it_opens_again_in_the_middle_of_recovery_probes_are_counted_anew, .init = setup, .fini = teardown)
{
    opens(WEATHER_PROVIDER);
    for (int i = 0; i < 9; i++)
        probe_fails(WEATHER_PROVIDER);
    cr_assert_eq(weather_intake(weather, 50), INTAKE_ONE);
    weather_let_in(weather);
    half_opens();
    weather_succeeded(weather, WEATHER_PROVIDER);
    opens(WEATHER_PROVIDER);
    probe_fails(WEATHER_PROVIDER);
    cr_assert_eq(weather_intake(weather, 1), INTAKE_ONE, "the only one was probed in vain");
}

/* There may be no second one for days. */
Test(weather, one_dead_letter_that_is_taken_ends_the_outage_of_their_topic, .init = setup, .fini = teardown)
{
    opens(WEATHER_DEAD_TOPIC);
    cr_assert_eq(weather_intake(weather, 5), INTAKE_CLOSED);
    cr_assert_eq(metric_get(METRIC_breakers_open), 1);
    half_opens();
    weather_succeeded(weather, WEATHER_DEAD_TOPIC);
    cr_assert_eq(weather_intake(weather, 5), INTAKE_FREE);
    cr_assert_eq(metric_get(METRIC_breakers_open), 0);
}

static struct task *job(const char *session)
{
    struct record record = {.topic = xstrdup("jobs"), .timestamp_ms = -1};
    struct task *task = task_create(&record, partition);
    task->job.session = xstrdup(session);
    return task;
}

/* Or jobs that always fail, the last that are left, would keep the breaker open and wait for ever. */
Test(weather, a_job_that_fails_before_and_after_others_were_answered_is_at_fault, .init = setup, .fini = teardown)
{
    struct error why = {.class = ERROR_RETRIABLE};
    struct task *poison = job("poison"), *unlucky = job("unlucky");
    cr_expect_not(weather_failed(weather, WEATHER_PROVIDER, poison, &why));
    for (int session = 0; session < 3; session++)
        cr_expect_not(fails(WEATHER_PROVIDER, session));
    cr_expect(weather_failed(weather, WEATHER_PROVIDER, unlucky, &why), "five sessions: an outage");
    half_opens();
    cr_expect(weather_failed(weather, WEATHER_PROVIDER, poison, &why), "again, and nobody was answered between: the outage goes on");
    half_opens();
    weather_succeeded(weather, WEATHER_PROVIDER);
    opens(WEATHER_PROVIDER);
    for (int i = 0; i < 3; i++)
        cr_expect_not(weather_failed(weather, WEATHER_PROVIDER, poison, &why), "%d: it loses an attempt, whatever the breaker says", i);
    half_opens();
    cr_expect_not(weather_failed(weather, WEATHER_PROVIDER, poison, &why));
    cr_expect_eq(metric_get(METRIC_breakers_open), 1, "as a probe it proves nothing");
    cr_expect_not(weather_tick(weather) == false, "still half open, for another probe");
    task_unref(poison);
    task_unref(unlucky);
}
