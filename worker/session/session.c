#include "session/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "breakers/breakers.h"
#include "dispatch/dispatch_entry.h"
#include "redis/session_store.h"
#include "session/claim_outcome.h"
#include "session/held_claims.h"
#include "session/redis_call.h"
#include "task/outcome.h"
#include "task/task_part.h"
#include "wire/record_time.h"

static char *origin_of(const struct task *task)
{
    return xasprintf("%s-%d-%lld", task->record.topic, task->record.partition, (long long)task->record.offset);
}

struct begin_batch {
    struct begin_op *ops;
    size_t n;
};

static enum status call_begin(struct redis_conn *conn, const struct service *service, void *arg, struct error *err)
{
    struct begin_batch *batch = arg;
    return session_store_begin(conn, &service->store, batch->ops, batch->n, err);
}

/* The most crashes with which the job may run, by its class. No limit where no model will be asked. */
static int64_t crashes_max(const struct task *task)
{
    if (task->entry->class == ADMIT_EXPIRED || task->entry->class == ADMIT_ALONE)
        return INT64_MAX / 4;
    return task->entry->class == ADMIT_FEW ? CRASHES_FREE_MAX + 1 : CRASHES_FREE_MAX;
}

/* The op of one begin, to be sent at sent_us; take_begin releases what it borrows. A token is kept as long as a claim may exist under
 * it: if the answer was lost, or the claim was taken too early, the begin is repeated with the same token. */
static struct begin_op prepare_begin(const struct service *service, struct task *task, int64_t sent_us)
{
    int64_t sent_ms = sent_us / 1000;
    task->steps.begin_us = sent_us;
    if (task->held != NULL) /* begun too early before: renewed until now */
        held_claims_remove(service->claims, task);
    if (task->begin == NULL)
        task->begin = task_part_make(sizeof *task->begin);
    task->outcome = OUTCOME_NONE;
    task->settled = task->claim_is_others = false;
    begin_op_finish(task->begin);
    struct record_time time = record_time_look(task->record.timestamp_ms, task->received_wall_ms);
    struct begin_op op = {.claim = {.session = task->job.session, .job_id = task->job.id},
                          .fingerprint = task->job.fingerprint,
                          .origin = origin_of(task),
                          .keep_seen = task->job.deadline_ms > 0 && record_time_is_unknown(time.fault),
                          .seen_ago_ms = sent_ms - task->seen_ms,
                          .crashes_max = crashes_max(task)};
    if (task->begin->claim.token[0] != '\0')
        memcpy(op.claim.token, task->begin->claim.token, sizeof op.claim.token);
    else
        session_store_token(op.claim.token);
    return op;
}

static void take_begin(struct task *task, const struct begin_op *op, int64_t begun_us)
{
    task->steps.begun_us = begun_us;
    free((char *)(uintptr_t)op->origin);
    *task->begin = *op;
    task->begin->origin = NULL;
    task->begin->fingerprint = NULL;
}

/* Moves tasks to be begun to the front; the cancelled ones get their outcome. */
static size_t leave_out_cancelled(struct task **tasks, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (atomic_load(&tasks[i]->cancelled))
            outcome_cancelled(tasks[i]);
        else
            tasks[count++] = tasks[i];
    return count;
}

void session_begin(const struct service *service, struct task **all, size_t n)
{
    struct error why;
    AUTO_FREE struct task **tasks = xcalloc(n, sizeof(struct task *));
    memcpy(tasks, all, n * sizeof *tasks);
    n = leave_out_cancelled(tasks, n);
    if (n == 0)
        return;
    AUTO_FREE struct begin_op *ops = xcalloc(n, sizeof *ops);
    int64_t sent_us = clock_mono_us();
    for (size_t i = 0; i < n; i++)
        ops[i] = prepare_begin(service, tasks[i], sent_us);
    struct begin_batch batch = {ops, n};
    bool answered = redis_call(service, call_begin, &batch, &why) == STATUS_OK;
    int64_t begun_us = clock_mono_us();
    for (size_t i = 0; i < n; i++) {
        bool in_outage = false;
        take_begin(tasks[i], &ops[i], begun_us);
        if (!answered) {
            tasks[i]->begin->error = why;
            tasks[i]->begin->error.class = ERROR_UNAVAILABLE; /* the store's error, never the job's */
            in_outage = breakers_failed(service->breakers, DEPENDENCY_REDIS, tasks[i], &why);
        }
        claim_outcome_begun(service, tasks[i], sent_us / 1000, in_outage);
    }
}

