#include "breakers/breakers.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "breakers/breakers_locked.h"
#include "dispatch/dispatcher.h"
#include "telemetry/held_back.h"
#include "telemetry/metrics.h"

static void follow_limits_locked(struct breakers *breakers);

struct breakers *breakers_create(const struct settings *settings, struct dispatcher *dispatcher)
{
    size_t count = DEPENDENCY_PROVIDER + settings->provider_count;
    struct breakers *breakers = xcalloc(1, sizeof *breakers + count * sizeof breakers->of[0]);
    breakers->settings = settings;
    breakers->dispatcher = dispatcher;
    breakers->count = count;
    breakers->bound = BREAKER_ADMITS_ALL;
    intake_gate_reset(&breakers->gate);
    breakers->series = 1;
    for (size_t i = 0; i < PROVIDERS_MAX; i++)
        breakers->limits[i] = SIZE_MAX;
    for (size_t i = 0; i < settings->provider_count; i++)
        if (settings->providers[i].in_flight_max > 0)
            breakers->limits[i] = (size_t)settings->providers[i].in_flight_max;
    atomic_init(&breakers->calm, true);
    mutex_init(&breakers->lock);
    for (size_t i = 0; i < count; i++)
        breakers->of[i] = (struct breaker){.pause_min_ms = settings->retry.backoff_ms,
                                                .pause_max_ms = settings->retry.backoff_max_ms,
                                                .threads = (size_t)settings_jobs_at_once(settings),
                                                .by_rate = i >= DEPENDENCY_PROVIDER && settings->asked_count > 1};
    /* The dead topic's breaker only bounds the intake, and dead letters are few: the first that Kafka acknowledges closes it. */
    breakers->of[DEPENDENCY_DEAD_TOPIC].threads = 1;
    follow_limits_locked(breakers); /* without the lock: no other thread has it yet */
    return breakers;
}

void breakers_destroy(struct breakers *breakers)
{
    if (breakers == NULL)
        return;
    mutex_destroy(&breakers->lock);
    free(breakers);
}

/* ---- what follows from the breakers; locked ---- */

static size_t calls_max_locked(const struct breakers *breakers, size_t provider)
{
    size_t admitted = breaker_admits(&breakers->of[DEPENDENCY_PROVIDER + provider]);
    return breakers->limits[provider] < admitted ? breakers->limits[provider] : admitted;
}

static size_t breaker_admits_locked(const struct breakers *breakers, size_t provider)
{
    return breaker_admits(&breakers->of[DEPENDENCY_PROVIDER + provider]);
}

/* A job can run while one provider of llm.providers isn't away. */
static size_t providers_admit_locked(const struct breakers *breakers, size_t (*of)(const struct breakers *breakers, size_t provider))
{
    size_t most = 0;
    for (size_t i = 0; i < breakers->settings->asked_count; i++) {
        size_t admitted = of(breakers, i);
        if (admitted == BREAKER_ADMITS_ALL)
            return admitted;
        most += admitted;
    }
    return most;
}

/* Every provider of llm.providers is away, or Redis: then each job that starts is a probe. A limit of calls in flight isn't an outage, nor is a
 * half-open breaker with a successful probe. */
static bool is_probing_locked(const struct breakers *breakers)
{
    bool away = true;
    for (size_t i = 0; i < breakers->settings->asked_count; i++)
        away = away && breaker_is_away(&breakers->of[DEPENDENCY_PROVIDER + i]);
    return away || breaker_is_away(&breakers->of[DEPENDENCY_REDIS]);
}

static void tell_held_back_locked(const struct breakers *breakers)
{
    for (size_t i = DEPENDENCY_PROVIDER; i < breakers->count; i++)
        held_back_set(HELD_BACK_BREAKER, i - DEPENDENCY_PROVIDER, breakers->of[i].state != BREAKER_CLOSED);
    held_back_set(HELD_BACK_BREAKER, HELD_BACK_NO_PROVIDER,
                  (breakers->of[DEPENDENCY_REDIS].state != BREAKER_CLOSED) + (breakers->of[DEPENDENCY_DEAD_TOPIC].state != BREAKER_CLOSED));
}

