#include "completion/completion.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "completion/carry_out.h"
#include "completion/publisher.h"
#include "completion/successors.h"
#include "completion/waiting_ends.h"
#include "dispatch/dispatcher.h"
#include "dispatch/dispatcher_hand_over.h"
#include "quota/settling.h"
#include "session/held_claims.h"
#include "session/session.h"
#include "task/crowd.h"
#include "task/outcome.h"
#include "task/task_list.h"
#include "telemetry/metrics.h"
#include "telemetry/watchdog.h"

/* What Redis refused before and is sent again fills half a batch at most, so that other ends aren't held up. */
#define AGAIN_MAX (ENDS_MAX / 2)
#define AGAIN_BYTES (ENDS_BYTES / 2)
#define HURRY_MS 2           /* long enough for librdkafka's thread to send; the next end waits so long at most */
#define REPORT_POLL_MS 5     /* how often delivery reports are polled while some are due */
#define REDIS_RETRY_MS 200
#define PUBLISHER_CLOSE_MS 3000 /* for the publisher's last calls */

struct completion {
    const struct service *service;
    pthread_t thread;
    bool started;
    bool left;                     /* completion_stop left its thread or the publisher's in a call that doesn't return */
    struct reservations unsettled; /* of ended tasks, for the next settling_run; this and the next two: the thread's */
    struct task_list refused;      /* tasks whose finish or release Redis refused with an error of their own */
    int64_t refused_due_ms;        /* clock_mono_ms: when they are sent again */

    struct mutex lock; /* guards the queue and its flags */
    struct cond wake;
    struct cond over; /* ended was set */
    struct waiting_ends ends;
    bool sleeping; /* the thread waits for an end */
    bool stopping;
    bool ended;          /* the thread is past its last call */
    bool publisher_left; /* the publisher's thread isn't */
    int64_t stop_ms;
};

struct completion *completion_create(const struct service *service)
{
    struct completion *c = xcalloc(1, sizeof *c);
    c->service = service;
    mutex_init(&c->lock);
    cond_init(&c->wake);
    cond_init(&c->over);
    return c;
}

void completion_destroy(struct completion *c)
{
    if (c == NULL || c->left)
        return;
    reservations_finish(&c->unsettled);
    cond_destroy(&c->wake);
    cond_destroy(&c->over);
    mutex_destroy(&c->lock);
    free(c);
}

/* A task put here begins again before its next call, if there is one: its history is freed, and the rest is charged. */
static void weigh_end(struct task *task)
{
    held_claims_run_over(task);
    session_drop_turns(task);
    task_weigh_end(task);
}

static void put_locked(struct completion *c, struct task *task, bool urgent)
{
    if (waiting_ends_put(&c->ends, task, urgent) || c->sleeping) {
        c->sleeping = false;
        cond_signal(&c->wake);
    }
}

void completion_put(struct completion *c, struct task **owned)
{
    struct task *task = steal_ptr(owned);
    weigh_end(task);
    task_steps_left(task);
    bool urgent = task->outcome == OUTCOME_CANCELLED || dispatcher_has_successor(c->service->dispatcher, task);
    mutex_lock(&c->lock);
    put_locked(c, task, urgent);
    mutex_unlock(&c->lock);
}

void completion_drop(struct completion *c, struct task *list)
{
    for (struct task *task = list; task != NULL; task = task->next)
        weigh_end(task);
    mutex_lock(&c->lock);
    for (struct task *task = list, *after; task != NULL; task = after) {
        after = task->next;
        task->outcome = OUTCOME_DROP;
        put_locked(c, task, false);
    }
    mutex_unlock(&c->lock);
}

void completion_cancel(struct completion *c, struct task *list)
{
    for (struct task *task = list, *after; task != NULL; task = after) {
        after = task->next;
        outcome_cancelled(task);
        completion_put(c, &task);
    }
}

void completion_put_unrun(struct completion *c, struct task **task)
{
    if ((*task)->outcome == OUTCOME_NONE) /* cancelled since it was begun */
        outcome_cancelled(*task);
    completion_put(c, task);
}

