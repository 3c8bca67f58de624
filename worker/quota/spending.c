#include "quota/spending.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "breakers/breakers.h"
#include "quota/budget.h"
#include "quota/call_metrics.h"
#include "quota/permits.h"
#include "quota/refused_tenants.h"
#include "quota/reservations.h"
#include "quota/tenant.h"
#include "task/outcome.h"
#include "task/task_part.h"
#include "telemetry/metrics.h"
#include "wire/max_tokens.h"

#define LATE_MS_MIN 1000

static const struct provider_settings *provider_of(const struct service *service, size_t provider)
{
    return &service->settings->providers[provider];
}

static bool has_budget(const struct spending *s)
{
    return s->tenant != NULL && s->service->settings->llm.tenant_tokens_per_day > 0;
}

/* ---- before the question ---- */

/* A reservation is for its start time: long after it, other jobs' starts are due. */
static bool is_late(const struct service *service, const struct rated_start *start)
{
    int64_t burst_ms = provider_of(service, start->provider)->burst_ms;
    return clock_mono_ms() - start->due_ms > (burst_ms > LATE_MS_MIN ? burst_ms : LATE_MS_MIN);
}

static void start_waiting(struct task *task, struct reservation *reservation, int64_t due_ms)
{
    reservation->state = RESERVED_WAITS;
    task->rated = (struct rated_start){.waits = true, .provider = reservation->provider, .due_ms = due_ms};
}

static void stop_waiting(struct task *task, struct reservation *waiting, enum reservation_state state)
{
    waiting->state = state;
    task->rated.waits = false;
}

/* The provider with a reserved permit is asked first, even a fallback that is no candidate otherwise. False: it can't be asked now,
 * since it is away or too slow. */
static bool prefer_reserved(const struct service *service, const struct reservation *waiting, size_t candidates[PROVIDERS_MAX], size_t *count)
{
    size_t at = 0;
    while (at < *count && candidates[at] != waiting->provider)
        at++;
    if (at == *count) {
        if (waiting->provider < service->settings->asked_count || *count == PROVIDERS_MAX)
            return false;
        ++*count;
    }
    memmove(candidates + 1, candidates, at * sizeof *candidates);
    candidates[0] = waiting->provider;
    return true;
}

static bool is_limited(const struct spending *s)
{
    for (size_t i = 0; i < s->service->settings->provider_count; i++)
        if (permits_are_limited(provider_of(s->service, i)))
            return true;
    return has_budget(s);
}

void spending_begin(const struct service *service, struct task *task, size_t candidates[PROVIDERS_MAX], struct llm_question *question,
                    struct spending *ret)
{
    int64_t now_ms = clock_mono_ms();
    *ret = (struct spending){.service = service,
                             .task = task,
                             .tenant = tenant_of(&task->job, service->settings->llm.tenant_member),
                             .budget_tokens = RESERVED_NONE};
    ret->limited = is_limited(ret);
    if (!ret->limited)
        return;
    if (task->reservations == NULL)
        task->reservations = task_part_make(sizeof *task->reservations);
    struct reservation *waiting = reservations_waiting(task->reservations);
    if (waiting != NULL && !is_late(service, &task->rated) && prefer_reserved(service, waiting, candidates, &question->count)) {
        question->skipped = waiting->skipped_turns;
        question->alone = waiting->alone;
    } else if (waiting != NULL) {
        stop_waiting(task, waiting, RESERVED_UNUSED);
    }
    ret->alone = question->count == 1 || question->alone;
    ret->spare_ms = task_until_ms(task, INT64_MAX / 4) - now_ms;
}

static void add_unused_budget(struct spending *s)
{
    if (s->budget_tokens == RESERVED_NONE)
        return;
    reservations_add(s->task->reservations, &(struct reservation){.state = RESERVED_UNUSED,
                                                                   .permit_tokens = RESERVED_NONE,
                                                                   .budget_tokens = s->budget_tokens,
                                                                   .budget_day = s->budget_day,
                                                                   .tenant = xstrdup(s->tenant)});
    s->budget_tokens = RESERVED_NONE;
}

void spending_finish(struct spending *s)
{
    add_unused_budget(s);
    free(s->refused);
    free(s->take);
    free(s->stopped);
    free(s->too_large);
    free(s->tenant);
}

