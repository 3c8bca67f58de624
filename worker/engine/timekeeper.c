#include "engine/timekeeper.h"

#include <pthread.h>

#include "base/clock.h"
#include "breakers/breakers.h"
#include "completion/delta_publisher.h"
#include "dispatch/dispatcher.h"
#include "quota/settling.h"
#include "telemetry/watchdog.h"

#define HEARTBEAT_EVERY_MS 3000
#define ALIVE_MS_MIN 10000
#define TICK_MS 500
#define PROBE_TICK_MS 100 /* while a dependency is away */

/* Between a heartbeat answered at once and the next, answered at its time-out, there may be the interval, a tick, a wait for a connection,
 * one answer for each provider's rate, and its own answer. */
int64_t timekeeper_alive_ms(const struct settings *settings)
{
    int64_t answers = 2;
    for (size_t i = 0; i < settings->provider_count; i++)
        answers += settings->providers[i].requests_per_minute > 0 || settings->providers[i].tokens_per_minute > 0;
    int64_t most_ms = HEARTBEAT_EVERY_MS + TICK_MS + answers * settings->redis.timeout_ms;
    return most_ms > ALIVE_MS_MIN ? most_ms : ALIVE_MS_MIN;
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
        breakers_succeeded(service->breakers, DEPENDENCY_REDIS);
}

void *timekeeper_main(void *arg)
{
    const struct service *service = arg;
    int64_t beat_ms = 0, look_ms = 0;
    pthread_setname_np(pthread_self(), "chat-time");
    do {
        watchdog_feed(WATCHED_TIMEKEEPER);
        delta_publisher_look_after(service->deltas);
        if (clock_mono_ms() >= beat_ms) {
            heartbeat(service);
            beat_ms = clock_mono_ms() + HEARTBEAT_EVERY_MS;
        }
        if (clock_mono_ms() >= look_ms) {
            settling_look(service);
            look_ms = clock_mono_ms() + SETTLING_LOOK_MS;
        }
    } while (dispatcher_tick(service->dispatcher, breakers_tick(service->breakers) ? PROBE_TICK_MS : TICK_MS));
    watchdog_rest(WATCHED_TIMEKEEPER);
    return NULL;
}
