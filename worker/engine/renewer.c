#include "engine/renewer.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/engine.h"
#include "session/held_claims.h"
#include "telemetry/metrics.h"
#include "telemetry/watchdog.h"

#define BATCH_MAX 8192                      /* more claims than there can be: of running jobs, of jobs begun ahead, and of jobs that end */
#define BATCH_BYTES_MAX (8 * 1024 * 1024)   /* of ids: 5,000 of the longest sessions */
#define RETRY_MS 100
#define LEASE_MS_MIN 1000
#define GRACE_MS 10000

struct renewer {
    const struct service *service;
    struct redis_pool *redis; /* one connection */
    pthread_t thread;
    bool failing; /* the last call got no answer */
    struct renewal renewals[BATCH_MAX];
    struct renew_op ops[BATCH_MAX];
};

/* The lease to ask for now. */
static int64_t lease_of(const struct service *service, const struct renewal *renewal, int64_t now_ms)
{
    int64_t left_ms = renewal->until_ms + GRACE_MS - now_ms;
    int64_t lease_ms = left_ms < service->store.lease_ms ? left_ms : service->store.lease_ms;
    return lease_ms > LEASE_MS_MIN ? lease_ms : LEASE_MS_MIN;
}

static enum status ask(struct renewer *renewer, size_t n, struct error *why)
{
    struct redis_conn *conn = NULL;
    if (redis_pool_take(renewer->redis, &conn, why) != STATUS_OK)
        return STATUS_FAILED;
    enum status status = session_store_renew(conn, &renewer->service->store, renewer->ops, n, why);
    redis_pool_give(renewer->redis, &conn, status != STATUS_OK);
    return status;
}

static void take_answer(const struct service *service, const struct renewal *renewal, const struct renew_op *op, int64_t asked_ms)
{
    const char *token = renewal->claim.token;
    if (op->error.class == ERROR_NONE && op->held) {
        held_claims_renewed(service->claims, renewal->task, token, asked_ms);
    } else if (op->error.class == ERROR_NONE) {
        if (held_claims_lose(service->claims, renewal->task, token))
            engine_cancel(service->engine, renewal->task);
    } else {
        held_claims_refused(service->claims, renewal->task, token, clock_mono_ms());
        log_warn("renew_refused", F_STR("job", renewal->claim.job_id), F_STR("code", op->error.code), F_STR("error", op->error.message));
    }
}

static void note(struct renewer *renewer, bool failed, size_t n, const struct error *why)
{
    if (failed)
        METRIC_INC(redis_failures_total);
    if (failed && !renewer->failing)
        log_warn("renew_failed", F_INT("claims", n), F_STR("error", why->message), F_STR("hint", "it is tried again until it succeeds"));
    else if (!failed && renewer->failing)
        log_info("renew_restored", F_INT("claims", n));
    renewer->failing = failed;
}

/* False: Redis doesn't answer; renewals without an answer stay due. */
static bool renew(struct renewer *renewer, size_t n)
{
    const struct service *service = renewer->service;
    struct error why;
    int64_t asked_ms = clock_mono_ms();
    for (size_t i = 0; i < n; i++) {
        const struct renewal *renewal = &renewer->renewals[i];
        renewer->ops[i] = (struct renew_op){.claim = renewal->claim, .lease_ms = lease_of(service, renewal, asked_ms)};
        error_set(&renewer->ops[i].error, ERROR_UNAVAILABLE, "redis_io", "not answered");
    }
    bool answered = ask(renewer, n, &why) == STATUS_OK;
    for (size_t i = 0; i < n; i++) {
        /* In a pipeline that failed, some renewals may have been answered before: each of these counts. */
        if (answered || renewer->ops[i].error.class == ERROR_NONE)
            take_answer(service, &renewer->renewals[i], &renewer->ops[i], asked_ms);
        task_unref(renewer->renewals[i].task);
    }
    note(renewer, !answered, n, &why);
    return answered;
}

static void *renewer_main(void *arg)
{
    struct renewer *renewer = arg;
    struct held_claims *claims = renewer->service->claims;
    int64_t not_before_ms = 0;
    pthread_setname_np(pthread_self(), "chat-renew");
    while (held_claims_sleep(claims, not_before_ms)) { /* a second at most */
        watchdog_feed(WATCHED_RENEWER);
        size_t n = held_claims_take_due(claims, clock_mono_ms(), BATCH_BYTES_MAX, renewer->renewals, BATCH_MAX);
        bool answered = n == 0 || renew(renewer, n);
        not_before_ms = answered ? 0 : clock_mono_ms() + RETRY_MS;
    }
    watchdog_rest(WATCHED_RENEWER);
    return NULL;
}

enum status renewer_start(const struct service *service, struct renewer **ret, struct error *err)
{
    const struct settings *settings = service->settings;
    struct renewer *renewer = xcalloc(1, sizeof *renewer); /* unused pages stay untouched */
    renewer->service = service;
    if (redis_pool_create(settings->redis.url, 1, settings->redis.timeout_ms, &renewer->redis, err) != STATUS_OK) {
        free(renewer);
        return STATUS_FAILED;
    }
    if (pthread_create(&renewer->thread, NULL, renewer_main, renewer) != 0) {
        redis_pool_destroy(renewer->redis);
        free(renewer);
        return error_set(err, ERROR_FATAL, "thread_start", "the renewals' thread can't be started; check ulimit -u");
    }
    *ret = renewer;
    return STATUS_OK;
}

void renewer_stop(struct renewer *renewer)
{
    if (renewer == NULL)
        return;
    held_claims_stop(renewer->service->claims);
    pthread_join(renewer->thread, NULL);
    redis_pool_destroy(renewer->redis);
    free(renewer);
}
