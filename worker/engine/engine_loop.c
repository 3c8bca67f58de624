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

/* Then sockets and timers have their turn. */
#define STARTS_PER_TURN 32
#define GO_ON_PER_TURN 32
#define LOOKS_PER_TURN 1024

struct loop_job {
    struct journey_loop run; /* first */
    struct loop *loop;
    int slot; /* its lane of telemetry/steps.h */
    struct loop_job *previous, *next; /* of the loop's jobs */
    struct loop_job *next_woken;
};

/* What a walk over all jobs of a loop looks for: those that go on. */
#define WALK_RESOLVED 1u  /* whoever waits for an address: one is known */
#define WALK_CANCELLED 2u /* whoever is cancelled, or has lost its claim */

struct walk {
    unsigned looks_for;      /* of the walk that is under way */
    unsigned next_looks_for; /* of the one behind it: told since this one began */
    struct loop_job *at;     /* the next job; NULL: none is under way */
    struct event goes_on;    /* a timer */
};

/* What other threads want of a loop. */
struct inbox {
    struct mutex lock; /* guards the members below */
    struct task_list given;
    struct loop_job *woken;
    unsigned looked_for; /* WALK_… */
    bool stopping;
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
    struct walk walk;
    struct loop_job *jobs;
};

struct loops {
    struct engine engine;
    const struct service *service;
    atomic_bool cut; /* cancel_all was called: jobs that begin later are cancelled, too */
    struct loop *loops;
    int count;
    struct job_slots slots;
    atomic_uchar *loop_of_slot; /* which loop has the slot, or had it last */
};

/* ---- the inbox ---- */

static void tell_locked(struct inbox *inbox) REQUIRES(inbox->lock)
{
    uint64_t one = 1;
    if (!inbox->is_told)
        (void)!write(inbox->fd, &one, sizeof one);
    inbox->is_told = true;
}

static void look_for(struct loop *loop, unsigned what)
{
    mutex_lock(&loop->inbox.lock);
    loop->inbox.looked_for |= what;
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
    look_for(arg, WALK_RESOLVED);
}

/* ---- jobs; the loop's thread ---- */

static void job_is_over(struct journey_loop *run)
{
    struct loop_job *job = (struct loop_job *)run;
    struct loop *loop = job->loop;
    const struct service *service = loop->engine->service;
    struct task *task = job->run.journey.task;
    *(job->previous != NULL ? &job->previous->next : &loop->jobs) = job->next;
    if (job->next != NULL)
        job->next->previous = job->previous;
    if (loop->walk.at == job)
        loop->walk.at = job->next;
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
    job->slot = job_slots_take(&loop->engine->slots);
    atomic_store(&loop->engine->loop_of_slot[job->slot], (unsigned char)loop->index);
    task_steps_taken(task, job->slot, clock_mono_us());
    job->run = (struct journey_loop){
        .journey = {.service = service, .task = task, .pool = loop->pool, .cancel = http_cancel_create()}, .over = job_is_over, .wake = wake_job};
    job->next = loop->jobs;
    if (job->next != NULL)
        job->next->previous = job;
    loop->jobs = job;
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
    loop_turn_begin(TURN_START);
    start_given(arg);
    loop_turn_end();
}

static bool is_unresolved(const struct loop_job *job)
{
    struct http_client *client = journey_loop_client(&job->run);
    return client != NULL && http_loop_is_unresolved(client);
}

static bool is_cancelled(const struct loop_job *job)
{
    bool cancelled = atomic_load(&job->loop->engine->cut) || atomic_load(&job->run.journey.task->cancelled) || held_claims_is_lost(job->run.journey.task);
    if (cancelled)
        http_cancel_fire(job->run.journey.cancel);
    return cancelled;
}

/* A job that goes on may end, and others with it: then `at` is moved. Jobs that start meanwhile stand before it: what is told of them begins another walk. */
static void walk_on(struct loop *loop)
{
    struct walk *walk = &loop->walk;
    if (walk->at == NULL) {
        walk->looks_for = walk->next_looks_for;
        walk->next_looks_for = 0;
        walk->at = walk->looks_for != 0 ? loop->jobs : NULL;
    }
    for (int looks = 0, gone_on = 0; walk->at != NULL && looks < LOOKS_PER_TURN && gone_on < GO_ON_PER_TURN; looks++) {
        struct loop_job *job = walk->at;
        walk->at = job->next;
        if (((walk->looks_for & WALK_CANCELLED) != 0 && is_cancelled(job)) || ((walk->looks_for & WALK_RESOLVED) != 0 && is_unresolved(job))) {
            journey_loop_go_on(&job->run);
            gone_on++;
        }
    }
    if (walk->at != NULL || walk->next_looks_for != 0)
        event_add(&walk->goes_on, &(struct timeval){0});
}