/* ---- before a call ---- */

static bool stop(struct spending *s, const struct error *why)
{
    if (s->stopped == NULL)
        s->stopped = xcalloc(1, sizeof *s->stopped);
    *s->stopped = *why;
    return false;
}

static bool refuse_budget(struct spending *s, const struct budget_op *op)
{
    struct error why;
    long long minutes = (long long)(op->day_left_ms / 60000);
    METRIC_INC(budget_refusals_total);
    refused_tenants_add(op->tenant, clock_mono_ms() + op->day_left_ms);
    if (op->tokens > op->limit_tokens)
        error_set(&why, ERROR_PERMANENT, "budget_exceeded", "tenant %.60s: the question may need %lld tokens, more than the %lld of a whole day", op->tenant,
                  (long long)op->tokens, (long long)op->limit_tokens);
    else
        error_set(&why, ERROR_PERMANENT, "budget_exceeded",
                  "tenant %.60s: %lld of the day's %lld tokens are left, the question may need %lld; the day (UTC) ends in %lld h %lld min", op->tenant,
                  (long long)op->left_tokens, (long long)op->limit_tokens, (long long)op->tokens, minutes / 60, minutes % 60);
    return stop(s, &why);
}

/* What the take has come to; false: stopped. */
static bool take_is_good(struct spending *s, struct take *take)
{
    if (take->budget.reserved) { /* also if Redis failed before the permit */
        s->budget_tokens = take->budget.tokens;
        s->budget_day = take->budget.day;
        refused_tenants_remove(take->budget.tenant);
    }
    if (take->status != STATUS_OK) {
        struct error why = take->error;
        why.class = ERROR_UNAVAILABLE; /* Redis' error, never the job's */
        s->redis_away = true;
        return stop(s, &why);
    }
    if (take->budget.tenant != NULL && take->budget.error.class != ERROR_NONE)
        return stop(s, &take->budget.error);
    if (take->budget.tenant != NULL && !take->budget.reserved)
        return refuse_budget(s, &take->budget);
    return take->permit.provider == NULL || take->permit.error.class == ERROR_NONE || stop(s, &take->permit.error);
}

static struct take take_of(const struct spending *s, size_t provider, int64_t tokens, int64_t max_wait_ms)
{
    const struct provider_settings *settings = provider_of(s->service, provider);
    struct take take = {.limits = permits_limits_of(settings)};
    if (permits_are_limited(settings))
        take.permit = (struct permit_op){.provider = settings->name,
                                         .tokens = cost_tokens_ahead(tokens, settings->tokens_per_minute, settings->burst_ms),
                                         .max_wait_ms = max_wait_ms};
    if (has_budget(s) && s->budget_tokens == RESERVED_NONE)
        take.budget = (struct budget_op){.tenant = s->tenant,
                                         .limit_tokens = s->service->settings->llm.tenant_tokens_per_day,
                                         .tokens = tokens,
                                         .now_wall_ms = clock_wall_ms()};
    return take;
}

/* The tenant's reserved tokens move into the reservation, of the call or of the wait for it. */
static struct reservation *add_reservation(struct spending *s, size_t provider, const struct permit_op *permit)
{
    struct reservation reservation = {.provider = provider,
                                      .state = RESERVED_CALLED,
                                      .permit_tokens = permit->provider != NULL ? permit->tokens : RESERVED_NONE,
                                      .budget_tokens = s->budget_tokens,
                                      .budget_day = s->budget_day,
                                      .tenant = s->budget_tokens != RESERVED_NONE ? xstrdup(s->tenant) : NULL,
                                      .used_tokens = COST_TOKENS_UNKNOWN};
    s->budget_tokens = RESERVED_NONE;
    struct reservation *added = reservations_add(s->task->reservations, &reservation);
    if (permit->provider != NULL && permit->wait_ms > 0)
        start_waiting(s->task, added, clock_mono_ms() + permit->wait_ms);
    return added;
}

/* Prepares what the call needs and isn't reserved yet. False: there is nothing to take. */
static bool prepare_take(struct spending *s, size_t provider, int64_t tokens, int64_t max_wait_ms)
{
    if (s->budget_tokens != RESERVED_NONE && s->budget_tokens < tokens)
        add_unused_budget(s); /* reserved for another provider, whose answer may be longer */
    if (s->take == NULL)
        s->take = xcalloc(1, sizeof *s->take);
    *s->take = take_of(s, provider, tokens, max_wait_ms);
    s->take_provider = provider;
    s->take_tokens = tokens;
    return s->take->permit.provider != NULL || s->take->budget.tenant != NULL;
}

