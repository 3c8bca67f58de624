#include "dispatch/weather.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "dispatch/breaker.h"
#include "dispatch/dispatcher.h"
#include "ops/metrics.h"

/* After so many failed probes each further one lets a fresh job in, however many are parked: those may all be of
 * the kind that always fails. */
#define PROBES_PARKED_MAX 8

struct weather {
    const struct settings *settings;
    struct dispatcher *dispatcher;
    atomic_bool calm; /* every breaker is closed and remembers no failure */
    atomic_bool limited; /* a provider may have so many calls in flight */
    struct mutex lock; /* guards the rest */
    size_t permits;    /* as the dispatcher was told */
    int let_in;        /* failed probes when a job was last let in through a closed intake; -1: none was */
    size_t limits[PROVIDERS_MAX]; /* of calls in flight; SIZE_MAX: none */
    size_t count;
    struct breaker breakers[];
};

struct weather *weather_create(const struct settings *settings, struct dispatcher *dispatcher)
{
    size_t count = WEATHER_PROVIDER + settings->provider_count;
    struct weather *weather = xcalloc(1, sizeof *weather + count * sizeof weather->breakers[0]);
    weather->settings = settings;
    weather->dispatcher = dispatcher;
    weather->count = count;
    weather->permits = BREAKER_PERMITS_ALL;
    weather->let_in = -1;
    for (size_t i = 0; i < PROVIDERS_MAX; i++)
        weather->limits[i] = SIZE_MAX;
    atomic_init(&weather->calm, true);
    mutex_init(&weather->lock);
    for (size_t i = 0; i < count; i++)
        weather->breakers[i] = (struct breaker){.pause_min_ms = settings->retry.backoff_ms,
                                                .pause_max_ms = settings->retry.backoff_max_ms,
                                                .threads = (size_t)settings->worker.threads,
                                                .by_rate = i >= WEATHER_PROVIDER && settings->asked_count > 1};
    /* It bounds the intake alone, and letters are few: the first that is taken closes it. */
    weather->breakers[WEATHER_DEAD_TOPIC].threads = 1;
    return weather;
}

void weather_destroy(struct weather *weather)
{
    if (weather == NULL)
        return;
    mutex_destroy(&weather->lock);
    free(weather);
}

/* ---- what follows from the breakers; locked ---- */

static size_t permits_of_locked(const struct weather *weather, size_t provider)
{
    size_t permits = breaker_permits(&weather->breakers[WEATHER_PROVIDER + provider]);
    return weather->limits[provider] < permits ? weather->limits[provider] : permits;
}

/* A job can run while one provider of llm.providers is there. */
static size_t provider_permits_locked(const struct weather *weather)
{
    size_t most = 0;
    for (size_t i = 0; i < weather->settings->asked_count; i++) {
        size_t permits = permits_of_locked(weather, i);
        if (permits == BREAKER_PERMITS_ALL)
            return permits;
        most += permits;
    }
    return most;
}

static void follow_locked(struct weather *weather)
{
    size_t permits = provider_permits_locked(weather);
    size_t redis = breaker_permits(&weather->breakers[WEATHER_REDIS]);
    bool calm = true;
    int64_t open = 0;
    if (redis < permits)
        permits = redis;
    for (size_t i = 0; i < weather->count; i++) {
        calm = calm && breaker_is_calm(&weather->breakers[i]);
        open += weather->breakers[i].state != BREAKER_CLOSED;
    }
    METRIC_SET(breakers_open, open);
    atomic_store(&weather->calm, calm);
    if (calm)
        weather->let_in = -1;
    if (permits != weather->permits)
        dispatcher_permit(weather->dispatcher, weather->permits = permits);
}

static void name_of(const struct weather *weather, int dependency, char *name, size_t size)
{
    if (dependency == WEATHER_REDIS)
        snprintf(name, size, "redis");
    else if (dependency == WEATHER_DEAD_TOPIC)
        snprintf(name, size, "dead_topic");
    else
        snprintf(name, size, "provider.%s", weather->settings->providers[dependency - WEATHER_PROVIDER].name);
}

static void note_locked(struct weather *weather, int dependency, const struct error *why)
{
    static const char *const events[] = {
        [BREAKER_CLOSED] = "breaker_closed", [BREAKER_OPEN] = "breaker_opened", [BREAKER_HALF_OPEN] = "breaker_half_open"};
    const struct breaker *breaker = &weather->breakers[dependency];
    char name[80];
    name_of(weather, dependency, name, sizeof name);
    if (breaker->state == BREAKER_OPEN) {
        METRIC_ADD(breaker_opened_total, breaker->failed_probes == 0);
        log_warn(events[breaker->state], F_STR("dependency", name), F_STR("code", why->code), F_STR("error", why->message),
                 F_INT("probe_in_ms", breaker->probe_ms - clock_mono_ms()), F_INT("failed_probes", breaker->failed_probes),
                 F_STR("hint", "jobs wait and lose no attempt, lag grows"));
    } else {
        log_info(events[breaker->state], F_STR("dependency", name));
    }
}

/* ---- */