static void walk_goes_on(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    loop_turn_begin(TURN_WALK);
    walk_on(arg);
    loop_turn_end();
}

static void inbox_fired(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;
    struct inbox *inbox = &loop->inbox;
    uint64_t told;
    (void)what;
    loop_turn_begin(TURN_INBOX);
    mutex_lock(&inbox->lock);
    (void)!read(fd, &told, sizeof told);
    inbox->is_told = false;
    for (struct task *task; (task = task_list_pop(&inbox->given)) != NULL;)
        task_list_push(&loop->waiting, task);
    struct loop_job *woken = inbox->woken;
    loop->walk.next_looks_for |= inbox->looked_for;
    inbox->woken = NULL;
    inbox->looked_for = 0;
    loop->stopping = inbox->stopping;
    mutex_unlock(&inbox->lock);
    while (woken != NULL) {
        struct loop_job *job = woken;
        woken = job->next_woken;
        job->run.took = true;
        journey_loop_go_on(&job->run);
    }
    walk_on(loop);
    start_given(loop);
    loop_turn_end();
}

static void thread_name(int index, char ret[ENGINE_THREAD_NAME_BYTES])
{
    snprintf(ret, ENGINE_THREAD_NAME_BYTES, "chat-loop-%d", index);
}

static void *loop_main(void *arg)
{
    struct loop *loop = arg;
    char name[ENGINE_THREAD_NAME_BYTES];
    thread_name(loop->index, name);
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
        look_for(&engine->loops[i], WALK_CANCELLED);
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

static void thread_of(struct engine *of, int lane, char ret[ENGINE_THREAD_NAME_BYTES])
{
    thread_name(atomic_load(&((struct loops *)of)->loop_of_slot[lane]), ret);
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
}

static void stop(struct loop *loop)
{
    mutex_lock(&loop->inbox.lock);
    loop->inbox.stopping = true;
    tell_locked(&loop->inbox);
    mutex_unlock(&loop->inbox.lock);
}

static void join(struct engine *of)
{
    struct loops *engine = (struct loops *)of;
    for (int i = 0; i < engine->count; i++)
        stop(&engine->loops[i]);
    for (int i = 0; i < engine->count; i++) {
        pthread_join(engine->loops[i].thread, NULL);
        loop_finish(&engine->loops[i]);
    }
    METRIC_SET(threads_started, 0);
    job_slots_finish(&engine->slots);
    free(engine->loop_of_slot);
    free(engine->loops);
    free(engine);
}

static const struct engine_kind loops = {cancel_all, cancel, cancel_flagged, busy, thread_of, join};

/* Only the thread uses the base: libevent needs no locks. False: no descriptors. */
static bool loop_init(struct loops *engine, struct loop *loop, int index)
{
    const struct service *service = engine->service;
    *loop = (struct loop){.engine = engine, .index = index, .inbox = {.fd = -1}};
    mutex_init(&loop->inbox.lock);
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    if (loop->base == NULL || (loop->inbox.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0)
        return false;
    event_assign(&loop->inbox.event, loop->base, loop->inbox.fd, EV_READ | EV_PERSIST, inbox_fired, loop);
    event_add(&loop->inbox.event, NULL);
    event_assign(&loop->starter, loop->base, -1, 0, starter_fired, loop);
    event_assign(&loop->walk.goes_on, loop->base, -1, 0, walk_goes_on, loop);
    loop->http = http_loop_create(loop->base, (size_t)service->settings->worker.calls_per_shard, &(struct http_wake){address_is_known, loop});
    loop->pool = http_pool_of_loop(service->http, loop->http);
    return true;
}

enum status engine_loop_start(const struct service *service, engine_thread_create *create, struct engine **ret, struct error *err)
{
    int wanted = (int)service->settings->worker.loops;
    struct loops *engine = xcalloc(1, sizeof *engine);
    int rc = 0;
    engine->engine = (struct engine){.kind = &loops, .threads = wanted};
    engine->service = service;
    engine->loops = xcalloc((size_t)wanted, sizeof *engine->loops);
    engine->loop_of_slot = xcalloc((size_t)service->settings->worker.in_flight, sizeof *engine->loop_of_slot);
    job_slots_init(&engine->slots, (int)service->settings->worker.in_flight, steps_lanes_with_bars());
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
