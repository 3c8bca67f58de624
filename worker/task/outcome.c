#include "task/outcome.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "llm/retry_policy.h"
#include "telemetry/metrics.h"
#include "wire/history_turn.h"

#define BUSY_WAIT_MS_MIN 50
#define BUSY_WAIT_MS_MAX 5000

static double random01(void)
{
    static _Thread_local unsigned seed;
    if (seed == 0)
        seed = (unsigned)clock_mono_us() ^ (unsigned)(uintptr_t)&seed;
    return (double)rand_r(&seed) / ((double)RAND_MAX + 1.0);
}

static struct reply_timing timing(const struct task *task)
{
    int64_t begun = task->begun_ms ? task->begun_ms : clock_mono_ms();
    return (struct reply_timing){.queued_ms = begun - task->received_ms,
                                 .context_ms = task->context_ms,
                                 .llm_ms = task->llm_ms,
                                 .total_ms = clock_mono_ms() - task->received_ms};
}

void outcome_answered(struct task *task, const struct llm_answer *answer, size_t history_left_out, bool history_refused)
{
    task->outcome = OUTCOME_OK;
    struct reply_ok reply = {.message = answer->message,
                             .finish_reason = answer->finish_reason,
                             .model = answer->model,
                             .provider = task->provider,
                             .usage = answer->usage,
                             .attempts = task_attempts(task),
                             .history_left_out = history_left_out,
                             .timing = timing(task)};
    free(task->reply);
    task->reply = reply_encode_ok(&task->job, &reply);
    free(task->turn);
    task->turn = NULL;
    if (task->job.session != NULL) /* NULL also for an empty answer */
        task->turn = history_turn_encode(&task->job, answer->message, history_refused);
    if (answer->usage.prompt_tokens > 0)
        METRIC_ADD(llm_prompt_tokens_total, answer->usage.prompt_tokens);
    if (answer->usage.completion_tokens > 0)
        METRIC_ADD(llm_completion_tokens_total, answer->usage.completion_tokens);
}

static void die(struct task *task, const struct job *job)
{
    struct reply_timing spent = timing(task);
    task->outcome = OUTCOME_DEAD;
    free(task->reply);
    task->reply = reply_encode_error(job, &task->error, task->provider, task->said, task_attempts(task), &spent);
}

void outcome_dead(struct task *task)
{
    die(task, &task->job);
}

void outcome_dead_small(struct task *task)
{
    struct job bare = task->job;
    bare.session = bare.metadata = NULL;
    die(task, &bare);
}

void outcome_cancelled(struct task *task)
{
    struct reply_timing spent = timing(task);
    int attempts = task->outcome == OUTCOME_NONE ? (int)task->fails : task_attempts(task); /* includes the last failure, if it isn't counted in Redis yet */
    error_set(&task->error, ERROR_CANCELLED, "cancelled", "the job was cancelled");
    task->outcome = OUTCOME_CANCELLED;
    task->settled = false;
    free(task->reply);
    free(task->turn);
    task->turn = NULL;
    task->reply = reply_encode_error(&task->job, &task->error, task->provider, NULL, attempts, &spent);
}

bool outcome_may_be_cancelled(enum outcome outcome)
{
    return outcome == OUTCOME_OK || outcome == OUTCOME_DEAD || outcome == OUTCOME_RETRY || outcome == OUTCOME_WAIT || outcome == OUTCOME_SUSPECT;
}

bool outcome_is_final(enum outcome outcome)
{
    return outcome == OUTCOME_OK || outcome == OUTCOME_DEAD || outcome == OUTCOME_CANCELLED;
}

static struct retry_settings_view backoff(const struct service *service)
{
    return (struct retry_settings_view){.backoff_ms = service->settings->retry.backoff_ms,
                                        .backoff_max_ms = service->settings->retry.backoff_max_ms};
}

static bool deadline_passed_after(const struct service *service, const struct task *task, int64_t wait_ms)
{
    int64_t now = clock_mono_ms();
    (void)service;
    /* Waits are bounded by the job's own deadline only: without one the job waits until an outage ends. */
    return task->job.deadline_ms > 0 && now + wait_ms >= task_until_ms(task, INT64_MAX / 4);
}

static void retry_or_die(const struct service *service, struct task *task, const struct failure_facts *facts)
{
    int64_t failures = task->fails + 1;
    if (!retry_allowed(failures, service->settings->retry.attempts_max, facts->retry_after_ms, facts->should_retry)) {
        outcome_dead(task);
        return;
    }
    struct retry_settings_view view = backoff(service);
    task->wait_ms = retry_delay_ms(&view, failures, facts->retry_after_ms, random01());
    if (deadline_passed_after(service, task, task->wait_ms)) {
        outcome_dead(task);
        return;
    }
    task->outcome = OUTCOME_RETRY;
}

