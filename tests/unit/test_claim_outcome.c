/* What Redis' answers mean for a task: which parts it has after each, and what is kept for the next begin. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "dispatch/dispatch_entry.h"
#include "session/claim_outcome.h"
#include "session/held_claims.h"
#include "settings/settings.h"
#include "telemetry/metrics.h"

static struct partition *partition;
static struct settings *settings;
static struct service service;

static void setup(void)
{
    partition = partition_create("jobs", 0, 1);
    settings = xcalloc(1, sizeof *settings);
    settings->retry.backoff_ms = settings->retry.backoff_max_ms = 100;
    service = (struct service){.settings = settings, .claims = held_claims_create(30000)};
}

static void teardown(void)
{
    held_claims_destroy(service.claims);
    partition_unref(partition);
    free(settings);
    cr_expect_eq(metric_get(METRIC_jobs_alive_bytes), 0);
}

TestSuite(claim_outcome, .init = setup, .fini = teardown);

/* A task whose begin got this answer. */
static struct task *begun(const struct begin_op *answer, bool in_outage)
{
    struct record record = {.topic = xstrdup("jobs"), .timestamp_ms = -1};
    struct task *task = task_create(&record, partition);
    task->job.id = xstrdup("j");
    dispatch_entry_make(task);
    task->begin = task_part_make(sizeof *task->begin);
    *task->begin = *answer;
    session_store_token(task->begin->claim.token);
    task->begin->claim.job_id = task->job.id;
    claim_outcome_begun(&service, task, clock_mono_ms(), in_outage);
    return task;
}

Test(claim_outcome, a_claim_is_held_until_it_is_settled_and_its_answer_goes_with_it)
{
    struct task *task = begun(&(struct begin_op){.state = BEGIN_RUN, .fails = 2, .crashes = 1, .first_failed_ms = 7}, false);
    cr_assert(task->held != NULL && task->outcome == OUTCOME_NONE);
    cr_expect_not(held_claims_is_lost(task));
    task->outcome = OUTCOME_DEAD;
    claim_outcome_settled(&service, task);
    cr_expect(task->held == NULL && task->begin == NULL && task->settled);
    cr_expect(task->fails == 2 && task->crashes == 1 && task->first_failed_ms == 7, "what its end is told with is kept");
    task_unref(task);
}

Test(claim_outcome, a_claim_is_renewed_for_as_long_as_its_job_has_since_it_was_first_seen)
{
    struct task *task = begun(&(struct begin_op){.state = BEGIN_BUSY, .busy_ms = 700}, false);
    settings->llm.deadline_ms = 60000;
    task->job.deadline_ms = 10000;
    task->begin->state = BEGIN_RUN;
    task->begin->keep_seen = true;
    task->begin->seen_ago_ms = 4000; /* by another worker */
    claim_outcome_begun(&service, task, clock_mono_ms(), false);
    cr_assert_not_null(task->held);
    cr_expect_eq(task->held->until_ms, task->begun_ms - 4000 + 10000);
    task->outcome = OUTCOME_DEAD;
    claim_outcome_settled(&service, task);
    task_unref(task);
}

Test(claim_outcome, the_token_of_a_begin_that_was_not_answered_is_kept_for_the_next)
{
    struct begin_op unanswered = {0};
    error_set(&unanswered.error, ERROR_UNAVAILABLE, "redis", "away");
    struct task *task = begun(&unanswered, false);
    char token[33];
    memcpy(token, task->begin->claim.token, sizeof token);
    cr_assert(task->held == NULL && task->outcome == OUTCOME_WAIT);
    claim_outcome_settled(&service, task);
    cr_assert_not_null(task->begin, "a claim may stand under it");
    cr_expect_str_eq(task->begin->claim.token, token);
    task_unref(task);
}

Test(claim_outcome, a_claim_of_anothers_leaves_nothing_to_keep)
{
    struct task *task = begun(&(struct begin_op){.state = BEGIN_BUSY, .busy_ms = 700}, false);
    cr_assert(task->held == NULL && task->outcome == OUTCOME_WAIT && task->claim_is_others && task->wait_ms == 700);
    claim_outcome_settled(&service, task);
    cr_expect_null(task->begin);
    task_unref(task);
}

Test(claim_outcome, where_redis_is_away_its_breaker_holds_all_but_those_past_their_deadline)
{
    struct begin_op unanswered = {0};
    error_set(&unanswered.error, ERROR_UNAVAILABLE, "redis", "away");
    struct task *task = begun(&unanswered, true);
    cr_expect(task->outcome == OUTCOME_WAIT && task->wait_ms == 0);
    task->entry->class = ADMIT_EXPIRED;
    claim_outcome_begun(&service, task, clock_mono_ms(), true);
    cr_expect(task->outcome == OUTCOME_WAIT && task->wait_ms > 0, "no breaker holds it");
    task_unref(task);
}

Test(claim_outcome, a_cancel_is_answered_as_a_begin_would_be)
{
    struct task *task = begun(&(struct begin_op){.state = BEGIN_BUSY, .busy_ms = 700}, false);
    task->outcome = OUTCOME_CANCELLED;
    claim_outcome_cancel(&service, task, &(struct cancel_op){.state = CANCEL_REQUESTED, .busy_ms = 5000});
    cr_expect(task->outcome == OUTCOME_WAIT && task->wait_ms == 10 && task->cancel_told == 1 && task->claim_is_others);
    claim_outcome_cancel(&service, task, &(struct cancel_op){.state = CANCEL_DONE, .end_state = END_DEAD, .stored = xstrdup("{}")});
    cr_expect(task->outcome == OUTCOME_STORED && task->stored_dead);
    cr_expect_str_eq(task->reply, "{}");
    cr_expect_str_empty(task->begin->claim.token);
    claim_outcome_settled(&service, task);
    cr_expect_null(task->begin);
    task_unref(task);
}