/* ---- the job's own thread runs the next one ---- */

struct task *completion_put_and_go_on(struct completion *c, struct task **owned)
{
    struct task *task = steal_ptr(owned);
    struct dispatcher *dispatcher = c->service->dispatcher;
    struct task *next = NULL;
    enum handed_over handed = HANDED_OVER;
    session_drop_turns(task); /* before the successor's are loaded */
    if (!task->settled && task->held != NULL && outcome_is_final(task->outcome) && dispatcher_hand_over_begin(dispatcher, task, true)) {
        task_steps_enter(task, STEP_FINISH, "redis");
        if (session_settle(c->service, &task, 1) && task->settled && outcome_is_final(task->outcome))
            handed = dispatcher_hand_over_end(dispatcher, task, HAND_OVER_OWN_THREAD, &next);
        else
            successors_give_back(c->service, &task, 1); /* Redis is away or refused, or the claim was lost */
    }
    completion_put(c, &task); /* before the next job can end: replies keep the lane's order */
    if (handed == HANDED_TO_END)
        completion_put_unrun(c, &next);
    return next;
}

/* ---- the thread ---- */

static void wait_for_an_end_locked(struct completion *c) REQUIRES(c->lock)
{
    watchdog_rest(WATCHED_COMPLETION);
    while (c->ends.list.count == 0 && !c->stopping)
        cond_wait(&c->wake, &c->lock);
    watchdog_feed(WATCHED_COMPLETION);
}

/* Waits for ends; returns a batch (may be empty when it is time to look for acknowledgements). */
static size_t take_batch(struct completion *c, struct task **batch)
{
    bool reports_due = publisher_wants_poll(c->service->publisher);
    mutex_lock(&c->lock);
    if (c->ends.list.count == 0 && !c->stopping) {
        c->sleeping = true;
        if (reports_due)
            cond_wait_until(&c->wake, &c->lock, clock_mono_ms() + REPORT_POLL_MS);
        else if (c->unsettled.count > 0 || c->refused.count > 0)
            cond_wait_until(&c->wake, &c->lock, clock_mono_ms() + REDIS_RETRY_MS);
        else
            wait_for_an_end_locked(c);
        c->sleeping = false;
    }
    if (c->ends.list.count > 0 && is_crowded() && c->service->settings->worker.gather_ms > 0) {
        int64_t until = clock_mono_ms() + c->service->settings->worker.gather_ms;
        while (!waiting_ends_are_due(&c->ends) && !c->stopping && cond_wait_until(&c->wake, &c->lock, until))
            ;
    }
    size_t n = 0;
    size_t bytes = 0;
    for (; n < AGAIN_MAX && bytes < AGAIN_BYTES && c->refused.count > 0 && clock_mono_ms() >= c->refused_due_ms; bytes += batch[n++]->end_bytes)
        batch[n] = task_list_pop(&c->refused);
    n = waiting_ends_take(&c->ends, batch, n, bytes);
    mutex_unlock(&c->lock);
    return n;
}

static bool must_end(struct completion *c)
{
    mutex_lock(&c->lock);
    bool end = c->stopping && ((c->ends.list.count == 0 && c->refused.count == 0 && publisher_pending(c->service->publisher) == 0) ||
                               clock_mono_ms() >= c->stop_ms);
    mutex_unlock(&c->lock);
    return end;
}

/* Takes tasks out of the batch that Redis refused with an error of their own: only their lanes wait for them.
 * Returns how many are left. */
static size_t keep_refused(struct completion *c, struct task **batch, size_t n)
{
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        struct task *task = batch[i];
        if (task->settled || !task->refused) {
            batch[left++] = task;
            continue;
        }
        successors_give_back(c->service, &task, 1);
        task_list_push(&c->refused, task);
        c->refused_due_ms = clock_mono_ms() + REDIS_RETRY_MS;
    }
    return left;
}