void breakers_follow_locked(struct breakers *breakers)
{
    size_t admitted = providers_admit_locked(breakers, calls_max_locked), by_breakers = providers_admit_locked(breakers, breaker_admits_locked);
    size_t redis = breaker_admits(&breakers->of[DEPENDENCY_REDIS]);
    bool calm = true;
    int64_t open = 0;
    if (redis < admitted)
        admitted = redis;
    for (size_t i = 0; i < breakers->count; i++) {
        calm = calm && breaker_is_calm(&breakers->of[i]);
        open += breakers->of[i].state != BREAKER_CLOSED;
    }
    METRIC_SET(breakers_open, open);
    tell_held_back_locked(breakers);
    atomic_store(&breakers->calm, calm);
    if (calm)
        intake_gate_reset(&breakers->gate);
    /* A limit alone bounds what runs; it is no outage, and the intake stays open. */
    breakers->closed = by_breakers <= 1 || redis <= 1;
    bool probing = is_probing_locked(breakers);
    if (admitted == breakers->bound && probing == breakers->probing)
        return;
    breakers->bound = admitted;
    breakers->probing = probing;
    dispatcher_bound(breakers->dispatcher, admitted, probing ? START_PROBES : START_OLDEST);
}

static void follow_limits_locked(struct breakers *breakers)
{
    bool limited = false;
    for (size_t i = 0; i < breakers->settings->provider_count; i++)
        limited = limited || breakers->limits[i] != SIZE_MAX;
    atomic_store(&breakers->limited, limited);
    breakers_follow_locked(breakers);
}

static void name_of(const struct breakers *breakers, int dependency, char *name, size_t size)
{
    if (dependency == DEPENDENCY_REDIS)
        snprintf(name, size, "redis");
    else if (dependency == DEPENDENCY_DEAD_TOPIC)
        snprintf(name, size, "dead_topic");
    else
        snprintf(name, size, "provider.%s", breakers->settings->providers[dependency - DEPENDENCY_PROVIDER].name);
}

static void note_locked(struct breakers *breakers, int dependency, const struct error *why)
{
    static const char *const events[] = {
        [BREAKER_CLOSED] = "breaker_closed", [BREAKER_OPEN] = "breaker_opened", [BREAKER_HALF_OPEN] = "breaker_half_open"};
    const struct breaker *breaker = &breakers->of[dependency];
    char name[80];
    name_of(breakers, dependency, name, sizeof name);
    if (breaker->state == BREAKER_OPEN) {
        METRIC_ADD(breaker_opened_total, breaker->failed_probes == 0);
        log_warn(events[breaker->state], F_STR("dependency", name), F_STR("code", why->code), F_STR("error", why->message),
                 F_INT("probe_in_ms", breaker->probe_ms - clock_mono_ms()), F_INT("failed_probes", breaker->failed_probes),
                 F_STR("hint", "jobs wait and lose no attempt, lag grows"));
    } else {
        log_info(events[breaker->state], F_STR("dependency", name));
    }
}

/* ---- results reported of a dependency ---- */

uint64_t breakers_who_of(const struct task *task)
{
    const char *name = task->job.session != NULL ? task->job.session : task->job.id != NULL ? task->job.id : "";
    return XXH3_64bits(name, strlen(name));
}

void breakers_opened_locked(struct breakers *breakers, int dependency, const struct error *why)
{
    if (breakers->of[dependency].failed_probes == 0)
        intake_gate_reset(&breakers->gate);
    note_locked(breakers, dependency, why);
}

bool breakers_failed(struct breakers *breakers, int dependency, const struct task *task, const struct error *why)
{
    struct breaker *breaker = &breakers->of[dependency];
    mutex_lock(&breakers->lock);
    if (breaker_failed(breaker, breakers_who_of(task), clock_mono_ms()))
        breakers_opened_locked(breakers, dependency, why);
    breakers_follow_locked(breakers);
    bool away = breaker_is_away(breaker);
    mutex_unlock(&breakers->lock);
    return away;
}

