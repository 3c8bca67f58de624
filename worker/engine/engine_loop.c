#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "chat/journey_loop.h"
#include "completion/completion.h"
#include "dispatch/dispatcher.h"
#include "engine/engine_kind.h"
#include "engine/job_slots.h"
#include "http/http_loop.h"
#include "session/held_claims.h"
#include "task/task_list.h"
#include "telemetry/loop_turns.h"
#include "telemetry/metrics.h"

#define STARTS_PER_TURN 32 /* jobs: then sockets and timers have their turn */

struct loop_job {
    struct journey_loop run; /* first */
    struct loop *loop;
    const struct task *task; /* a reference */
    int slot; /* its lane of telemetry/steps.h */
    int64_t since_ms;
    struct loop_job *previous, *next; /* of the loop's jobs */
    struct loop_job *next_woken;
};

/* What other threads want of a loop. */
struct inbox {
    struct mutex lock; /* guards the members below */
    struct task_list given;
    struct loop_job *woken;
    bool resolved, cancels, stopping;
    bool is_told; /* fd is readable, or the loop is about to look */
    int fd;
    struct event event;
};

struct loop {
    struct loops *engine;
    int index;
    pthread_t thread;
    struct event_base *base;
    struct http_loop *http;
    struct http_pool *pool;
    struct inbox inbox;
    atomic_int count; /* jobs given and not over: the dispatcher chooses by it */
    bool stopping;
    struct task_list waiting; /* given, not started yet */
    struct event starter;     /* a timer: the next of them are started */
    struct mutex lock;        /* guards the list, so that others read whole jobs; only the loop's thread changes it */
    struct loop_job *jobs;
};

struct loops {
    struct engine engine;
    const struct service *service;
    atomic_bool cut; /* cancel_all was called: jobs that begin later are cancelled, too */
    struct loop *loops;
    int count;
    struct job_slots slots;
};

/* ---- the inbox ---- */

static void tell_locked(struct inbox *inbox) REQUIRES(inbox->lock)
{
    uint64_t one = 1;
    if (!inbox->is_told)
        (void)!write(inbox->fd, &one, sizeof one);
    inbox->is_told = true;
}

static void put_flag(struct loop *loop, bool *flag)
{
    mutex_lock(&loop->inbox.lock);
    *flag = true;
    tell_locked(&loop->inbox);
    mutex_unlock(&loop->inbox.lock);
}

/* The dispatcher's, under its lock. */
static void give(struct task *task, void *arg)
{
    struct loops *engine = arg;
    struct loop *least = &engine->loops[0];
    for (int i = 1; i < engine->count; i++)
        if (atomic_load(&engine->loops[i].count) < atomic_load(&least->count))
            least = &engine->loops[i];
    atomic_fetch_add(&least->count, 1);
    METRIC_ADD(threads_busy, 1);
    mutex_lock(&least->inbox.lock);
    task_list_push(&least->inbox.given, task);
    tell_locked(&least->inbox);
    mutex_unlock(&least->inbox.lock);
}

static void wake_job(struct journey_loop *run)
{
    struct loop_job *job = (struct loop_job *)run;
    struct inbox *inbox = &job->loop->inbox;
    mutex_lock(&inbox->lock);
    job->next_woken = inbox->woken;
    inbox->woken = job;
    tell_locked(inbox);
    mutex_unlock(&inbox->lock);
}

static void address_is_known(void *arg) /* the resolver's thread */
{
    struct loop *loop = arg;
    put_flag(loop, &loop->inbox.resolved);
}

/* ---- jobs; the loop's thread ---- */

static void job_is_over(struct journey_loop *run)
{
    struct loop_job *job = (struct loop_job *)run;
    struct loop *loop = job->loop;
    const struct service *service = loop->engine->service;
    struct task *task = job->run.journey.task;
    mutex_lock(&loop->lock);
    *(job->previous != NULL ? &job->previous->next : &loop->jobs) = job->next;
    if (job->next != NULL)
        job->next->previous = job->previous;
    mutex_unlock(&loop->lock);
    task_unref((struct task *)(uintptr_t)job->task);
    http_cancel_destroy(job->run.journey.cancel);
    steps_leave(job->slot, clock_mono_us());
    job_slots_give(&loop->engine->slots, job->slot);
    free(job);
    METRIC_ADD(threads_busy, -1);
    atomic_fetch_sub(&loop->count, 1);
    completion_put(service->completion, &task);
    dispatcher_slot_is_free(service->dispatcher);
}

