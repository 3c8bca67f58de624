#include "quota/take_line.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/mutex.h"
#include "session/redis_call.h"
#include "telemetry/watchdog.h"

#define BATCH_MAX 128

struct take_line {
    const struct service *service;
    pthread_t thread;
    struct mutex lock; /* guards the members below */
    struct cond wake;
    struct take *first, **end;
    bool stopping;
};

struct batch {
    struct take **takes;
    size_t count;
    bool budgets_are_taken; /* the pipeline of the budgets was answered */
};

/* ---- a batch of takes, on one connection ---- */

static enum status take_budgets(struct redis_conn *conn, const char *prefix, struct batch *batch, struct error *err)
{
    struct budget_op ops[BATCH_MAX];
    struct take *of[BATCH_MAX];
    size_t n = 0;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->takes[i]->budget.tenant != NULL) {
            of[n] = batch->takes[i];
            ops[n++] = batch->takes[i]->budget;
        }
    if (n > 0 && budget_take(conn, prefix, ops, n, err) != STATUS_OK)
        return STATUS_FAILED;
    for (size_t i = 0; i < n; i++)
        of[i]->budget = ops[i];
    batch->budgets_are_taken = true;
    return STATUS_OK;
}

/* Only with the budget: its refusal lasts longer. */
static bool wants_permit(const struct take *take)
{
    return take->permit.provider != NULL && (take->budget.tenant == NULL || take->budget.reserved);
}

static enum status take_permits(struct redis_conn *conn, const char *prefix, struct batch *batch, struct error *err)
{
    struct permit_op ops[BATCH_MAX];
    struct take *of[BATCH_MAX];
    size_t n = 0;
    for (size_t i = 0; i < batch->count; i++)
        if (wants_permit(batch->takes[i])) {
            of[n] = batch->takes[i];
            of[n]->permit.limits = &of[n]->limits;
            ops[n] = of[n]->permit;
            n++;
        }
    if (n > 0 && permits_take(conn, prefix, ops, n, err) != STATUS_OK)
        return STATUS_FAILED;
    for (size_t i = 0; i < n; i++)
        of[i]->permit = ops[i];
    return STATUS_OK;
}

static enum status call_batch(struct redis_conn *conn, const struct service *service, void *arg, struct error *err)
{
    const char *prefix = service->store.key_prefix;
    enum status status = take_budgets(conn, prefix, arg, err);
    return status == STATUS_OK ? take_permits(conn, prefix, arg, err) : status;
}

static void run_batch(const struct service *service, struct take **takes, size_t count)
{
    struct batch batch = {.takes = takes, .count = count};
    struct error why = {0};
    enum status status = redis_call(service, call_batch, &batch, &why);
    for (size_t i = 0; i < count; i++) {
        bool is_whole = batch.budgets_are_taken && !wants_permit(takes[i]);
        takes[i]->status = is_whole ? STATUS_OK : status;
        takes[i]->error = why;
    }
}

/* ---- the line ---- */

static size_t next_batch(struct take_line *line, struct take **takes)
{
    size_t n = 0;
    mutex_lock(&line->lock);
    while (line->first == NULL && !line->stopping) {
        watchdog_rest(WATCHED_TAKES);
        cond_wait(&line->wake, &line->lock);
    }
    watchdog_feed(WATCHED_TAKES);
    for (; n < BATCH_MAX && line->first != NULL; n++) {
        takes[n] = line->first;
        line->first = takes[n]->next;
    }
    if (line->first == NULL)
        line->end = &line->first;
    mutex_unlock(&line->lock);
    return n;
}

static void *take_line_main(void *arg)
{
    struct take_line *line = arg;
    struct take *takes[BATCH_MAX];
    pthread_setname_np(pthread_self(), "chat-takes");
    for (size_t n; (n = next_batch(line, takes)) > 0;) {
        run_batch(line->service, takes, n);
        for (size_t i = 0; i < n; i++)
            takes[i]->done(takes[i], takes[i]->arg);
    }
    watchdog_rest(WATCHED_TAKES);
    return NULL;
}

void take_line_put(struct take_line *line, struct take *take, void (*done)(struct take *take, void *arg), void *arg)
{
    take->done = done;
    take->arg = arg;
    take->next = NULL;
    mutex_lock(&line->lock);
    *line->end = take;
    line->end = &take->next;
    cond_signal(&line->wake);
    mutex_unlock(&line->lock);
}

/* ---- a thread's wait ---- */

struct waiter {
    struct mutex lock; /* guards done */
    struct cond wake;
    bool done;
};

static void wake_waiter(struct take *take, void *arg)
{
    struct waiter *waiter = arg;
    (void)take;
    mutex_lock(&waiter->lock);
    waiter->done = true;
    cond_signal(&waiter->wake); /* under the lock: the waiter ends as soon as that is free */
    mutex_unlock(&waiter->lock);
}

void take_line_run(const struct service *service, struct take *take)
{
    if (service->takes == NULL) {
        run_batch(service, &take, 1);
        return;
    }
    struct waiter waiter = {0};
    mutex_init(&waiter.lock);
    cond_init(&waiter.wake);
    take_line_put(service->takes, take, wake_waiter, &waiter);
    mutex_lock(&waiter.lock);
    while (!waiter.done)
        cond_wait(&waiter.wake, &waiter.lock);
    mutex_unlock(&waiter.lock);
    cond_destroy(&waiter.wake);
    mutex_destroy(&waiter.lock);
}

/* ---- start and stop ---- */

bool take_line_is_needed(const struct service *service)
{
    const struct settings *settings = service->settings;
    bool limited = settings->llm.tenant_tokens_per_day > 0;
    for (size_t i = 0; i < settings->provider_count; i++)
        limited = limited || permits_are_limited(&settings->providers[i]);
    return limited && settings->worker.redis_io == REDIS_IO_BATCHED;
}

enum status take_line_start(const struct service *service, struct take_line **ret, struct error *err)
{
    struct take_line *line = xcalloc(1, sizeof *line);
    line->service = service;
    line->end = &line->first;
    mutex_init(&line->lock);
    cond_init(&line->wake);
    if (pthread_create(&line->thread, NULL, take_line_main, line) == 0) {
        *ret = line;
        return STATUS_OK;
    }
    cond_destroy(&line->wake);
    mutex_destroy(&line->lock);
    free(line);
    return error_set(err, ERROR_FATAL, "thread_start", "the thread of permits and budgets can't be started; check ulimit -u");
}

void take_line_stop(struct take_line *line)
{
    if (line == NULL)
        return;
    mutex_lock(&line->lock);
    line->stopping = true;
    cond_signal(&line->wake);
    mutex_unlock(&line->lock);
    pthread_join(line->thread, NULL);
    cond_destroy(&line->wake);
    mutex_destroy(&line->lock);
    free(line);
}