void breakers_succeeded(struct breakers *breakers, int dependency)
{
    if (atomic_load_explicit(&breakers->calm, memory_order_relaxed))
        return;
    mutex_lock(&breakers->lock);
    if (dependency >= DEPENDENCY_PROVIDER) {
        breakers->series++;
        breakers->failed = 0;
        breakers->given_up = 0;
    }
    if (breaker_succeeded(&breakers->of[dependency], clock_mono_ms()))
        note_locked(breakers, dependency, NULL);
    breakers_follow_locked(breakers);
    mutex_unlock(&breakers->lock);
}

void breakers_limit(struct breakers *breakers, size_t provider, size_t limit)
{
    mutex_lock(&breakers->lock);
    if (limit < breakers->limits[provider])
        log_info("inflight_limited", F_STR("provider", breakers->settings->providers[provider].name), F_INT("limit", limit),
                 F_STR("hint", "it is overloaded: fewer questions are under way at once, until it answers well"));
    breakers->limits[provider] = limit;
    follow_limits_locked(breakers);
    mutex_unlock(&breakers->lock);
}

size_t breakers_calls_max(struct breakers *breakers, size_t provider)
{
    if (atomic_load_explicit(&breakers->calm, memory_order_relaxed) && !atomic_load_explicit(&breakers->limited, memory_order_relaxed))
        return SIZE_MAX;
    mutex_lock(&breakers->lock);
    size_t admitted = calls_max_locked(breakers, provider);
    mutex_unlock(&breakers->lock);
    return admitted;
}

void breakers_waited_for(struct breakers *breakers, size_t provider)
{
    mutex_lock(&breakers->lock);
    breaker_waited_for(&breakers->of[DEPENDENCY_PROVIDER + provider]);
    mutex_unlock(&breakers->lock);
}

bool breakers_is_well(struct breakers *breakers, int dependency)
{
    if (breakers_are_calm(breakers))
        return true;
    mutex_lock(&breakers->lock);
    bool well = breaker_is_calm(&breakers->of[dependency]);
    mutex_unlock(&breakers->lock);
    return well;
}

bool breakers_are_calm(const struct breakers *breakers)
{
    return atomic_load_explicit(&breakers->calm, memory_order_relaxed);
}

bool breakers_tick(struct breakers *breakers)
{
    if (atomic_load_explicit(&breakers->calm, memory_order_relaxed))
        return false;
    mutex_lock(&breakers->lock);
    bool kept_waiting = dispatcher_load(breakers->dispatcher).kept_waiting;
    int64_t now_ms = clock_mono_ms();
    for (size_t i = 0; i < breakers->count; i++) {
        if (kept_waiting)
            breaker_waited_for(&breakers->of[i]);
        if (breaker_tick(&breakers->of[i], now_ms))
            note_locked(breakers, (int)i, NULL);
    }
    breakers_follow_locked(breakers);
    mutex_unlock(&breakers->lock);
    return true;
}

static bool is_closed_locked(const struct breakers *breakers)
{
    return breakers->closed || breaker_admits(&breakers->of[DEPENDENCY_DEAD_TOPIC]) <= 1;
}

enum intake_gate_state breakers_intake(struct breakers *breakers, int64_t jobs_alive)
{
    if (atomic_load_explicit(&breakers->calm, memory_order_relaxed))
        return INTAKE_FREE;
    mutex_lock(&breakers->lock);
    enum intake_gate_state state = intake_gate_look(&breakers->gate, is_closed_locked(breakers), breakers->of, breakers->count, jobs_alive);
    mutex_unlock(&breakers->lock);
    return state;
}

void breakers_let_in(struct breakers *breakers)
{
    if (atomic_load_explicit(&breakers->calm, memory_order_relaxed))
        return;
    mutex_lock(&breakers->lock);
    if (is_closed_locked(breakers))
        intake_gate_let_in(&breakers->gate, breakers->of, breakers->count);
    mutex_unlock(&breakers->lock);
}