/* The take has been made, or there was nothing to take. NULL: not reserved. */
static struct reservation *reserved(struct spending *s)
{
    if (!take_is_good(s, s->take) || (s->take->permit.provider != NULL && !s->take->permit.reserved))
        return NULL;
    return add_reservation(s, s->take_provider, &s->take->permit);
}

/* A question that may need more than a minute's limit of this provider would exceed it however long it waited. */
static bool is_too_large(struct spending *s, size_t provider, int64_t tokens, int64_t max_tokens)
{
    const struct provider_settings *settings = provider_of(s->service, provider);
    int64_t most = cost_tokens_most(settings->tokens_per_minute, settings->burst_ms);
    if (tokens <= most)
        return false;
    if (s->too_large == NULL)
        s->too_large = xcalloc(1, sizeof *s->too_large);
    s->too_large_provider = provider;
    error_set(s->too_large, ERROR_PERMANENT, "tokens_above_rate",
              "provider %.60s: the question may need %lld tokens (max_tokens: %lld), more than the %lld of a whole minute (tokens_per_minute); "
              "lower params.max_tokens, or shorten it",
              settings->name, (long long)tokens, (long long)max_tokens, (long long)most);
    return true;
}

static enum llm_permit permit_of(bool given)
{
    return given ? LLM_PERMIT_GIVEN : LLM_PERMIT_REFUSED;
}

enum llm_permit spending_may_start(struct spending *s, size_t provider, const char *body)
{
    if (!s->limited)
        return LLM_PERMIT_GIVEN;
    struct reservation *reservation = reservations_waiting(s->task->reservations);
    if (reservation != NULL && reservation->provider == provider) {
        bool due = clock_mono_ms() >= s->task->rated.due_ms;
        if (due)
            stop_waiting(s->task, reservation, RESERVED_CALLED);
        return permit_of(due);
    }
    if (s->stopped != NULL)
        return LLM_PERMIT_REFUSED;
    if (!permits_are_limited(provider_of(s->service, provider)) && !has_budget(s))
        return LLM_PERMIT_GIVEN;
    int64_t tokens = cost_tokens(strlen(body), max_tokens_read(body));
    if (is_too_large(s, provider, tokens, max_tokens_read(body)))
        return LLM_PERMIT_REFUSED;
    return prepare_take(s, provider, tokens, s->alone ? s->spare_ms : 0) ? LLM_PERMIT_PENDING : permit_of(spending_took(s));
}

bool spending_took(struct spending *s)
{
    const struct reservation *reservation = reserved(s);
    if (reservation != NULL)
        return reservation->state == RESERVED_CALLED;
    if (s->stopped == NULL && s->refused_count < PROVIDERS_MAX) {
        if (s->refused == NULL)
            s->refused = xcalloc(PROVIDERS_MAX, sizeof *s->refused);
        s->refused[s->refused_count].provider = s->take_provider;
        s->refused[s->refused_count++].tokens = s->take_tokens;
    }
    return false;
}

/* ---- after the calls ---- */

static int64_t tokens_of(const struct usage *usage)
{
    if (usage->total_tokens >= 0)
        return usage->total_tokens;
    return usage->prompt_tokens >= 0 && usage->completion_tokens >= 0 ? usage->prompt_tokens + usage->completion_tokens : COST_TOKENS_UNKNOWN;
}

/* A refusal costs a request and no tokens; an aborted call may have cost the whole estimate. */
static void end_reservation(struct reservations *list, const struct llm_tried *tried)
{
    bool refused = tried->end == TRIED_FAILED && tried->failure.http_status >= 300;
    bool unsent = tried->end == TRIED_FAILED && tried->failure.http_status == 0 && tried->error->class == ERROR_UNAVAILABLE;
    (void)reservations_ended(list, tried->provider, !unsent, refused ? 0 : tokens_of(&tried->usage));
}

