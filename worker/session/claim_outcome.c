#include "session/claim_outcome.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "dispatch/dispatch_entry.h"
#include "redis/session_store.h"
#include "session/held_claims.h"
#include "task/outcome.h"
#include "telemetry/metrics.h"
#include "wire/record_time.h"

/* ---- begin ---- */

static void error_deadline(struct task *task)
{
    static const char what[] = "deadline_ms: the job was older than its deadline when its turn came";
    struct record_time time = record_time_look(task->record.timestamp_ms, task->received_wall_ms);
    if (time.fault == RECORD_TIME_FINE)
        error_set(&task->error, ERROR_PERMANENT, "deadline_exceeded", what);
    else
        error_set(&task->error, ERROR_PERMANENT, "deadline_exceeded", "%s; the record's timestamp, %lld, %s", what, (long long)task->record.timestamp_ms,
                  record_time_hint(time.fault));
}

void claim_outcome_begun(const struct service *service, struct task *task, int64_t sent_ms, bool in_outage)
{
    struct begin_op *begin = task->begin;
    task->begun_ms = clock_mono_ms();
    task->fails = begin->fails;
    task->crashes = begin->crashes;
    task->first_failed_ms = begin->first_failed_ms;
    if (begin->error.class != ERROR_NONE || begin->state != BEGIN_RUN) {
        if (begin->error.class == ERROR_NONE)
            begin->claim.token[0] = '\0';
        outcome_not_begun(service, task, begin, in_outage && task->entry->class != ADMIT_EXPIRED);
        return;
    }
    if (begin->keep_seen && task->begun_ms - begin->seen_ago_ms < task->seen_ms)
        task->seen_ms = task->begun_ms - begin->seen_ago_ms;
    held_claims_add(service->claims, task, sent_ms, task_until_ms(task, service->settings->llm.deadline_ms));
    if (atomic_load(&task->cancelled)) {
        outcome_cancelled(task);
        return;
    }
    if (task->crashes >= CRASHES_DEAD) {
        error_set(&task->error, ERROR_PERMANENT, "crashed_alone",
                  "the worker died with this job %lld times, the last two while nothing else ran", (long long)task->crashes);
        outcome_dead(task);
        return;
    }
    if (task_until_ms(task, INT64_MAX / 4) <= task->begun_ms) {
        error_deadline(task);
        outcome_dead(task);
    }
}

/* ---- a lost claim ---- */

void claim_outcome_lost(struct task *task)
{
    METRIC_INC(claims_lost_total);
    log_warn("claim_lost", F_STR("job", task->job.id), F_INT("partition", task->record.partition), F_INT("offset", task->record.offset));
    free(task->reply);
    free(task->turn);
    task->reply = task->turn = NULL;
    task->outcome = OUTCOME_WAIT; /* the claim's holder answers the job; then begin finds its reply stored */
    task->wait_ms = 100;
}

void claim_outcome_ran_out(struct task *task)
{
    error_set(&task->error, ERROR_UNAVAILABLE, "claim_ran_out", "the lease passed before the model was asked");
    task->outcome = OUTCOME_WAIT;
    task->wait_ms = 0;
}

/* ---- answers to finish, release and cancel ---- */

/* What an operation's own error means for its task: the operation is repeated, unless it would fail the same way for ever (the key has
 * another type): then the answer, which is paid, is published all the same. */
static void apply_error(struct task *task, const char *event, const struct error *own)
{
    task->refused = own->class == ERROR_UNAVAILABLE;
    log_at(task->refused ? LOG_WARN : LOG_ERROR, event, F_STR("job", task->job.id), F_STR("code", own->code), F_STR("error", own->message));
}

void claim_outcome_finish(struct task *task, const struct finish_op *op)
{
    if (op->error.class != ERROR_NONE)
        apply_error(task, "finish_refused", &op->error);
    else if (op->state != FINISH_DONE)
        claim_outcome_lost(task);
}

void claim_outcome_release(struct task *task, const struct release_op *op)
{
    if (op->error.class != ERROR_NONE)
        apply_error(task, "release_refused", &op->error);
}

/* The claim's holder needs some milliseconds to end; one that has died holds it until the lease expires. */
static int64_t cancel_wait_ms(int told, int64_t busy_ms)
{
    int64_t wait_ms = INT64_C(10) << (told < 7 ? told : 7);
    return wait_ms < busy_ms ? wait_ms : busy_ms + 1;
}

/* The store's answer to a cancel, handled like an answer to begin. */
void claim_outcome_cancel(const struct service *service, struct task *task, struct cancel_op *op)
{
    if (op->error.class != ERROR_NONE) {
        apply_error(task, "cancel_refused", &op->error);
        return;
    }
    if (op->state == CANCEL_REQUESTED) {
        struct begin_op busy = {.state = BEGIN_BUSY};
        outcome_not_begun(service, task, &busy, false);
        task->wait_ms = cancel_wait_ms(task->cancel_told++, op->busy_ms);
        return;
    }
    if (op->state == CANCEL_DONE && op->end_state == END_CANCELLED) {
        free(task->reply);
        task->reply = steal_ptr(&op->stored);
    } else if (op->state == CANCEL_DONE) {
        struct begin_op done = {.state = BEGIN_DONE, .end_state = op->end_state, .reply = steal_ptr(&op->stored)};
        task->error = (struct error){0};
        outcome_not_begun(service, task, &done, false);
    }
    if (task->begin != NULL)
        task->begin->claim.token[0] = '\0';
}

/* The turn, if there was one, is stored in Redis and freed here: the task is charged anew. */
void claim_outcome_settled(const struct service *service, struct task *task)
{
    if (task->held != NULL) {
        held_claims_remove(service->claims, task);
        task->begin->claim.token[0] = '\0';
    }
    if (task->begin != NULL && task->begin->claim.token[0] == '\0') {
        begin_op_finish(task->begin);
        task_part_free(task->begin);
        task->begin = NULL;
    }
    free(task->turn);
    task->turn = NULL;
    task->settled = true;
    task_weigh_end(task);
}
