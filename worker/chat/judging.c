#include "chat/judging.h"

#include <string.h>

#include "base/clock.h"
#include "breakers/breakers.h"
#include "breakers/breakers_provider.h"
#include "llm/retry_policy.h"
#include "wire/json_member.h"

/* Will this failure be the job's end, because no attempts are left? Waits that cost no attempt are measured against the same number. */
static bool is_last_attempt(const struct service *service, const struct task *task, const struct failure_facts *facts)
{
    int64_t failures = 1 + (task->error.class == ERROR_UNAVAILABLE ? task->unavailable_waits : task->fails);
    bool is_tried_again = task->error.class == ERROR_UNAVAILABLE ||
                          (task->error.class == ERROR_RETRIABLE && retry_allowed(0, 1, facts->retry_after_ms, facts->should_retry));
    return is_tried_again && failures >= service->settings->retry.attempts_max;
}

/* Repeated if the limit has changed meanwhile: of two threads the one that read first may write last. */
static void tell_limit(const struct service *service, size_t provider)
{
    size_t limit, told;
    do {
        told = provider_slots_limit(service->slots, provider);
        breakers_limit(service->breakers, provider, told);
        limit = provider_slots_limit(service->slots, provider);
    } while (limit != told);
}

/* Does the job name a model of its own? */
static bool names_model(const struct job *job)
{
    struct json_member member = {.at = job->params, .end = job->params != NULL ? job->params + strlen(job->params) : NULL};
    while (job->params != NULL && json_member_next(&member))
        if (json_member_is(&member, "model"))
            return true;
    return false;
}

static enum blame blame_for(const struct service *service, struct task *task, const struct llm_tried *tried, const struct failure_facts *facts)
{
    int64_t now_ms = clock_mono_ms();
    struct failure_job job = {.named_model = tried->failure.kind == FAILURE_MODEL && names_model(&task->job),
                              .may_be_quoted = tried->failure.may_be_quoted,
                              .out_of_time = task_until_ms(task, INT64_MAX / 4) <= now_ms};
    struct breakers_failure how = {.weight = failure_weight(tried->failure.kind, &job),
                                  .last_attempt = is_last_attempt(service, task, facts),
                                  .why = tried->error};
    return breakers_provider_failed(service->breakers, tried->provider, task, &how);
}

enum blame judge_calls(const struct service *service, struct task *task, const struct llm_outcome *outcome, const struct failure_facts *facts)
{
    enum blame least = BLAME_PROVIDER;
    bool told = false;
    for (size_t i = 0; i < outcome->tried_count; i++) {
        const struct llm_tried *tried = &outcome->tried[i];
        enum blame blame = BLAME_JOB;
        if (tried->end == TRIED_DROPPED)
            continue;
        if (tried->end == TRIED_FAILED)
            blame = blame_for(service, task, tried, facts);
        else
            breakers_succeeded(service->breakers, DEPENDENCY_PROVIDER + (int)tried->provider);
        least = blame < least ? blame : least;
        told = true;
    }
    for (size_t i = 0; outcome->limit_changed && i < outcome->tried_count; i++)
        tell_limit(service, outcome->tried[i].provider);
    return told ? least : BLAME_JOB;
}