static int64_t wait_delay_ms(const struct service *service, struct task *task, int64_t retry_after_ms)
{
    struct retry_settings_view view = backoff(service);
    int64_t least_ms = view.backoff_ms / 4; /* full jitter may be 0, and there is no need to hurry */
    int64_t delay_ms = retry_delay_ms(&view, ++task->unavailable_waits, retry_after_ms, random01());
    return delay_ms < least_ms ? least_ms : delay_ms;
}

static void wait_or_die(const struct service *service, struct task *task, const struct failure_facts *facts)
{
    task->wait_ms = wait_delay_ms(service, task, facts->retry_after_ms);
    if (deadline_passed_after(service, task, task->wait_ms)) {
        outcome_dead(task);
        return;
    }
    task->outcome = OUTCOME_WAIT;
}

/* The breaker is open: no attempt is lost, and the breaker decides when to try again, so the job is queued at once. */
static void wait_out_or_die(const struct service *service, struct task *task, const struct failure_facts *facts)
{
    int64_t asked_ms = facts->retry_after_ms;
    task->wait_ms = asked_ms > 0 && asked_ms <= RETRY_AFTER_OBEYED_MS_MAX ? asked_ms : 0;
    if (deadline_passed_after(service, task, task->wait_ms))
        outcome_dead(task);
    else
        task->outcome = OUTCOME_WAIT;
}

static void decide_failed(const struct service *service, struct task *task, const struct failure_facts *facts)
{
    if (facts->in_outage && task->error.class != ERROR_CANCELLED) {
        wait_out_or_die(service, task, facts);
        return;
    }
    if (facts->spared && task->error.class == ERROR_RETRIABLE) {
        wait_or_die(service, task, facts);
        return;
    }
    switch (task->error.class) {
    case ERROR_CANCELLED:
        task->outcome = OUTCOME_DROP;
        break;
    case ERROR_UNAVAILABLE:
        wait_or_die(service, task, facts);
        break;
    case ERROR_RETRIABLE:
        retry_or_die(service, task, facts);
        break;
    case ERROR_NONE:
    case ERROR_PERMANENT:
    case ERROR_FATAL:
        outcome_dead(task);
        break;
    }
}

void outcome_failed(const struct service *service, struct task *task, const struct failure_facts *facts)
{
    decide_failed(service, task, facts);
    if (task->outcome == OUTCOME_DEAD)
        return;
    free(task->said); /* a waiting job keeps as little memory as possible */
    task->said = NULL;
}

/* Without its claim, even a passed deadline doesn't end the job: another worker may be answering it. */
static void wait_for_redis(const struct service *service, struct task *task, bool redis_holds)
{
    task->wait_ms = redis_holds ? 0 : wait_delay_ms(service, task, -1);
    task->outcome = OUTCOME_WAIT;
}

void outcome_not_begun(const struct service *service, struct task *task, struct begin_op *begin, bool redis_holds)
{
    if (begin->error.class != ERROR_NONE) {
        task->error = begin->error;
        if (begin->error.class == ERROR_UNAVAILABLE)
            wait_for_redis(service, task, redis_holds);
        else
            outcome_failed(service, task, &FAILURE_FACTS_NONE);
        return;
    }
    switch (begin->state) {
    case BEGIN_DONE:
        task->outcome = OUTCOME_STORED;
        free(task->reply);
        task->reply = steal_ptr(&begin->reply);
        task->stored_dead = begin->end_state == END_DEAD;
        if (begin->end_state != END_OK)
            error_set(&task->error, ERROR_PERMANENT, "ended_before", "the job ended badly before; its stored error reply is repeated");
        break;
    case BEGIN_BUSY:
        error_set(&task->error, ERROR_UNAVAILABLE, "claim_busy", "another worker holds the claim");
        task->outcome = OUTCOME_WAIT;
        task->claim_is_others = true;
        task->wait_ms = begin->busy_ms < BUSY_WAIT_MS_MIN   ? BUSY_WAIT_MS_MIN
                        : begin->busy_ms > BUSY_WAIT_MS_MAX ? BUSY_WAIT_MS_MAX
                                                            : begin->busy_ms;
        break;
    case BEGIN_CONFLICT:
        error_set(&task->error, ERROR_PERMANENT, "id_conflict", "id: a job of this id with other content is known; give each job its own id");
        outcome_dead(task);
        break;
    case BEGIN_SUSPECT:
        error_set(&task->error, ERROR_UNAVAILABLE, "suspect", "found unreleased after %lld crashes", (long long)begin->crashes);
        task->outcome = OUTCOME_SUSPECT;
        break;
    case BEGIN_RUN:
        break;
    }
}