void spending_ended(struct spending *s, const struct llm_outcome *outcome, const struct llm_answer *answer)
{
    for (size_t i = 0; i < outcome->tried_count; i++) {
        const struct llm_tried *tried = &outcome->tried[i];
        call_metrics_count(provider_of(s->service, tried->provider), tried, answer != NULL && i == outcome->reported ? answer->model : NULL, s->tenant);
        if (s->limited)
            end_reservation(s->task->reservations, tried);
    }
}

/* ---- no call may start now ---- */

static enum status fail_stopped(struct spending *s, bool *ret_in_outage)
{
    struct task *task = s->task;
    task->error = *s->stopped;
    task->provider = NULL;
    *ret_in_outage = s->redis_away && breakers_failed(s->service->breakers, DEPENDENCY_REDIS, task, s->stopped);
    return STATUS_FAILED;
}

static bool is_held_up(const struct spending *s, const struct llm_outcome *outcome)
{
    return s->limited && outcome->held_up && s->task->error.class != ERROR_CANCELLED;
}

/* Prepares the next take of a later start: of the provider that is held up first, then, where that is too late for the job, of the others. False: there
 * is none. */
static bool prepare_later(struct spending *s, const struct llm_outcome *outcome)
{
    while (s->later_at < 2 * s->refused_count) {
        bool others = s->later_at >= s->refused_count;
        size_t at = others ? s->later_at - s->refused_count : s->later_at;
        s->later_at++;
        if ((s->refused[at].provider != outcome->held_up_provider) != others)
            continue;
        if (prepare_take(s, s->refused[at].provider, s->refused[at].tokens, s->spare_ms))
            return true;
        s->later = reserved(s);
        if (s->later != NULL)
            break;
    }
    return false;
}

bool spending_next_later(struct spending *s, const struct llm_outcome *outcome)
{
    if (!is_held_up(s, outcome) || s->stopped != NULL)
        return false;
    if (s->later_at == 0)
        s->later = reservations_waiting(s->task->reservations);
    else
        s->later = reserved(s);
    return s->later == NULL && s->stopped == NULL && !s->alone && prepare_later(s, outcome);
}

static enum status park(struct spending *s, struct reservation *waiting, const struct llm_outcome *outcome)
{
    struct task *task = s->task;
    int64_t now_ms = clock_mono_ms();
    if (waiting->provider == outcome->held_up_provider) {
        waiting->skipped_turns = outcome->held_up_skipped;
        waiting->alone = outcome->held_up_alone;
    }
    if (waiting->state == RESERVED_CALLED) /* the start may be now: no call uses it yet */
        start_waiting(task, waiting, now_ms);
    METRIC_INC(permit_waits_total);
    task->provider = provider_of(s->service, waiting->provider)->name;
    task->wait_ms = task->rated.due_ms > now_ms ? task->rated.due_ms - now_ms : 0;
    error_set(&task->error, ERROR_UNAVAILABLE, "rate_limited", "provider %s: may be asked in %lld ms, as its rate allows", task->provider,
              (long long)task->wait_ms);
    task->outcome = OUTCOME_WAIT;
    return STATUS_AGAIN;
}

enum status spending_hold(struct spending *s, const struct llm_outcome *outcome, bool *in_outage)
{
    struct task *task = s->task;
    bool failed = outcome->tried_count > 0;
    if (!is_held_up(s, outcome))
        return STATUS_FAILED;
    if (s->later != NULL)
        return park(s, s->later, outcome);
    if (failed) /* the provider's error says more */
        return STATUS_FAILED;
    if (s->stopped != NULL)
        return fail_stopped(s, in_outage);
    *in_outage = false;
    if (s->too_large != NULL && s->refused_count == 0) { /* other providers have no slot now, or there are none */
        task->error = *s->too_large;
        task->provider = provider_of(s->service, s->too_large_provider)->name;
        outcome_dead(task);
        return STATUS_AGAIN;
    }
    if (s->refused_count == 0) /* no permit was missing */
        return STATUS_FAILED;
    task->provider = provider_of(s->service, outcome->held_up_provider)->name;
    error_set(&task->error, ERROR_UNAVAILABLE, "rate_limited", "provider %s: its rate lets this question go only after the job's deadline_ms", task->provider);
    if (task->job.deadline_ms == 0) /* the wait would exceed a day: it tries again later */
        return STATUS_FAILED;
    outcome_dead(task);
    return STATUS_AGAIN;
}
