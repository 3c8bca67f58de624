#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/thread_memory.h"
#include "chat/journey.h"
#include "dispatch/dispatcher.h"
#include "engine/engine_kind.h"
#include "telemetry/crash_notes.h"
#include "telemetry/metrics.h"

/* Address space, of which a thread keeps what it uses while it waits (about 16 KiB, base/thread_memory.h): room for OpenSSL's handshakes. */
#define STACK_BYTES (256 * 1024)

struct worker {
    struct pool *pool;
    int index;
    pthread_t thread;
    struct http_cancel *cancel;
    struct mutex lock;       /* guards the next */
    const struct task *task; /* NULL: idle */
};

struct pool {
    struct engine engine;
    const struct service *service;
    atomic_bool cut; /* engine_cancel_all was called: jobs that begin later are cancelled, too */
    struct worker *workers;
    int count;
};

static void set_task(struct worker *worker, const struct task *task)
{
    mutex_lock(&worker->lock);
    worker->task = task;
    if (task != NULL)
        http_cancel_reset(worker->cancel);
    if (task != NULL && atomic_load(&worker->pool->cut))
        http_cancel_fire(worker->cancel);
    mutex_unlock(&worker->lock);
}

/* Runs the job to its outcome. Returns the job to run next, or NULL. */
static struct task *run(struct worker *worker, struct task *task)
{
    const struct task *mine = task_ref(task); /* who cancels may read it until set_task(NULL) */
    task_steps_taken(task, worker->index, clock_mono_us());
    set_task(worker, mine);
    crash_notes_doing(DOING_JOURNEY, &mine->record);
    struct task *next = journey_run(worker->pool->service, &task, worker->cancel);
    crash_notes_doing(DOING_NOTHING, NULL);
    steps_leave(worker->index, clock_mono_us());
    set_task(worker, NULL);
    task_unref((struct task *)(uintptr_t)mine);
    return next;
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    const struct service *service = worker->pool->service;
    char name[16];
    (void)thread_memory_trim();
    snprintf(name, sizeof name, "chat-%d", worker->index);
    pthread_setname_np(pthread_self(), name);
    for (struct task *task; (task = dispatcher_take(service->dispatcher, worker->index)) != NULL;) {
        while (task != NULL)
            task = run(worker, task);
        dispatcher_taken_done(service->dispatcher);
    }
    return NULL;
}

static void worker_finish(struct worker *worker)
{
    http_cancel_destroy(worker->cancel);
    mutex_destroy(&worker->lock);
}

static void cancel_all(struct engine *of)
{
    struct pool *pool = (struct pool *)of;
    atomic_store(&pool->cut, true);
    for (int i = 0; i < pool->count; i++) {
        struct worker *worker = &pool->workers[i];
        mutex_lock(&worker->lock);
        if (worker->task != NULL)
            http_cancel_fire(worker->cancel);
        mutex_unlock(&worker->lock);
    }
}

static void cancel(struct engine *of, const struct task *task)
{
    struct pool *pool = (struct pool *)of;
    for (int i = 0; i < pool->count; i++) {
        struct worker *worker = &pool->workers[i];
        mutex_lock(&worker->lock);
        bool same = worker->task == task;
        if (same)
            http_cancel_fire(worker->cancel);
        mutex_unlock(&worker->lock);
        if (same)
            return;
    }
}

/* A task that was taken but isn't set here yet checks its flag itself, before its call. */
static void cancel_flagged(struct engine *of)
{
    struct pool *pool = (struct pool *)of;
    for (int i = 0; i < pool->count; i++) {
        struct worker *worker = &pool->workers[i];
        mutex_lock(&worker->lock);
        if (worker->task != NULL && atomic_load(&worker->task->cancelled))
            http_cancel_fire(worker->cancel);
        mutex_unlock(&worker->lock);
    }
}

static int busy(struct engine *of)
{
    struct pool *pool = (struct pool *)of;
    int count = 0;
    for (int i = 0; i < pool->count; i++) {
        mutex_lock(&pool->workers[i].lock);
        count += pool->workers[i].task != NULL;
        mutex_unlock(&pool->workers[i].lock);
    }
    return count;
}

static void thread_of(struct engine *of, int lane, char ret[ENGINE_THREAD_NAME_BYTES])
{
    (void)of;
    steps_lane_name(lane, ret);
}

static void join(struct engine *of)
{
    struct pool *pool = (struct pool *)of;
    for (int i = 0; i < pool->count; i++) {
        pthread_join(pool->workers[i].thread, NULL);
        worker_finish(&pool->workers[i]);
    }
    METRIC_SET(threads_started, 0);
    free(pool->workers);
    free(pool);
}

static const struct engine_kind threads = {cancel_all, cancel, cancel_flagged, busy, thread_of, join};

enum status engine_threads_start(const struct service *service, engine_thread_create *create, struct engine **ret, struct error *err)
{
    int wanted = (int)service->settings->worker.threads;
    struct pool *pool = xcalloc(1, sizeof *pool);
    pthread_attr_t attr;
    int rc = 0;
    pool->engine = (struct engine){.kind = &threads, .threads = wanted};
    pool->service = service;
    pool->workers = xcalloc((size_t)wanted, sizeof *pool->workers);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    for (pool->count = 0; pool->count < wanted; pool->count++) {
        struct worker *worker = &pool->workers[pool->count];
        worker->pool = pool;
        worker->index = pool->count;
        worker->cancel = http_cancel_create();
        mutex_init(&worker->lock);
        rc = (create ? create : pthread_create)(&worker->thread, &attr, worker_main, worker);
        if (rc != 0) {
            worker_finish(worker);
            break;
        }
    }
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        int started = pool->count;
        dispatcher_stop(service->dispatcher);
        join(&pool->engine);
        return error_set(err, ERROR_FATAL, "thread_start",
                         "worker.threads: thread %d of %d can't be started (%s); lower it, or raise ulimit -u, vm.max_map_count or pids.max",
                         started + 1, wanted, strerror(rc));
    }
    METRIC_SET(threads_started, pool->count);
    *ret = &pool->engine;
    return STATUS_OK;
}