struct settle_batch {
    int64_t sent_us; /* clock_mono_us: of the followers' begins */
    size_t finish_count, follower_count, release_count, cancel_count;
    struct task **finish_tasks; /* of each finish */
    struct task **follower_tasks;
    struct task **release_tasks;
    struct task **cancel_tasks;
    struct finish_op *finishes;
    struct begin_op *followers;
    struct release_op *releases;
    struct cancel_op *cancels;
};

/* For tasks that were cancelled in Redis before their finish: they end as cancelled. */
static enum status finish_cancelled(struct redis_conn *conn, const struct service *service, struct settle_batch *batch, struct error *err)
{
    size_t count = 0;
    AUTO_FREE struct finish_op *again = xcalloc(batch->finish_count, sizeof *again);
    AUTO_FREE size_t *which = xcalloc(batch->finish_count, sizeof *which);
    for (size_t i = 0; i < batch->finish_count; i++) {
        struct finish_op *op = &batch->finishes[i];
        if (op->error.class != ERROR_NONE || op->state != FINISH_CANCELLED)
            continue;
        outcome_cancelled(batch->finish_tasks[i]);
        op->end_state = END_CANCELLED;
        op->reply = batch->finish_tasks[i]->reply;
        op->turn = NULL;
        which[count] = i;
        again[count++] = *op;
    }
    if (count == 0)
        return STATUS_OK;
    enum status status = session_store_finish(conn, &service->store, again, count, NULL, 0, err);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        batch->finishes[which[i]] = again[i];
    return status;
}

static enum status call_settle(struct redis_conn *conn, const struct service *service, void *arg, struct error *err)
{
    struct settle_batch *batch = arg;
    if (batch->finish_count > 0 &&
        (session_store_finish(conn, &service->store, batch->finishes, batch->finish_count, batch->followers,
                              batch->follower_count, err) != STATUS_OK ||
         finish_cancelled(conn, service, batch, err) != STATUS_OK))
        return STATUS_FAILED;
    if (batch->cancel_count > 0 &&
        session_store_cancel(conn, &service->store, batch->cancels, batch->cancel_count, err) != STATUS_OK)
        return STATUS_FAILED;
    if (batch->release_count > 0 &&
        session_store_release(conn, &service->store, batch->releases, batch->release_count, err) != STATUS_OK)
        return STATUS_FAILED;
    return STATUS_OK;
}

static enum end_state end_state_of(const struct task *task)
{
    return task->outcome == OUTCOME_OK ? END_OK : task->outcome == OUTCOME_CANCELLED ? END_CANCELLED : END_DEAD;
}

static void add_finish(const struct service *service, struct settle_batch *batch, struct task *task)
{
    batch->finishes[batch->finish_count] = (struct finish_op){.claim = task->begin->claim,
                                                              .end_state = end_state_of(task),
                                                              .fingerprint = task->job.fingerprint,
                                                              .origin = origin_of(task),
                                                              .reply = task->reply,
                                                              .turn = task->outcome == OUTCOME_OK ? task->turn : NULL};
    batch->finish_tasks[batch->finish_count++] = task;
    task->held->end_sent = true;
    if (task->entry->successor != NULL) {
        batch->follower_tasks[batch->follower_count] = task->entry->successor;
        batch->followers[batch->follower_count++] = prepare_begin(service, task->entry->successor, batch->sent_us);
    }
}

static void add_release(struct settle_batch *batch, struct task *task)
{
    batch->release_tasks[batch->release_count] = task;
    batch->releases[batch->release_count++] = (struct release_op){
        .claim = task->begin->claim, .kind = task->outcome == OUTCOME_RETRY ? RELEASE_RETRY : RELEASE_DROP};
}

