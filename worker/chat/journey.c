#include "chat/journey.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "breakers/breakers.h"
#include "breakers/breakers_provider.h"
#include "chat/asking.h"
#include "completion/completion.h"
#include "completion/delta_publisher.h"
#include "llm/context_fetch.h"
#include "llm/llm_ask.h"
#include "llm/llm_request.h"
#include "llm/retry_policy.h"
#include "quota/spending.h"
#include "session/claim_outcome.h"
#include "session/held_claims.h"
#include "session/session.h"
#include "task/outcome.h"
#include "telemetry/metrics.h"
#include "wire/history.h"
#include "wire/json_member.h"
#include "wire/max_tokens.h"

struct request_parts {
    const struct service *service;
    const struct task *task;
    const char *context; /* NULL: none */
    bool stream;
    int64_t seq, try; /* of the deltas */
    size_t full;      /* a provider that had no slot for a call; SIZE_MAX: none */
    struct spending spending;
};

static char *request_of(const struct provider_settings *provider, size_t skipped, void *arg)
{
    struct request_parts *from = arg;
    const struct task *task = from->task;
    if (skipped > task->begin->turn_count) /* skipped was counted before a wait; the history may be shorter now */
        skipped = task->begin->turn_count;
    struct llm_request_parts parts = {.provider = provider,
                                      .system_prompt = from->service->settings->llm.system_prompt,
                                      .context = from->context,
                                      .turns = task->begin->turns + skipped,
                                      .turn_count = task->begin->turn_count - skipped,
                                      .history_bytes_max = from->service->settings->llm.history_bytes_max,
                                      .job = &task->job,
                                      .stream = llm_request_is_streamed(provider, from->stream)};
    return llm_request_encode(&parts);
}

static size_t turns_to_skip(const struct llm_failure *failure, size_t body_bytes, void *arg)
{
    const struct begin_op *begin = ((const struct request_parts *)arg)->task->begin;
    return history_turns_to_skip(begin->turns, begin->turn_count, body_bytes, failure->n_prompt, failure->n_ctx);
}

/* The slot first, since it costs nothing: a call that waits for a slot reserves no rate. */
static bool may_start(size_t provider, const char *body, void *arg)
{
    struct request_parts *from = arg;
    const struct service *service = from->service;
    const struct task *task = from->task;
    if (!provider_slots_take(service->slots, provider, breakers_calls_max(service->breakers, provider))) {
        from->full = provider;
        return false;
    }
    if (from->spending.limited)
        task_steps_enter(task, STEP_ASK, "permit");
    if (spending_may_start(&from->spending, provider, body)) {
        task_steps_enter(task, STEP_ASK, service->settings->providers[provider].name);
        return true;
    }
    provider_slots_give_back(service->slots, provider);
    return false;
}

static void send_delta(const struct llm_delta *new_text, void *arg)
{
    struct request_parts *from = arg;
    if (new_text->try != from->try)
        from->seq = 0;
    from->try = new_text->try;
    struct delta delta = {.job = from->task->job.id,
                          .session = from->task->job.session,
                          .epoch = from->task->begin->claim.claim_epoch,
                          .try = new_text->try,
                          .seq = from->seq++,
                          .text = new_text->text,
                          .text_size = new_text->text_size,
                          .reasoning = new_text->reasoning,
                          .reasoning_size = new_text->reasoning_size,
                          .final = new_text->final};
    delta_publisher_send(from->service->deltas, &from->task->record, &delta);
}

static bool is_streamed(const struct service *service, const struct task *task)
{
    enum stream stream = service->settings->llm.stream;
    return stream == STREAM_ALWAYS || (stream == STREAM_ASKED && task->job.stream);
}

/* The most tokens that the answer may have: from the job, or from the provider's params; 0: in neither. */
static int64_t max_tokens_of(const struct task *task, const struct provider_settings *provider)
{
    int64_t tokens = task->job.params != NULL ? max_tokens_read(task->job.params) : 0;
    return tokens == 0 && provider->params != NULL ? max_tokens_read(provider->params) : tokens;
}

