#include "breakers/weather.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "breakers/breaker.h"
#include "breakers/task_failures.h"
#include "dispatch/dispatcher.h"
#include "task/task_part.h"
#include "telemetry/held_back.h"
#include "telemetry/metrics.h"

struct weather {
    const struct settings *settings;
    struct dispatcher *dispatcher;
    atomic_bool calm; /* every breaker is closed and remembers no failure */
    atomic_bool limited; /* a provider may have so many calls in flight */
    struct mutex lock; /* guards the rest */
    size_t permits;    /* as the dispatcher was told */
    uint64_t series;   /* of failures: grows with an answer, from 1 */
    int64_t failed;    /* jobs that have failed in it, at a provider */
    bool probing;      /* the same: what starts is a probe */
    bool closed;       /* every usable provider is away, or Redis */
    struct intake_gate gate;
    size_t limits[PROVIDERS_MAX]; /* of calls in flight; SIZE_MAX: none */
    size_t count;
    struct breaker breakers[];
};

static void follow_limits_locked(struct weather *weather);

struct weather *weather_create(const struct settings *settings, struct dispatcher *dispatcher)
{
    size_t count = WEATHER_PROVIDER + settings->provider_count;
    struct weather *weather = xcalloc(1, sizeof *weather + count * sizeof weather->breakers[0]);
    weather->settings = settings;
    weather->dispatcher = dispatcher;
    weather->count = count;
    weather->permits = BREAKER_PERMITS_ALL;
    intake_gate_reset(&weather->gate);
    weather->series = 1;
    for (size_t i = 0; i < PROVIDERS_MAX; i++)
        weather->limits[i] = SIZE_MAX;
    for (size_t i = 0; i < settings->provider_count; i++)
        if (settings->providers[i].in_flight_max > 0)
            weather->limits[i] = (size_t)settings->providers[i].in_flight_max;
    atomic_init(&weather->calm, true);
    mutex_init(&weather->lock);
    for (size_t i = 0; i < count; i++)
        weather->breakers[i] = (struct breaker){.pause_min_ms = settings->retry.backoff_ms,
                                                .pause_max_ms = settings->retry.backoff_max_ms,
                                                .threads = (size_t)settings->worker.threads,
                                                .by_rate = i >= WEATHER_PROVIDER && settings->asked_count > 1};
    /* It bounds the intake alone, and letters are few: the first that is taken closes it. */
    weather->breakers[WEATHER_DEAD_TOPIC].threads = 1;
    follow_limits_locked(weather); /* nobody else has it yet */
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

static size_t breaker_permits_of_locked(const struct weather *weather, size_t provider)
{
    return breaker_permits(&weather->breakers[WEATHER_PROVIDER + provider]);
}

/* A job can run while one provider of llm.providers is there. */
static size_t provider_permits_locked(const struct weather *weather, size_t (*of)(const struct weather *weather, size_t provider))
{
    size_t most = 0;
    for (size_t i = 0; i < weather->settings->asked_count; i++) {
        size_t permits = of(weather, i);
        if (permits == BREAKER_PERMITS_ALL)
            return permits;
        most += permits;
    }
    return most;
}

/* Every provider of llm.providers is, or Redis: whoever starts now is asked to show whether that has ended. Limits of calls in
 * flight are no such thing, nor are the few permits of one that answers again. */
static bool is_probing_locked(const struct weather *weather)
{
    bool away = true;
    for (size_t i = 0; i < weather->settings->asked_count; i++)
        away = away && breaker_is_away(&weather->breakers[WEATHER_PROVIDER + i]);
    return away || breaker_is_away(&weather->breakers[WEATHER_REDIS]);
}

static void tell_held_back_locked(const struct weather *weather)
{
    for (size_t i = WEATHER_PROVIDER; i < weather->count; i++)
        held_back_set(HELD_BACK_BREAKER, i - WEATHER_PROVIDER, weather->breakers[i].state != BREAKER_CLOSED);
    held_back_set(HELD_BACK_BREAKER, HELD_BACK_NO_PROVIDER,
                  (weather->breakers[WEATHER_REDIS].state != BREAKER_CLOSED) + (weather->breakers[WEATHER_DEAD_TOPIC].state != BREAKER_CLOSED));
}

static void follow_locked(struct weather *weather)
{
    size_t permits = provider_permits_locked(weather, permits_of_locked), by_breakers = provider_permits_locked(weather, breaker_permits_of_locked);
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
    tell_held_back_locked(weather);
    atomic_store(&weather->calm, calm);
    if (calm)
        intake_gate_reset(&weather->gate);
    /* A limit alone bounds what runs; it is no outage, and the intake stays open. */
    weather->closed = by_breakers <= 1 || redis <= 1;
    bool probing = is_probing_locked(weather);
    if (permits == weather->permits && probing == weather->probing)
        return;
    weather->permits = permits;
    weather->probing = probing;
    dispatcher_permit(weather->dispatcher, permits, probing ? START_PROBES : START_OLDEST);
}

static void follow_limits_locked(struct weather *weather)
{
    bool limited = false;
    for (size_t i = 0; i < weather->settings->provider_count; i++)
        limited = limited || weather->limits[i] != SIZE_MAX;
    atomic_store(&weather->limited, limited);
    follow_locked(weather);
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

static void opened_locked(struct weather *weather, int dependency, const struct error *why)
{
    if (weather->breakers[dependency].failed_probes == 0)
        intake_gate_reset(&weather->gate);
    note_locked(weather, dependency, why);
}

bool weather_failed(struct weather *weather, int dependency, const struct task *task, const struct error *why)
{
    struct breaker *breaker = &weather->breakers[dependency];
    mutex_lock(&weather->lock);
    if (breaker_failed(breaker, who_of(task), clock_mono_ms()))
        opened_locked(weather, dependency, why);
    follow_locked(weather);
    bool away = breaker_is_away(breaker);
    mutex_unlock(&weather->lock);
    return away;
}

/* Has it failed here before, and was anybody answered since? */
static bool look_for_fault(const struct breaker *breaker, size_t provider, struct task_failures *failures)
{
    uint16_t bit = (uint16_t)(1u << provider);
    if ((failures->at & bit) != 0 && failures->after[provider] != breaker->successes)
        failures->at_fault |= bit;
    failures->at |= bit;
    failures->after[provider] = breaker->successes;
    return (failures->at_fault & bit) != 0;
}

static void count_locked(struct weather *weather, struct task_failures *failures)
{
    if (failures->series == weather->series)
        return;
    failures->series = weather->series;
    weather->failed++;
}

/* Told to the breaker, unless the job is at fault: then it proves nothing against the provider, and the next one's turn has come. */
static enum blame provider_failed_locked(struct weather *weather, size_t provider, struct task *task, const struct weather_failure *how)
{
    int dependency = WEATHER_PROVIDER + (int)provider;
    struct breaker *breaker = &weather->breakers[dependency];
    struct dispatcher_load load = dispatcher_load(weather->dispatcher);
    bool by_any = how->weight == WEIGHS_EACH_TIME;
    bool counts;
    if (task->failures == NULL)
        task->failures = task_part_make(sizeof *task->failures);
    count_locked(weather, task->failures);
    struct blame_facts facts = {.at_fault = look_for_fault(breaker, provider, task->failures),
                                .away = breaker_is_away(breaker),
                                .last_attempt = how->last_attempt,
                                .by_any = by_any,
                                .several = breaker->several || (breaker->any && breaker->first != who_of(task)),
                                .failed = weather->failed,
                                .to_ask = load.to_ask,
                                .in_hand = load.in_hand,
                                .spared = task->failures->spared};
    enum blame blame = blame_of(&facts, &counts);
    task->failures->spared += counts;
    if (facts.at_fault || (facts.away && blame == BLAME_JOB))
        return blame;
    bool opened = breaker_failed(breaker, by_any ? BREAKER_EACH : who_of(task), clock_mono_ms());
    if (blame == BLAME_PROVIDER)
        opened = breaker_open(breaker, clock_mono_ms()) || opened;
    if (opened)
        opened_locked(weather, dependency, how->why);
    return breaker_is_away(breaker) ? BLAME_PROVIDER : blame; /* this failure may have been the one that was missing */
}

enum blame weather_provider_failed(struct weather *weather, size_t provider, struct task *task, const struct weather_failure *how)
{
    enum blame blame = BLAME_JOB;
    if (how->weight == WEIGHS_NOTHING || (how->weight == WEIGHS_FOR && weather_is_calm(weather)))
        return blame;
    mutex_lock(&weather->lock);
    if (how->weight == WEIGHS_FOR)
        breaker_refused(&weather->breakers[WEATHER_PROVIDER + provider]);
    else
        blame = provider_failed_locked(weather, provider, task, how);
    follow_locked(weather);
    mutex_unlock(&weather->lock);
    return blame;
}

void weather_succeeded(struct weather *weather, int dependency)
{
    if (atomic_load_explicit(&weather->calm, memory_order_relaxed))
        return;
    mutex_lock(&weather->lock);
    if (dependency >= WEATHER_PROVIDER) {
        weather->series++;
        weather->failed = 0;
    }
    if (breaker_succeeded(&weather->breakers[dependency], clock_mono_ms()))
        note_locked(weather, dependency, NULL);
    follow_locked(weather);
    mutex_unlock(&weather->lock);
}

void weather_limit(struct weather *weather, size_t provider, size_t limit)
{
    mutex_lock(&weather->lock);
    if (limit < weather->limits[provider])
        log_info("inflight_limited", F_STR("provider", weather->settings->providers[provider].name), F_INT("limit", limit),
                 F_STR("hint", "it is overloaded: fewer questions are under way at once, until it answers well"));
    weather->limits[provider] = limit;
    follow_limits_locked(weather);
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

void weather_waited_for(struct weather *weather, size_t provider)
{
    mutex_lock(&weather->lock);
    breaker_waited_for(&weather->breakers[WEATHER_PROVIDER + provider]);
    mutex_unlock(&weather->lock);
}

bool weather_is_well(struct weather *weather, int dependency)
{
    if (weather_is_calm(weather))
        return true;
    mutex_lock(&weather->lock);
    bool well = breaker_is_calm(&weather->breakers[dependency]);
    mutex_unlock(&weather->lock);
    return well;
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
    bool kept_waiting = dispatcher_load(weather->dispatcher).kept_waiting;
    int64_t now_ms = clock_mono_ms();
    for (size_t i = 0; i < weather->count; i++) {
        if (kept_waiting)
            breaker_waited_for(&weather->breakers[i]);
        if (breaker_tick(&weather->breakers[i], now_ms))
            note_locked(weather, (int)i, NULL);
    }
    follow_locked(weather);
    mutex_unlock(&weather->lock);
    return true;
}

static bool is_closed_locked(const struct weather *weather)
{
    return weather->closed || breaker_permits(&weather->breakers[WEATHER_DEAD_TOPIC]) <= 1;
}

enum intake_gate_state weather_intake(struct weather *weather, int64_t jobs_alive)
{
    if (atomic_load_explicit(&weather->calm, memory_order_relaxed))
        return INTAKE_FREE;
    mutex_lock(&weather->lock);
    enum intake_gate_state state = intake_gate_look(&weather->gate, is_closed_locked(weather), weather->breakers, weather->count, jobs_alive);
    mutex_unlock(&weather->lock);
    return state;
}

void weather_let_in(struct weather *weather)
{
    if (atomic_load_explicit(&weather->calm, memory_order_relaxed))
        return;
    mutex_lock(&weather->lock);
    if (is_closed_locked(weather))
        intake_gate_let_in(&weather->gate, weather->breakers, weather->count);
    mutex_unlock(&weather->lock);
}
