#include "chat/journey_steps.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "breakers/breakers.h"
#include "chat/asking.h"
#include "chat/judging.h"
#include "chat/provider_choice.h"
#include "session/claim_outcome.h"
#include "session/held_claims.h"
#include "session/session.h"

/* ---- jobs that can't be asked now ---- */

#define SLOT_WAIT_MS_MIN 20
#define SLOT_WAIT_MS_MAX 1000
#define PROBE_LOOK_MS_MIN 20
#define PROBE_LOOK_MS_MAX 500

static enum status park(struct task *task, int64_t wait_ms)
{
    task->wait_ms = wait_ms;
    task->outcome = OUTCOME_WAIT;
    return STATUS_AGAIN;
}

/* Every provider takes longer than the job has: it fails, or waits for a probe's result. */
static enum status hold_too_slow(struct task *task, enum in_time in_time, int64_t left_ms, int64_t now_ms)
{
    if (in_time == IN_TIME_NEVER)
        return error_set(&task->error, ERROR_PERMANENT, "deadline_exceeded", "no provider answers within the %lld ms that are left", (long long)left_ms);
    if (asking_too_slow_ms(task) == 0)
        asking_set_too_slow_ms(task, now_ms);
    error_set(&task->error, ERROR_UNAVAILABLE, "too_slow", "no provider answers within the %lld ms that are left, as it looks: a probe is under way",
              (long long)left_ms);
    int64_t wait_ms = now_ms - asking_too_slow_ms(task); /* as long again as it has waited: soon at first, then less and less often */
    return park(task, wait_ms < PROBE_LOOK_MS_MIN ? PROBE_LOOK_MS_MIN : wait_ms < PROBE_LOOK_MS_MAX ? wait_ms : PROBE_LOOK_MS_MAX);
}

/* Other jobs took the slots between the dispatcher's start and the call. The job waits in line again; where the dispatcher doesn't hold it,
 * since another provider is free that may not be asked for this job, it retries less and less often. */
static enum status hold_for_slot(const struct service *service, struct task *task, size_t provider)
{
    int doublings = task->unavailable_waits++;
    int64_t wait_ms = doublings > 5 ? SLOT_WAIT_MS_MAX : (int64_t)SLOT_WAIT_MS_MIN << doublings;
    task->provider = service->settings->providers[provider].name;
    error_set(&task->error, ERROR_UNAVAILABLE, "in_flight_limit", "provider %s: has as many calls under way as it may", task->provider);
    return park(task, wait_ms);
}

/* ---- before the claim is used ---- */

bool journey_is_over(const struct service *service, struct task *task)
{
    if (atomic_load(&task->partition->revoked)) {
        error_set(&task->error, ERROR_CANCELLED, "revoked", "the partition went to another worker");
        outcome_failed(service, task, &FAILURE_FACTS_NONE);
    } else if (task->outcome == OUTCOME_NONE && atomic_load(&task->cancelled)) {
        outcome_cancelled(task);
    } else if (task->outcome == OUTCOME_NONE && held_claims_is_lost(task)) { /* lost while it waited for a thread: don't pay for a call */
        claim_outcome_lost(task);
    }
    return task->outcome != OUTCOME_NONE;
}

void journey_begin(struct journey *j)
{
    j->facts = FAILURE_FACTS_NONE;
    j->task->error = (struct error){0};
    free(j->task->said);
    j->task->said = NULL;
}

/* ---- contexts ---- */

bool journey_contexts_begin(struct journey *j)
{
    const struct settings *settings = j->service->settings;
    if (settings->fetched_count == 0)
        return false;
    j->contexts_began_us = clock_mono_us();
    j->contexts = (struct context_question){.settings = settings,
                                            .pool = j->pool,
                                            .cancel = j->cancel,
                                            .job = &j->task->job,
                                            .until_ms = task_until_ms(j->task, settings->llm.deadline_ms)};
    task_steps_enter_at(j->task, STEP_CONTEXT, "contexts", j->contexts_began_us);
    j->task->provider = NULL; /* none was asked yet */
    j->task->llm_ms = 0;
    return true;
}

void journey_contexts_end(struct journey *j)
{
    if (j->status != STATUS_OK)
        j->facts = (struct failure_facts){.retry_after_ms = j->contexts_failure.retry_after_ms, .should_retry = j->contexts_failure.should_retry};
    j->task->context_ms = (clock_mono_us() - j->contexts_began_us) / 1000;
}

/* ---- the question ---- */

bool journey_may_ask(struct journey *j)
{
    if (j->status != STATUS_OK || !held_claims_ran_out(j->service->claims, j->task))
        return true;
    claim_outcome_ran_out(j->task); /* this process was stopped (SIGSTOP, say): another worker may be asking */
    return false;
}

