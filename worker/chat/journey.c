#include "chat/journey.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "llm/llm_codec.h"
#include "chat/session.h"
#include "completion/completion.h"
#include "completion/outcome.h"
#include "dispatch/weather.h"
#include "ops/metrics.h"

static char *request_of(const struct service *service, const struct task *task, const struct provider_settings *provider,
                        size_t first_turn)
{
    struct llm_request_parts parts = {.provider = provider,
                                      .system_prompt = service->settings->llm.system_prompt,
                                      .turns = task->begin.turns + first_turn,
                                      .turn_count = task->begin.turn_count - first_turn,
                                      .history_bytes_max = service->settings->llm.history_bytes_max,
                                      .job = &task->job};
    return llm_request_encode(&parts);
}

/* Asks once; a context overflow is asked once more without the older half of the turns: the same attempt,
 * since it failed on our length, not on its merits. */
static enum status llm_ask(const struct service *service, struct task *task, struct llm_cancel *cancel,
                           struct llm_answer *answer)
{
    const struct provider_settings *provider = settings_provider(service->settings, 0);
    int64_t until = task_until_ms(task, service->settings->llm.deadline_ms, clock_mono_ms(), clock_wall_ms());
    task->provider = provider->name;
    enum status status = STATUS_FAILED;
    for (size_t cut = 0, round = 0; round < 2; round++) {
        AUTO_FREE char *body = request_of(service, task, provider, cut);
        METRIC_INC(llm_calls_total);
        status = llm_client_ask(service->llm, provider, body, until, cancel, answer, &task->failure, &task->error);
        if (status == STATUS_OK || !task->failure.context_overflow || task->begin.turn_count < 2)
            break;
        cut = (task->begin.turn_count + 1) / 2;
    }
    if (status != STATUS_OK)
        METRIC_INC(llm_call_failures_total);
    return status;
}

/* Does this failure speak against the provider, not the job? A time-out does, unless the job brought a shorter time. */
static bool is_outage(const struct task *task)
{
    int status = task->failure.http_status;
    if (status < 300) /* no answer, or none that can be read */
        return task->error.class == ERROR_UNAVAILABLE ||
               (task->error.class == ERROR_RETRIABLE && (task->job.deadline_ms == 0 || strcmp(task->error.code, "timeout") != 0));
    return task->failure.billing || status >= 500 || status == 401 || status == 402 || status == 403 || status == 404 || status == 408 || status == 429;
}

/* Tells the weather how the provider did. A refusal of the job's own shows that it is there. */
static void judge(const struct service *service, struct task *task, enum status status)
{
    if (status == STATUS_FAILED && task->error.class == ERROR_CANCELLED)
        return;
    if (status == STATUS_FAILED && is_outage(task))
        task->in_outage = weather_failed(service->weather, WEATHER_PROVIDER, task, &task->error);
    else
        weather_succeeded(service->weather, WEATHER_PROVIDER);
}

void journey_run(const struct service *service, struct task **owned, struct llm_cancel *cancel)
{
    struct task *task = steal_ptr(owned);
    bool per_thread = service->settings->worker.redis_io == REDIS_IO_PER_THREAD;

    if (atomic_load(&task->partition->revoked)) {
        error_set(&task->error, ERROR_CANCELLED, "revoked", "the partition went to another worker");
        outcome_failed(service, task);
    } else if (per_thread) {
        session_begin(service, &task, 1);
    }

    if (task->outcome == OUTCOME_NONE && atomic_load(&task->claim_lost)) { /* while it waited for a thread: don't pay for it */
        session_claim_lost(task);
    } else if (task->outcome == OUTCOME_NONE) {
        struct llm_answer answer = {0};
        int64_t asked_us = clock_mono_us();
        task->error = (struct error){0};
        enum status status = llm_ask(service, task, cancel, &answer);
        task->llm_ms = (clock_mono_us() - asked_us) / 1000;
        judge(service, task, status);
        if (status == STATUS_OK)
            outcome_answered(service, task, &answer);
        else if (task->error.class == ERROR_CANCELLED && atomic_load(&task->claim_lost))
            session_claim_lost(task);
        else
            outcome_failed(service, task);
        llm_answer_finish(&answer);
    }

    if (per_thread)
        (void)session_settle(service, &task, 1); /* told later by completion if Redis is away */
    completion_put(service->completion, &task);
}
