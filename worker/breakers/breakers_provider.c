#include "breakers/breakers_provider.h"

#include "base/clock.h"
#include "breakers/breakers_locked.h"
#include "breakers/task_failures.h"
#include "dispatch/dispatcher.h"
#include "task/task_part.h"

/* Has the job failed at this provider before, and was another job answered since? */
static bool look_for_fault(const struct breaker *breaker, size_t provider, struct task_failures *failures)
{
    uint16_t bit = (uint16_t)(1u << provider);
    if ((failures->at & bit) != 0 && failures->after[provider] != breaker->successes)
        failures->at_fault |= bit;
    failures->at |= bit;
    failures->after[provider] = breaker->successes;
    return (failures->at_fault & bit) != 0;
}

static void count_locked(struct breakers *breakers, struct task_failures *failures)
{
    if (failures->series == breakers->series)
        return;
    failures->series = breakers->series;
    breakers->failed++;
}

/* The breaker counts the failure unless the job is at fault: then it says nothing about the provider. */
static enum blame provider_failed_locked(struct breakers *breakers, size_t provider, struct task *task, const struct breakers_failure *how)
{
    int dependency = DEPENDENCY_PROVIDER + (int)provider;
    struct breaker *breaker = &breakers->of[dependency];
    struct dispatcher_load load = dispatcher_load(breakers->dispatcher);
    bool by_any = how->weight == WEIGHS_EACH_TIME;
    bool counts;
    if (task->failures == NULL)
        task->failures = task_part_make(sizeof *task->failures);
    count_locked(breakers, task->failures);
    struct blame_facts facts = {.at_fault = look_for_fault(breaker, provider, task->failures),
                                .away = breaker_is_away(breaker),
                                .last_attempt = how->last_attempt,
                                .by_any = by_any,
                                .no_jobs_doing = breaker->no_jobs_doing,
                                .sessions = breaker_sessions_with(breaker, breakers_who_of(task)),
                                .failed = breakers->failed,
                                .to_ask = load.to_ask,
                                .in_hand = load.in_hand,
                                .spared = task->failures->spared[provider],
                                .given_up = breakers->given_up};
    enum blame blame = blame_of(&facts, &counts);
    task->failures->spared[provider] += counts;
    if (blame == BLAME_JOB && how->last_attempt && !facts.at_fault && facts.spared >= blame_spared_max(breakers->given_up)) {
        task->failures->at_fault |= (uint16_t)(1u << provider);
        breakers->given_up++;
    }
    if (facts.at_fault || (facts.away && blame == BLAME_JOB))
        return blame;
    bool opened = breaker_failed(breaker, by_any ? BREAKER_EACH : breakers_who_of(task), clock_mono_ms());
    if (blame == BLAME_PROVIDER)
        opened = breaker_open(breaker, clock_mono_ms()) || opened;
    if (opened)
        breakers_opened_locked(breakers, dependency, how->why);
    return breaker_is_away(breaker) ? BLAME_PROVIDER : blame; /* this failure may have opened the breaker */
}

enum blame breakers_provider_failed(struct breakers *breakers, size_t provider, struct task *task, const struct breakers_failure *how)
{
    enum blame blame = BLAME_JOB;
    if (how->weight == WEIGHS_NOTHING || (how->weight == WEIGHS_FOR && breakers_are_calm(breakers)))
        return blame;
    mutex_lock(&breakers->lock);
    if (how->weight == WEIGHS_FOR)
        breaker_refused(&breakers->of[DEPENDENCY_PROVIDER + provider]);
    else
        blame = provider_failed_locked(breakers, provider, task, how);
    breakers_follow_locked(breakers);
    mutex_unlock(&breakers->lock);
    return blame;
}