static void start(struct loop *loop, struct task *task)
{
    const struct service *service = loop->engine->service;
    struct loop_job *job = xcalloc(1, sizeof *job);
    job->loop = loop;
    job->task = task_ref(task); /* others may read it until it is unlinked */
    job->slot = job_slots_take(&loop->engine->slots);
    int64_t now_us = clock_mono_us();
    job->since_ms = now_us / 1000;
    task_steps_taken(task, job->slot, now_us);
    job->run = (struct journey_loop){
        .journey = {.service = service, .task = task, .pool = loop->pool, .cancel = http_cancel_create()}, .over = job_is_over, .wake = wake_job};
    mutex_lock(&loop->lock);
    job->next = loop->jobs;
    if (job->next != NULL)
        job->next->previous = job;
    loop->jobs = job;
    mutex_unlock(&loop->lock);
    if (atomic_load(&loop->engine->cut))
        http_cancel_fire(job->run.journey.cancel);
    journey_loop_begin(&job->run);
}

static void start_given(struct loop *loop)
{
    for (int i = 0; i < STARTS_PER_TURN && loop->waiting.count > 0; i++)
        start(loop, task_list_pop(&loop->waiting));
    if (loop->waiting.count > 0)
        event_add(&loop->starter, &(struct timeval){0});
}

static void starter_fired(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    loop_turn_begin("start");
    start_given(arg);
    loop_turn_end();
}

static bool is_unresolved(const struct loop_job *job)
{
    struct http_client *client = journey_loop_client(&job->run);
    return client != NULL && http_loop_is_unresolved(client);
}

/* A job that goes on may end, and be unlinked. */
static void go_on_all(struct loop *loop, bool (*wanted)(const struct loop_job *job))
{
    for (struct loop_job *job = loop->jobs, *next; job != NULL; job = next) {
        next = job->next;
        if (wanted(job))
            journey_loop_go_on(&job->run);
    }
}

static bool is_cancelled(const struct loop_job *job)
{
    bool cancelled = atomic_load(&job->loop->engine->cut) || atomic_load(&job->task->cancelled) || held_claims_is_lost(job->task);
    if (cancelled)
        http_cancel_fire(job->run.journey.cancel);
    return cancelled;
}

static void inbox_fired(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;
    struct inbox *inbox = &loop->inbox;
    uint64_t told;
    (void)what;
    loop_turn_begin("inbox");
    mutex_lock(&inbox->lock);
    (void)!read(fd, &told, sizeof told);
    inbox->is_told = false;
    for (struct task *task; (task = task_list_pop(&inbox->given)) != NULL;)
        task_list_push(&loop->waiting, task);
    struct loop_job *woken = inbox->woken;
    bool resolved = inbox->resolved, cancels = inbox->cancels;
    inbox->woken = NULL;
    inbox->resolved = inbox->cancels = false;
    loop->stopping = inbox->stopping;
    mutex_unlock(&inbox->lock);
    while (woken != NULL) {
        struct loop_job *job = woken;
        woken = job->next_woken;
        job->run.took = true;
        journey_loop_go_on(&job->run);
    }
    if (resolved)
        go_on_all(loop, is_unresolved);
    if (cancels)
        go_on_all(loop, is_cancelled);
    start_given(loop);
    loop_turn_end();
}

static void *loop_main(void *arg)
{
    struct loop *loop = arg;
    char name[16];
    snprintf(name, sizeof name, "chat-loop-%d", loop->index);
    pthread_setname_np(pthread_self(), name);
    loop_turns_are_of(loop->index);
    while (!(loop->stopping && atomic_load(&loop->count) == 0))
        event_base_loop(loop->base, EVLOOP_ONCE);
    return NULL;
}

/* ---- engine.h ---- */

static void look_for_cancels(struct loops *engine)
{
    for (int i = 0; i < engine->count; i++)
        put_flag(&engine->loops[i], &engine->loops[i].inbox.cancels);
}

static void cancel_all(struct engine *of)
{
    struct loops *engine = (struct loops *)of;
    atomic_store(&engine->cut, true);
    look_for_cancels(engine);
}

/* The task's claim is lost, which its loop sees. */
static void cancel(struct engine *of, const struct task *task)
{
    (void)task;
    look_for_cancels((struct loops *)of);
}

static void cancel_flagged(struct engine *of)
{
    look_for_cancels((struct loops *)of);
}

static int busy(struct engine *of)
{
    const struct loops *engine = (struct loops *)of;
    int count = 0;
    for (int i = 0; i < engine->count; i++)
        count += atomic_load(&engine->loops[i].count);
    return count;
}

