#include "service/probes.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "completion/publisher.h"
#include "intake/intake.h"
#include "telemetry/watchdog.h"

#define MAX_POLL_INTERVAL_MS 300000 /* librdkafka's default */

/* A failing liveness probe would restart the process too, but only where there is one, and later; the jobs of its partitions wait meanwhile. */
static void give_up_transactions(struct process *process)
{
    struct error err;
    error_set(&err, ERROR_RETRIABLE, "transactions_stuck", "a call of the Kafka client hasn't ended for %lld s, though the brokers answer",
              (long long)process->watchdog.silent_ms[WATCHED_TRANSACTIONS] / 1000);
    publisher_give_up(process->service.publisher, &err);
}

static void look(void *arg)
{
    struct process *process = arg;
    int64_t broker_answers_ms = process->intake != NULL ? intake_broker_answers_ms(process->intake) : 0;
    enum watched before = process->stuck;
    watchdog_look(&process->watchdog, clock_mono_ms());
    process->stuck = watchdog_stuck(&process->watchdog, process->service.settings, broker_answers_ms);
    if (process->stuck != before && process->stuck != WATCHED_COUNT)
        log_error("thread_stuck", F_STR("thread", watchdog_name(process->stuck)), F_INT("silent_ms", process->watchdog.silent_ms[process->stuck]));
    if (process->stuck == WATCHED_TRANSACTIONS && process->stuck != before)
        give_up_transactions(process);
}

/* Ready also during a rebalance and while a broker is away: not this process's fault, and it would make the whole fleet unready at once. */
static bool is_ready(void *arg)
{
    struct error err;
    struct process *process = arg;
    if (process->intake == NULL || process->draining || process_failed(process, &err))
        return false;
    /* The client leaves the group by itself when it isn't polled for so long. */
    const char *given = settings_kafka_property(process->service.settings, "max.poll.interval.ms");
    int64_t polled_within_ms = given != NULL ? strtoll(given, NULL, 10) : MAX_POLL_INTERVAL_MS;
    return intake_in_group(process->intake) && process->watchdog.silent_ms[WATCHED_INTAKE] < polled_within_ms;
}

static bool is_healthy(void *arg, char *why, size_t size)
{
    struct error err;
    struct process *process = arg;
    if (process->intake == NULL)
        return true;
    if (process_failed(process, &err)) {
        snprintf(why, size, "%s", err.message);
        return false;
    }
    if (process->draining)
        return true;
    if (process->stuck != WATCHED_COUNT) {
        snprintf(why, size, "stuck: the thread %s has said nothing for %lld s", watchdog_name(process->stuck),
                 (long long)process->watchdog.silent_ms[process->stuck] / 1000);
        return false;
    }
    return !intake_stuck(process->intake, why, size);
}

struct admin_probes probes_of(struct process *process)
{
    return (struct admin_probes){.ready = is_ready, .healthy = is_healthy, .look = look, .arg = process};
}