static enum in_time look(const struct service *service, const struct task *task, size_t provider, int64_t left_ms, int64_t now_ms, bool may_probe)
{
    struct in_time_question question = {.left_ms = left_ms,
                                        .max_tokens = max_tokens_of(task, &service->settings->providers[provider]),
                                        .waited_ms = asking_too_slow_ms(task) != 0 ? now_ms - asking_too_slow_ms(task) : 0,
                                        .may_probe = may_probe};
    return provider_times_look(service->times, provider, &question);
}

/* All providers that aren't away look too slow: the first one due for a probe is asked all the same. Returns how many candidates. */
static size_t probe(const struct service *service, const struct task *task, int64_t left_ms, int64_t now_ms, const size_t *slow, size_t slow_count,
                    size_t candidates[PROVIDERS_MAX], enum in_time *ret_in_time)
{
    *ret_in_time = IN_TIME_NEVER;
    for (size_t i = 0; i < slow_count; i++) {
        enum in_time in_time = look(service, task, slow[i], left_ms, now_ms, true);
        candidates[0] = slow[i];
        if (in_time != IN_TIME_NEVER)
            *ret_in_time = in_time;
        if (in_time == IN_TIME_ASK)
            break;
    }
    return 1;
}

/* Which providers to ask, by preference: those of llm.providers that aren't away and can answer in time; last those without a free slot now,
 * which may have one when their turn comes. *ret_in_time: NEVER or LATER where all that could be asked take too long. */
static size_t choose_providers(const struct service *service, const struct task *task, int64_t left_ms, int64_t now_ms, size_t candidates[PROVIDERS_MAX],
                               enum in_time *ret_in_time)
{
    size_t full[PROVIDERS_MAX], slow[PROVIDERS_MAX];
    size_t count = 0, slow_count = 0, full_count = 0;
    *ret_in_time = IN_TIME_ASK;
    for (size_t i = 0; i < service->settings->asked_count; i++) {
        size_t admitted = breakers_calls_max(service->breakers, i), in_flight = provider_slots_inflight(service->slots, i);
        if (in_flight < admitted && look(service, task, i, left_ms, now_ms, false) == IN_TIME_ASK)
            candidates[count++] = i;
        else if (in_flight < admitted)
            slow[slow_count++] = i;
        else if (in_flight >= provider_slots_limit(service->slots, i))
            full[full_count++] = i;
        else /* its breaker isn't closed */
            breakers_waited_for(service->breakers, i);
    }
    for (size_t i = 0; i < full_count; i++)
        candidates[count++] = full[i];
    if (count == 0 && slow_count > 0)
        return probe(service, task, left_ms, now_ms, slow, slow_count, candidates, ret_in_time);
    if (count == 0) /* a probe took the only admitted call since the dispatcher started this job: may_start will return that */
        candidates[count++] = 0;
    return count;
}

/* ---- jobs that can't be asked now ---- */

#define SLOT_WAIT_MS_MIN 20
#define SLOT_WAIT_MS_MAX 1000
#define PROBE_LOOK_MS_MIN 20
#define PROBE_LOOK_MS_MAX 500

static enum status wait(struct task *task, int64_t wait_ms)
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
    return wait(task, wait_ms < PROBE_LOOK_MS_MIN ? PROBE_LOOK_MS_MIN : wait_ms < PROBE_LOOK_MS_MAX ? wait_ms : PROBE_LOOK_MS_MAX);
}

/* Other jobs took the slots between the dispatcher's start and the call. The job waits in line again; where the dispatcher doesn't hold it,
 * since another provider is free that may not be asked for this job, it retries less and less often. */
static enum status hold_for_slot(const struct service *service, struct task *task, size_t provider)
{
    int doublings = task->unavailable_waits++;
    int64_t wait_ms = doublings > 5 ? SLOT_WAIT_MS_MAX : (int64_t)SLOT_WAIT_MS_MIN << doublings;
    task->provider = service->settings->providers[provider].name;
    error_set(&task->error, ERROR_UNAVAILABLE, "in_flight_limit", "provider %s: has as many calls under way as it may", task->provider);
    return wait(task, wait_ms);
}

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

