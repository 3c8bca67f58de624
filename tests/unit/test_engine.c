/* If one thread of a pool can't be started, the threads before it end again, and the error names it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "dispatch/dispatcher.h"
#include "engine/engine.h"
#include "settings/settings.h"
#include "telemetry/metrics.h"

static int fail_at;  /* which thread can't be started, from 0 */
static int asked;    /* how many were tried */
static pthread_t started[16];

static int failing_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    if (asked++ == fail_at)
        return EAGAIN;
    int rc = pthread_create(thread, attr, run, arg);
    started[asked - 1] = *thread;
    return rc;
}

static enum status start(int threads, struct service *service, struct settings *settings, struct error *err)
{
    settings->worker.threads = threads;
    *service = (struct service){.settings = settings,
                                .dispatcher = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, threads)};
    asked = 0;
    return engine_start(service, failing_create, &service->engine, err);
}

Test(engine, a_thread_that_cannot_start_ends_those_before_it)
{
    static const int places[] = {0, 1, 3, 7};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct settings settings = {0};
        struct service service;
        struct error err = {0};
        fail_at = places[i];
        cr_assert_eq(start(8, &service, &settings, &err), STATUS_FAILED);
        cr_expect_eq(asked, places[i] + 1, "none is tried after it");
        cr_expect_eq(err.class, ERROR_FATAL);
        char count[32];
        snprintf(count, sizeof count, "thread %d of 8 ", places[i] + 1);
        cr_expect_not_null(strstr(err.message, count), "%s", err.message);
        cr_expect_not_null(strstr(err.message, "ulimit -u"), "%s", err.message);
        cr_expect_null(service.engine);
        cr_expect_eq(metric_get(METRIC_threads_started), 0);
        /* The threads are joined: none is left that could still use the dispatcher. */
        dispatcher_destroy(service.dispatcher);
    }
}

Test(engine, a_whole_pool_starts_idle_and_ends)
{
    struct settings settings = {0};
    struct service service;
    struct error err = {0};
    fail_at = -1;
    cr_assert_eq(start(8, &service, &settings, &err), STATUS_OK, "%s", err.message);
    cr_expect_eq(asked, 8);
    cr_expect_eq(metric_get(METRIC_threads_started), 8);
    cr_expect_eq(engine_busy(service.engine), 0);
    size_t stack = 0;
    pthread_attr_t attr;
    cr_assert_eq(pthread_getattr_np(started[0], &attr), 0);
    pthread_attr_getstacksize(&attr, &stack);
    pthread_attr_destroy(&attr);
    cr_expect_leq(stack, (size_t)512 * 1024, "small and explicit: %zu", stack);
    dispatcher_stop(service.dispatcher);
    engine_join(service.engine);
    dispatcher_destroy(service.dispatcher);
}