static void report(struct engine *of)
{
    struct loops *engine = (struct loops *)of;
    int jobs = 0;
    for (int i = 0; i < engine->count; i++) {
        struct loop *loop = &engine->loops[i];
        char name[24];
        snprintf(name, sizeof name, "chat-loop-%d", i);
        mutex_lock(&loop->lock);
        for (const struct loop_job *job = loop->jobs; job != NULL; job = job->next, jobs++) {
            struct lane_now now = {.step = STEP_NONE};
            char slot[STEPS_NAME_BYTES];
            steps_lane_name(job->slot, slot);
            (void)steps_now(job->slot, &now);
            log_info("thread_busy", F_STR("thread", name), F_STR("slot", slot), F_STR("job", job->task->job.id), F_STR("topic", job->task->record.topic),
                     F_INT("partition", job->task->record.partition), F_INT("offset", job->task->record.offset),
                     F_INT("busy_ms", clock_mono_ms() - job->since_ms), F_STR("step", step_name(now.step)), F_STR("waits_for", now.waits_for),
                     F_INT("since_ms", clock_mono_ms() - now.since_us / 1000));
        }
        mutex_unlock(&loop->lock);
    }
    int slots = (int)engine->service->settings->worker.in_flight;
    log_info("threads_dump", F_INT("threads", engine->count), F_INT("busy", jobs), F_INT("idle", slots - jobs));
}

/* ---- start and end ---- */

static void loop_finish(struct loop *loop)
{
    http_pool_destroy(loop->pool);
    http_loop_destroy(loop->http);
    if (loop->inbox.fd >= 0) {
        event_del(&loop->inbox.event);
        close(loop->inbox.fd);
    }
    if (loop->base != NULL)
        event_base_free(loop->base);
    mutex_destroy(&loop->inbox.lock);
    mutex_destroy(&loop->lock);
}

static void join(struct engine *of)
{
    struct loops *engine = (struct loops *)of;
    for (int i = 0; i < engine->count; i++)
        put_flag(&engine->loops[i], &engine->loops[i].inbox.stopping);
    for (int i = 0; i < engine->count; i++) {
        pthread_join(engine->loops[i].thread, NULL);
        loop_finish(&engine->loops[i]);
    }
    METRIC_SET(threads_started, 0);
    job_slots_finish(&engine->slots);
    free(engine->loops);
    free(engine);
}

static const struct engine_kind loops = {cancel_all, cancel, cancel_flagged, busy, report, join};

/* Only the thread uses the base: libevent needs no locks. False: no descriptors. */
static bool loop_init(struct loops *engine, struct loop *loop, int index)
{
    const struct service *service = engine->service;
    *loop = (struct loop){.engine = engine, .index = index, .inbox = {.fd = -1}};
    mutex_init(&loop->lock);
    mutex_init(&loop->inbox.lock);
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->base == NULL || fd < 0)
        return false;
    loop->inbox.fd = fd;
    event_assign(&loop->inbox.event, loop->base, fd, EV_READ | EV_PERSIST, inbox_fired, loop);
    event_add(&loop->inbox.event, NULL);
    event_assign(&loop->starter, loop->base, -1, 0, starter_fired, loop);
    loop->http = http_loop_create(loop->base, (size_t)service->settings->worker.calls_per_shard, &(struct http_wake){address_is_known, loop});
    loop->pool = http_pool_of_loop(service->http, loop->http);
    return true;
}

enum status engine_loop_start(const struct service *service, engine_thread_create *create, struct engine **ret, struct error *err)
{
    int wanted = (int)service->settings->worker.loops;
    struct loops *engine = xcalloc(1, sizeof *engine);
    int rc = 0;
    engine->engine.kind = &loops;
    engine->service = service;
    engine->loops = xcalloc((size_t)wanted, sizeof *engine->loops);
    job_slots_init(&engine->slots, (int)service->settings->worker.in_flight, steps_lanes());
    for (; rc == 0 && engine->count < wanted; engine->count += rc == 0) {
        struct loop *loop = &engine->loops[engine->count];
        rc = loop_init(engine, loop, engine->count) ? (create ? create : pthread_create)(&loop->thread, NULL, loop_main, loop) : EMFILE;
        if (rc != 0)
            loop_finish(loop);
    }
    if (rc != 0) {
        int started = engine->count;
        join(&engine->engine);
        return error_set(err, ERROR_FATAL, "thread_start", "worker.loops: loop %d of %d can't be started (%s); lower it, or raise ulimit -u or ulimit -n",
                         started + 1, wanted, strerror(rc));
    }
    dispatcher_give_to_loops(service->dispatcher, (size_t)service->settings->worker.in_flight, give, engine);
    METRIC_SET(threads_started, service->settings->worker.in_flight);
    *ret = &engine->engine;
    return STATUS_OK;
}