/* Reports each provider's result to the breakers. The providers are to blame only if each that was asked is. */
static enum blame judge(const struct service *service, struct task *task, const struct llm_outcome *outcome, const struct failure_facts *facts)
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

/* Takes the provider's own error text, if the task's error is that provider's. */
static void take_said(struct task *task, const struct llm_outcome *outcome)
{
    struct llm_tried *told = outcome->tried_count > 0 ? &outcome->tried[outcome->reported] : NULL;
    if (told != NULL && told->end == TRIED_FAILED && strcmp(told->error->code, task->error.code) == 0)
        task->said = steal_ptr(&told->said);
}

/* The result of the call, from which the job's end is made. */
struct asked {
    struct llm_answer answer;
    size_t history_left_out;
    bool history_refused;
    struct failure_facts facts; /* FAILED */
};

/* AGAIN: it can't be asked now, and task->outcome is set. */
static enum status ask(const struct service *service, struct task *task, struct http_cancel *cancel, const char *context, struct asked *ret)
{
    int64_t now_ms = clock_mono_ms();
    size_t candidates[PROVIDERS_MAX];
    enum in_time in_time;
    struct request_parts parts = {.service = service, .task = task, .context = context, .stream = is_streamed(service, task), .try = -1, .full = SIZE_MAX};
    struct llm_question question = {.settings = service->settings,
                                    .client = service->llm,
                                    .slots = service->slots,
                                    .times = service->times,
                                    .cancel = cancel,
                                    .candidates = candidates,
                                    .until_ms = task_until_ms(task, service->settings->llm.deadline_ms),
                                    .turn_count = task->begin->turn_count,
                                    .refused = asking_refused_by(task),
                                    .stream = parts.stream,
                                    .on_delta = send_delta,
                                    .encode = request_of,
                                    .skip = turns_to_skip,
                                    .may_start = may_start,
                                    .arg = &parts};
    question.count = choose_providers(service, task, question.until_ms - now_ms, now_ms, candidates, &in_time);
    task->provider = service->settings->providers[candidates[0]].name;
    if (in_time != IN_TIME_ASK)
        return hold_too_slow(task, in_time, question.until_ms - now_ms, now_ms);
    asking_set_too_slow_ms(task, 0);
    struct llm_outcome outcome;
    spending_begin(service, task, candidates, &question, &parts.spending);
    enum status status = llm_ask(&question, &ret->answer, &outcome, &task->error);
    spending_ended(&parts.spending, &outcome, status == STATUS_OK ? &ret->answer : NULL);
    ret->history_left_out = outcome.skipped;
    ret->history_refused = outcome.alone;
    asking_set_refused_by(task, outcome.refused);
    if (outcome.tried_count > 0 && task->error.class != ERROR_CANCELLED) {
        const struct llm_tried *told = &outcome.tried[outcome.reported];
        task->provider = service->settings->providers[told->provider].name;
        ret->facts.retry_after_ms = told->failure.retry_after_ms;
        ret->facts.should_retry = told->failure.should_retry;
    }
    enum blame blame = judge(service, task, &outcome, &ret->facts);
    bool failed = status == STATUS_FAILED && task->error.class != ERROR_CANCELLED;
    ret->facts.in_outage = failed && blame == BLAME_PROVIDER;
    ret->facts.spared = failed && blame == BLAME_UNKNOWN;
    if (status == STATUS_FAILED)
        status = spending_hold(&parts.spending, &outcome, &ret->facts.in_outage);
    if (status == STATUS_AGAIN && parts.full != SIZE_MAX && task->outcome == OUTCOME_WAIT && task->wait_ms < SLOT_WAIT_MS_MIN)
        task->wait_ms = SLOT_WAIT_MS_MIN; /* the rate admits it, but no slot is free */
    if (status == STATUS_FAILED && parts.full != SIZE_MAX && outcome.held_up && task->error.class != ERROR_CANCELLED)
        status = hold_for_slot(service, task, parts.full);
    if (status == STATUS_FAILED)
        take_said(task, &outcome);
    spending_finish(&parts.spending);
    llm_outcome_finish(&outcome);
    return status;
}

