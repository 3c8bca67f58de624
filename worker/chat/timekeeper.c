#include "chat/timekeeper.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "chat/spending.h"
#include "dispatch/dispatcher.h"
#include "dispatch/held_claims.h"
#include "dispatch/weather.h"
#include "engine/engine.h"
#include "ops/metrics.h"

#define BATCH_MAX 128
#define HEARTBEAT_EVERY_MS 3000
#define TICK_MS 500
#define PROBE_TICK_MS 100 /* while something is away */
#define GRACE_MS 10000

static void renew(const struct service *service)
{
    struct renewal renewals[BATCH_MAX];
    struct renew_op ops[BATCH_MAX];
    struct redis_conn *conn = NULL;
    struct error why;
    size_t n = held_claims_take_due(service->claims, renewals, BATCH_MAX);
    if (n == 0)
        return;
    int64_t now = clock_mono_ms();
    for (size_t i = 0; i < n; i++) {
        const struct task *task = renewals[i].task;
        int64_t left = task_until_ms(task, service->settings->llm.deadline_ms, now, clock_wall_ms()) + GRACE_MS - now;
        int64_t lease = left < service->store.lease_ms ? left : service->store.lease_ms;
        ops[i] = (struct renew_op){.claim = renewals[i].claim, .lease_ms = lease > 1000 ? lease : 1000};
    }
    bool told = redis_pool_take(service->redis, &conn, &why) == STATUS_OK;
    if (told) {
        told = session_store_renew(conn, &service->store, ops, n, &why) == STATUS_OK;
        redis_pool_give(service->redis, &conn, !told);
    }
    for (size_t i = 0; i < n; i++) {
        if (told && ops[i].error.class == ERROR_NONE && !ops[i].held && held_claims_lose(service->claims, renewals[i].task, renewals[i].claim.token))
            engine_cancel(service->engine, renewals[i].task);
        else if (told && ops[i].error.class == ERROR_NONE && ops[i].held)
            held_claims_renewed(service->claims, renewals[i].task, now);
        else if (told && ops[i].error.class != ERROR_NONE) /* neither held nor lost: asked again in a third of the lease */
            log_warn("renew_refused", F_STR("job", renewals[i].claim.job_id), F_STR("code", ops[i].error.code), F_STR("error", ops[i].error.message));
        task_unref(renewals[i].task);
    }
    if (!told) {
        METRIC_INC(redis_failures_total);
        log_warn("renew_failed", F_INT("claims", n), F_STR("error", why.message));
    }
}

static void heartbeat(const struct service *service)
{
    struct redis_conn *conn = NULL;
    struct error why;
    if (redis_pool_take(service->redis, &conn, &why) != STATUS_OK)
        return;
    bool told = session_store_heartbeat(conn, &service->store, &why) == STATUS_OK;
    redis_pool_give(service->redis, &conn, !told);
    if (told)
        weather_succeeded(service->weather, WEATHER_REDIS);
}

void *timekeeper_main(void *arg)
{
    const struct service *service = arg;
    int64_t beat_ms = 0, look_ms = 0;
    pthread_setname_np(pthread_self(), "chat-time");
    do {
        if (clock_mono_ms() >= beat_ms) {
            heartbeat(service);
            beat_ms = clock_mono_ms() + HEARTBEAT_EVERY_MS;
        }
        renew(service);
        if (clock_mono_ms() >= look_ms) {
            spending_look(service);
            look_ms = clock_mono_ms() + SPENDING_LOOK_MS;
        }
    } while (dispatcher_tick(service->dispatcher, weather_tick(service->weather) ? PROBE_TICK_MS : TICK_MS));
    return NULL;
}