static uint64_t who_of(const struct task *task)
{
    const char *name = task->job.session != NULL ? task->job.session : task->job.id != NULL ? task->job.id : "";
    return XXH3_64bits(name, strlen(name));
}

/* Has it failed here before, and was anybody answered since? */
static void look_for_fault_locked(const struct breaker *breaker, int dependency, struct task *task)
{
    task->at_fault = task->at_fault || (task->failed_at == dependency + 1 && task->failed_after != breaker->successes);
    task->failed_at = dependency + 1;
    task->failed_after = breaker->successes;
}

bool weather_failed(struct weather *weather, int dependency, struct task *task, const struct error *why)
{
    struct breaker *breaker = &weather->breakers[dependency];
    mutex_lock(&weather->lock);
    if (dependency >= WEATHER_PROVIDER)
        look_for_fault_locked(breaker, dependency, task);
    if (dependency >= WEATHER_PROVIDER && task->at_fault) {
        mutex_unlock(&weather->lock);
        return false;
    }
    if (breaker_failed(breaker, who_of(task), clock_mono_ms())) {
        if (breaker->failed_probes == 0)
            weather->let_in = -1; /* its probes are counted from the start */
        note_locked(weather, dependency, why);
    }
    follow_locked(weather);
    bool away = breaker_permits(breaker) <= 1;
    mutex_unlock(&weather->lock);
    return away;
}

void weather_succeeded(struct weather *weather, int dependency)
{
    if (atomic_load_explicit(&weather->calm, memory_order_relaxed))
        return;
    mutex_lock(&weather->lock);
    if (breaker_succeeded(&weather->breakers[dependency]))
        note_locked(weather, dependency, NULL);
    follow_locked(weather);
    mutex_unlock(&weather->lock);
}

void weather_limit(struct weather *weather, size_t provider, size_t limit)
{
    mutex_lock(&weather->lock);
    bool limited = false;
    if (limit < weather->limits[provider])
        log_info("inflight_limited", F_STR("provider", weather->settings->providers[provider].name), F_INT("limit", limit),
                 F_STR("hint", "it is overloaded: fewer questions are under way at once, until it answers well"));
    weather->limits[provider] = limit;
    for (size_t i = 0; i < weather->settings->provider_count; i++)
        limited = limited || weather->limits[i] != SIZE_MAX;
    atomic_store(&weather->limited, limited);
    follow_locked(weather);
    mutex_unlock(&weather->lock);
}

size_t weather_permits(struct weather *weather, size_t provider)
{
    if (atomic_load_explicit(&weather->calm, memory_order_relaxed) && !atomic_load_explicit(&weather->limited, memory_order_relaxed))
        return SIZE_MAX;
    mutex_lock(&weather->lock);
    size_t permits = permits_of_locked(weather, provider);
    mutex_unlock(&weather->lock);
    return permits;
}

bool weather_is_calm(const struct weather *weather)
{
    return atomic_load_explicit(&weather->calm, memory_order_relaxed);
}

bool weather_tick(struct weather *weather)
{
    if (atomic_load_explicit(&weather->calm, memory_order_relaxed))
        return false;
    mutex_lock(&weather->lock);
    for (size_t i = 0; i < weather->count; i++)
        if (breaker_tick(&weather->breakers[i], clock_mono_ms()))
            note_locked(weather, (int)i, NULL);
    follow_locked(weather);
    mutex_unlock(&weather->lock);
    return true;
}

static bool is_closed_locked(const struct weather *weather)
{
    return weather->permits <= 1 || breaker_permits(&weather->breakers[WEATHER_DEAD_TOPIC]) <= 1;
}

static int failed_probes_locked(const struct weather *weather)
{
    int most = 0;
    for (size_t i = 0; i < weather->count; i++)
        if (weather->breakers[i].state != BREAKER_CLOSED && weather->breakers[i].failed_probes > most)
            most = weather->breakers[i].failed_probes;
    return most;
}

enum weather_intake weather_intake(struct weather *weather, int64_t jobs_alive)
{
    if (atomic_load_explicit(&weather->calm, memory_order_relaxed))
        return INTAKE_FREE;
    mutex_lock(&weather->lock);
    bool closed = is_closed_locked(weather);
    int failed_probes = failed_probes_locked(weather);
    bool probed_all = failed_probes >= (jobs_alive < PROBES_PARKED_MAX ? jobs_alive : PROBES_PARKED_MAX);
    /* With none alive nothing can be probed: the last one let in ended without asking (its deadline, the store, bad input). */
    bool one = jobs_alive == 0 || (probed_all && weather->let_in < failed_probes);
    mutex_unlock(&weather->lock);
    return !closed ? INTAKE_FREE : one ? INTAKE_ONE : INTAKE_CLOSED;
}

void weather_let_in(struct weather *weather)
{
    if (atomic_load_explicit(&weather->calm, memory_order_relaxed))
        return;
    mutex_lock(&weather->lock);
    if (is_closed_locked(weather))
        weather->let_in = failed_probes_locked(weather);
    mutex_unlock(&weather->lock);
}