/* The text to put before the question: *ret_context, owned by the caller, or NULL. Does nothing where no contexts are configured. */
static enum status fetch_context(const struct service *service, struct task *task, struct http_cancel *cancel, char **ret_context, struct failure_facts *facts)
{
    const struct settings *settings = service->settings;
    if (settings->fetched_count == 0)
        return STATUS_OK;
    int64_t began_us = clock_mono_us();
    struct context_question question = {.settings = settings,
                                        .pool = service->http,
                                        .cancel = cancel,
                                        .job = &task->job,
                                        .until_ms = task_until_ms(task, settings->llm.deadline_ms)};
    struct llm_failure failure;
    task_steps_enter_at(task, STEP_CONTEXT, "contexts", began_us);
    task->provider = NULL; /* none was asked yet */
    task->llm_ms = 0;
    enum status status = context_fetch(&question, ret_context, &failure, &task->error);
    if (status != STATUS_OK)
        *facts = (struct failure_facts){.retry_after_ms = failure.retry_after_ms, .should_retry = failure.should_retry};
    task->context_ms = (clock_mono_us() - began_us) / 1000;
    return status;
}

/* While the claim is held: fetches contexts, asks, and sets the outcome. */
static void question_run(const struct service *service, struct task *task, struct http_cancel *cancel)
{
    struct asked asked = {.facts = FAILURE_FACTS_NONE};
    AUTO_FREE char *context = NULL;
    task->error = (struct error){0};
    free(task->said);
    task->said = NULL;
    enum status status = fetch_context(service, task, cancel, &context, &asked.facts);
    if (status == STATUS_OK && held_claims_ran_out(service->claims, task)) { /* this process was stopped (SIGSTOP, say): another worker may be asking */
        claim_outcome_ran_out(task);
        return;
    }
    if (status == STATUS_OK) {
        int64_t asked_us = clock_mono_us();
        task_steps_enter_at(task, STEP_ASK, NULL, asked_us);
        status = ask(service, task, cancel, context, &asked);
        int64_t ended_us = clock_mono_us();
        task_steps_enter_at(task, STEP_FINISH, NULL, ended_us);
        task->llm_ms = (ended_us - asked_us) / 1000;
    }
    if (status == STATUS_OK)
        outcome_answered(task, &asked.answer, asked.history_left_out, asked.history_refused);
    else if (task->error.class == ERROR_CANCELLED && held_claims_is_lost(task))
        claim_outcome_lost(task);
    else if (task->error.class == ERROR_CANCELLED && atomic_load(&task->cancelled))
        outcome_cancelled(task);
    else if (status == STATUS_FAILED)
        outcome_failed(service, task, &asked.facts);
    llm_answer_finish(&asked.answer);
    asking_end_try(task);
}

struct task *journey_run(const struct service *service, struct task **owned, struct http_cancel *cancel)
{
    struct task *task = steal_ptr(owned);
    bool per_thread = service->settings->worker.redis_io == REDIS_IO_PER_THREAD;

    if (atomic_load(&task->partition->revoked)) {
        error_set(&task->error, ERROR_CANCELLED, "revoked", "the partition went to another worker");
        outcome_failed(service, task, &FAILURE_FACTS_NONE);
    } else if (per_thread) {
        task_steps_enter(task, STEP_BEGIN, "redis");
        session_begin(service, &task, 1);
    }

    if (task->outcome == OUTCOME_NONE && atomic_load(&task->cancelled)) {
        outcome_cancelled(task);
    } else if (task->outcome == OUTCOME_NONE && held_claims_is_lost(task)) { /* lost while it waited for a thread: don't pay for a call */
        claim_outcome_lost(task);
    } else if (task->outcome == OUTCOME_NONE) {
        question_run(service, task, cancel);
    }

    if (!per_thread)
        return completion_put_and_go_on(service->completion, &task);
    task_steps_enter(task, STEP_FINISH, "redis");
    (void)session_settle(service, &task, 1); /* if Redis is away, completion settles it later */
    completion_put(service->completion, &task);
    return NULL;
}