/* The process ends before these are written to Redis: their claims expire with their leases. */
static void leave_unsettled(struct completion *c, struct task **tasks, size_t n)
{
    successors_give_back(c->service, tasks, n);
    for (size_t i = 0; i < n; i++)
        held_claims_remove(c->service->claims, tasks[i]);
}

/* Returns how many of the batch are to be carried out. */
static size_t settle_batch(struct completion *c, struct task **batch, size_t n)
{
    struct task *unsettled[ENDS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (batch[i]->settled)
            continue;
        unsettled[count++] = batch[i];
        if (batch[i]->held != NULL && outcome_is_final(batch[i]->outcome))
            (void)dispatcher_hand_over_begin(c->service->dispatcher, batch[i], false);
    }
    while (count > 0 && !session_settle(c->service, unsettled, count)) {
        /* Redis is away: the answers are paid, so they are kept. Delivery reports are served meanwhile. */
        publisher_poll(c->service->publisher, REDIS_RETRY_MS);
        watchdog_feed(WATCHED_COMPLETION);
        if (must_end(c)) {
            leave_unsettled(c, unsettled, count);
            return n;
        }
    }
    return keep_refused(c, batch, n);
}

static void *completion_main(void *arg)
{
    struct completion *c = arg;
    struct task *batch[ENDS_MAX];
    pthread_setname_np(pthread_self(), "chat-completion");
    while (!must_end(c)) {
        watchdog_feed(WATCHED_COMPLETION);
        size_t n = take_batch(c, batch);
        n = settle_batch(c, batch, n);
        watchdog_feed(WATCHED_COMPLETION);
        for (size_t i = 0; i < n; i++)
            carry_out(c->service, batch[i], &c->unsettled);
        settling_run(c->service, &c->unsettled);
        if (c->stopping)
            publisher_hurry(c->service->publisher, 10);
        else if (n > 0 && !is_crowded())
            publisher_hurry(c->service->publisher, HURRY_MS);
        else
            publisher_poll(c->service->publisher, 0);
    }
    for (struct task *task; (task = task_list_pop(&c->refused)) != NULL;) {
        leave_unsettled(c, &task, 1);
        carry_out(c->service, task, &c->unsettled);
    }
    watchdog_rest(WATCHED_COMPLETION);
    bool closed = publisher_close(c->service->publisher, clock_mono_ms() + PUBLISHER_CLOSE_MS);
    mutex_lock(&c->lock);
    c->ended = true;
    c->publisher_left = !closed;
    cond_signal(&c->over);
    mutex_unlock(&c->lock);
    return NULL;
}

enum status completion_start(struct completion *c, struct error *err)
{
    if (pthread_create(&c->thread, NULL, completion_main, c) != 0)
        return error_set(err, ERROR_FATAL, "thread_start", "completion thread: can't be started; check the limit on processes");
    c->started = true;
    return STATUS_OK;
}

bool completion_stop(struct completion *c, int64_t until_ms)
{
    if (!c->started)
        return !c->left;
    mutex_lock(&c->lock);
    c->stopping = true;
    c->stop_ms = until_ms;
    cond_signal(&c->wake);
    mutex_unlock(&c->lock);
    publisher_end_soon(c->service->publisher);
    mutex_lock(&c->lock);
    while (!c->ended && cond_wait_until(&c->over, &c->lock, until_ms + COMPLETION_CLOSE_MS))
        ;
    bool ended = c->ended;
    c->left = !ended || c->publisher_left;
    size_t waiting = c->ends.list.count;
    mutex_unlock(&c->lock);
    c->started = false;
    if (ended)
        pthread_join(c->thread, NULL);
    else
        log_warn("completion_left", F_INT("waiting", waiting),
                 F_STR("error", "Redis or Kafka doesn't answer: the completion thread can't be ended, and the process ends without it"),
                 F_STR("hint", "nothing is lost: what it has is redelivered, and what Redis was told of is answered from the store"));
    return !c->left;
}

bool completion_is_left(const struct completion *c)
{
    return c != NULL && c->left;
}
