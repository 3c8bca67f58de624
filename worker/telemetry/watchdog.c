#include "telemetry/watchdog.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define SOCKET_TIMEOUT_MS 60000 /* this and the next: librdkafka's defaults */
#define RECONNECT_BACKOFF_MAX_MS 10000

struct pulse {
    atomic_uint_fast64_t turns;
    atomic_bool busy; /* in a turn that must end */
};

static struct pulse pulses[WATCHED_COUNT];

void watchdog_feed(enum watched thread)
{
    struct pulse *pulse = &pulses[thread];
    atomic_fetch_add_explicit(&pulse->turns, 1, memory_order_relaxed);
    atomic_store_explicit(&pulse->busy, true, memory_order_relaxed);
}

void watchdog_rest(enum watched thread)
{
    atomic_store_explicit(&pulses[thread].busy, false, memory_order_relaxed);
}

void watchdog_look(struct watchdog *watchdog, int64_t now_ms)
{
    int64_t passed_ms = watchdog->looked_ms != 0 ? now_ms - watchdog->looked_ms : 0;
    if (passed_ms > 2 * WATCHDOG_LOOK_MS) /* the process was stopped, or this thread was: the others may have been, too */
        passed_ms = 2 * WATCHDOG_LOOK_MS;
    watchdog->looked_ms = now_ms;
    for (int i = 0; i < WATCHED_COUNT; i++) {
        uint64_t turns = atomic_load_explicit(&pulses[i].turns, memory_order_relaxed);
        bool busy = atomic_load_explicit(&pulses[i].busy, memory_order_relaxed);
        watchdog->silent_ms[i] = busy && turns == watchdog->turns[i] ? watchdog->silent_ms[i] + passed_ms : 0;
        watchdog->turns[i] = turns;
    }
}

/* ---- the rules ---- */

/* Each thread's longest call, and its bound. Redis: waiting for a connection of the pool, connecting, and an answer to each command of
 * a pipeline's scripts, perhaps again with SCRIPT LOAD. */
static const struct {
    const char *name;
    int64_t ms;
    int64_t redis_answers; /* times redis.timeout_ms */
    bool waits_for_kafka;
} allowances[] = {
    [WATCHED_INTAKE] = {"chat-intake", 15000, 0, false},   /* the last commit before a revoke (committer.c), 5 s, and librdkafka's own calls */
    [WATCHED_GROUP] = {"chat-group", 10000, 0, false},     /* rd_kafka_list_groups; see watchdog_silence_ms */
    [WATCHED_TIMEKEEPER] = {"chat-time", 0, 8, false},     /* the heartbeat, a read of each provider's line */
    [WATCHED_RENEWER] = {"chat-renew", 0, 4, false},       /* one pipeline */
    [WATCHED_BEGIN] = {"chat-begin", 0, 8, false},         /* one pipeline, the holders' heartbeats, another pipeline */
    [WATCHED_TAKES] = {"chat-takes", 0, 8, false},         /* a pipeline of budgets, one of permits */
    [WATCHED_COMPLETION] = {"chat-completion", 5000, 16, false}, /* finishes, those of cancelled jobs, cancels, releases; and the publisher's calls */
    [WATCHED_TRANSACTIONS] = {"chat-txn", 10000, 0, true}, /* a transaction's calls last as long as Kafka is away, and for a while after: transaction_silence_ms */
    [WATCHED_CONTROL] = {"chat-control", 10000, 0, false}, /* the start offsets of its topic's partitions, 2 s a request */
    [WATCHED_LOOPS] = {"chat-loop-", 0, 0, false},         /* nothing on it blocks */
};

/* That of a thread, or of all event loops. */
static enum watched kind_of(enum watched thread)
{
    return thread > WATCHED_LOOPS ? WATCHED_LOOPS : thread;
}

static int64_t kafka_ms(const struct settings *settings, const char *property, int64_t otherwise)
{
    const char *given = settings_kafka_property(settings, property);
    return given != NULL ? strtoll(given, NULL, 10) : otherwise;
}

/* rd_kafka_list_groups makes two requests, each bounded by the client's own time-out only, whatever its argument. */
static int64_t group_silence_ms(const struct settings *settings)
{
    return 2 * kafka_ms(settings, "socket.timeout.ms", SOCKET_TIMEOUT_MS);
}

/* A request sent as a broker failed is sent again once librdkafka has noticed and reconnected; by then the transaction may
 * have timed out, which the next call returns. */
static int64_t transaction_silence_ms(const struct settings *settings)
{
    return kafka_ms(settings, "socket.timeout.ms", SOCKET_TIMEOUT_MS) + kafka_ms(settings, "reconnect.backoff.max.ms", RECONNECT_BACKOFF_MAX_MS) +
           kafka_ms(settings, "transaction.timeout.ms", KAFKA_TRANSACTION_TIMEOUT_MS);
}

int64_t watchdog_silence_ms(enum watched thread, const struct settings *settings)
{
    int64_t more_ms = thread == WATCHED_GROUP ? group_silence_ms(settings) : thread == WATCHED_TRANSACTIONS ? transaction_silence_ms(settings) : 0;
    return allowances[kind_of(thread)].ms + allowances[kind_of(thread)].redis_answers * settings->redis.timeout_ms + more_ms;
}

int64_t watchdog_stuck_after_ms(enum watched thread, const struct settings *settings)
{
    return watchdog_silence_ms(thread, settings) + (allowances[kind_of(thread)].waits_for_kafka ? 0 : settings->worker.stuck_after_ms);
}

enum watched watchdog_stuck(const struct watchdog *watchdog, const struct settings *settings, int64_t broker_answers_ms)
{
    for (int i = 0; i < WATCHED_COUNT; i++) {
        int64_t most_ms = watchdog_stuck_after_ms((enum watched)i, settings);
        if (watchdog->silent_ms[i] >= most_ms && (!allowances[kind_of((enum watched)i)].waits_for_kafka || broker_answers_ms >= most_ms))
            return (enum watched)i;
    }
    return WATCHED_COUNT;
}

const char *watchdog_name(enum watched thread)
{
    static char name[32];
    if (thread < WATCHED_LOOPS)
        return allowances[thread].name;
    snprintf(name, sizeof name, "%s%d", allowances[WATCHED_LOOPS].name, (int)(thread - WATCHED_LOOPS));
    return name;
}