bool journey_ask_begin(struct journey *j)
{
    const struct service *service = j->service;
    struct task *task = j->task;
    int64_t now_ms = clock_mono_ms();
    enum in_time in_time;
    if (j->status != STATUS_OK)
        return false;
    j->asked_us = clock_mono_us();
    task_steps_enter_at(task, STEP_ASK, NULL, j->asked_us);
    j->parts = (struct request_parts){
        .service = service, .task = task, .context = j->context, .stream = request_is_streamed(service, task), .try = -1, .full = SIZE_MAX};
    j->question = (struct llm_question){.settings = service->settings,
                                        .client = service->llm,
                                        .pool = j->pool,
                                        .slots = service->slots,
                                        .times = service->times,
                                        .cancel = j->cancel,
                                        .candidates = j->candidates,
                                        .until_ms = task_until_ms(task, service->settings->llm.deadline_ms),
                                        .turn_count = task->begin->turn_count,
                                        .refused = asking_refused_by(task),
                                        .stream = j->parts.stream,
                                        .on_delta = request_send_delta,
                                        .encode = request_encode,
                                        .skip = request_turns_to_skip,
                                        .may_start = request_may_start,
                                        .await_permit = request_await_permit,
                                        .arg = &j->parts};
    int64_t left_ms = j->question.until_ms - now_ms;
    j->question.count = choose_providers(service, task, left_ms, now_ms, j->candidates, &in_time);
    task->provider = service->settings->providers[j->candidates[0]].name;
    if (in_time != IN_TIME_ASK) {
        j->status = hold_too_slow(task, in_time, left_ms, now_ms);
        return false;
    }
    asking_set_too_slow_ms(task, 0);
    spending_begin(service, task, j->candidates, &j->question, &j->parts.spending);
    return true;
}

void journey_ask_end(struct journey *j)
{
    struct task *task = j->task;
    spending_ended(&j->parts.spending, &j->outcome, j->status == STATUS_OK ? &j->answer : NULL);
    j->history_left_out = j->outcome.skipped;
    j->history_refused = j->outcome.alone;
    asking_set_refused_by(task, j->outcome.refused);
    if (j->outcome.tried_count > 0 && task->error.class != ERROR_CANCELLED) {
        const struct llm_tried *told = &j->outcome.tried[j->outcome.reported];
        task->provider = j->service->settings->providers[told->provider].name;
        j->facts.retry_after_ms = told->failure.retry_after_ms;
        j->facts.should_retry = told->failure.should_retry;
    }
    enum blame blame = judge_calls(j->service, task, &j->outcome, &j->facts);
    bool failed = j->status == STATUS_FAILED && task->error.class != ERROR_CANCELLED;
    j->facts.in_outage = failed && blame == BLAME_PROVIDER;
    j->facts.spared = failed && blame == BLAME_UNKNOWN;
}

bool journey_next_later(struct journey *j)
{
    if (j->status != STATUS_FAILED || !spending_next_later(&j->parts.spending, &j->outcome))
        return false;
    task_steps_enter(j->task, STEP_ASK, "permit");
    return true;
}

/* Takes the provider's own error text, if the task's error is that provider's. */
static void take_said(struct task *task, const struct llm_outcome *outcome)
{
    struct llm_tried *told = outcome->tried_count > 0 ? &outcome->tried[outcome->reported] : NULL;
    if (told != NULL && told->end == TRIED_FAILED && strcmp(told->error->code, task->error.code) == 0)
        task->said = steal_ptr(&told->said);
}

void journey_ask_conclude(struct journey *j)
{
    struct task *task = j->task;
    if (j->status == STATUS_FAILED)
        j->status = spending_hold(&j->parts.spending, &j->outcome, &j->facts.in_outage);
    if (j->status == STATUS_AGAIN && j->parts.full != SIZE_MAX && task->outcome == OUTCOME_WAIT && task->wait_ms < SLOT_WAIT_MS_MIN)
        task->wait_ms = SLOT_WAIT_MS_MIN; /* the rate admits it, but no slot is free */
    if (j->status == STATUS_FAILED && j->parts.full != SIZE_MAX && j->outcome.held_up && task->error.class != ERROR_CANCELLED)
        j->status = hold_for_slot(j->service, task, j->parts.full);
    if (j->status == STATUS_FAILED)
        take_said(task, &j->outcome);
    spending_finish(&j->parts.spending);
    llm_outcome_finish(&j->outcome);
}

/* ---- the end ---- */

void journey_conclude(struct journey *j)
{
    struct task *task = j->task;
    if (j->asked_us != 0) {
        int64_t ended_us = clock_mono_us();
        task_steps_enter_at(task, STEP_FINISH, NULL, ended_us);
        task->llm_ms = (ended_us - j->asked_us) / 1000;
    }
    if (j->status == STATUS_OK)
        outcome_answered(task, &j->answer, j->history_left_out, j->history_refused);
    else if (task->error.class == ERROR_CANCELLED && held_claims_is_lost(task))
        claim_outcome_lost(task);
    else if (task->error.class == ERROR_CANCELLED && atomic_load(&task->cancelled))
        outcome_cancelled(task);
    else if (j->status == STATUS_FAILED)
        outcome_failed(j->service, task, &j->facts);
    llm_answer_finish(&j->answer);
    asking_end_try(task);
}

void journey_finish(struct journey *j)
{
    free(j->context);
    j->context = NULL;
}