static void add_cancel(struct settle_batch *batch, struct task *task)
{
    struct cancel_op *op = &batch->cancels[batch->cancel_count];
    *op = (struct cancel_op){.fingerprint = task->job.fingerprint, .origin = origin_of(task), .reply = task->reply};
    if (task->begin != NULL)
        op->claim = task->begin->claim;
    op->claim.session = task->job.session; /* the job may never have been begun */
    op->claim.job_id = task->job.id;
    batch->cancel_tasks[batch->cancel_count++] = task;
}

static void add(const struct service *service, struct settle_batch *batch, struct task *task)
{
    task->refused = false;
    /* If a finish may have reached Redis already, the end isn't changed: its answer may be in the history. */
    bool end_sent = task->held != NULL && task->held->end_sent;
    if (atomic_load(&task->cancelled) && !end_sent && outcome_may_be_cancelled(task->outcome))
        outcome_cancelled(task);
    if (task->held != NULL && outcome_is_final(task->outcome))
        add_finish(service, batch, task);
    else if (task->held != NULL)
        add_release(batch, task);
    else if (task->outcome == OUTCOME_CANCELLED)
        add_cancel(batch, task);
}

bool session_settle(const struct service *service, struct task **tasks, size_t n)
{
    struct error why;
    AUTO_FREE struct task **finish_tasks = xcalloc(n, sizeof(struct task *));
    AUTO_FREE struct task **follower_tasks = xcalloc(n, sizeof(struct task *));
    AUTO_FREE struct finish_op *finishes = xcalloc(n, sizeof *finishes);
    AUTO_FREE struct begin_op *followers = xcalloc(n, sizeof *followers);
    AUTO_FREE struct release_op *releases = xcalloc(n, sizeof *releases);
    AUTO_FREE struct task **release_tasks = xcalloc(n, sizeof(struct task *));
    AUTO_FREE struct task **cancel_tasks = xcalloc(n, sizeof(struct task *));
    AUTO_FREE struct cancel_op *cancels = xcalloc(n, sizeof *cancels);
    struct settle_batch batch = {.sent_us = clock_mono_us(),
                                 .finish_tasks = finish_tasks,
                                 .follower_tasks = follower_tasks,
                                 .finishes = finishes,
                                 .followers = followers,
                                 .releases = releases,
                                 .release_tasks = release_tasks,
                                 .cancel_tasks = cancel_tasks,
                                 .cancels = cancels};
    for (size_t i = 0; i < n; i++)
        add(service, &batch, tasks[i]);
    bool told = batch.finish_count + batch.release_count + batch.cancel_count == 0 ||
                redis_call(service, call_settle, &batch, &why) == STATUS_OK;
    for (size_t i = 0; !told && i < n; i++)
        (void)breakers_failed(service->breakers, DEPENDENCY_REDIS, tasks[i], &why);
    int64_t begun_us = batch.follower_count > 0 ? clock_mono_us() : 0;
    for (size_t i = 0; i < batch.follower_count; i++) {
        take_begin(follower_tasks[i], &followers[i], begun_us);
        if (told)
            claim_outcome_begun(service, follower_tasks[i], batch.sent_us / 1000, false);
    }
    for (size_t i = 0; i < batch.finish_count; i++) {
        if (told)
            claim_outcome_finish(finish_tasks[i], &finishes[i]);
        free((char *)(uintptr_t)finishes[i].origin);
    }
    for (size_t i = 0; told && i < batch.release_count; i++)
        claim_outcome_release(release_tasks[i], &releases[i]);
    for (size_t i = 0; i < batch.cancel_count; i++) {
        if (told)
            claim_outcome_cancel(service, cancel_tasks[i], &cancels[i]);
        cancel_op_finish(&cancels[i]);
        free((char *)(uintptr_t)cancels[i].origin);
    }
    for (size_t i = 0; told && i < n; i++)
        if (!tasks[i]->refused)
            claim_outcome_settled(service, tasks[i]);
    return told;
}

void session_drop_turns(struct task *task)
{
    if (task->begin != NULL)
        begin_op_drop_turns(task->begin);
}
