/* Do the threads go on that all depends on? Each says so at every turn, or that it waits for work. Whoever judges is none of
 * them: the admin thread looks every WATCHDOG_LOOK_MS and counts for how long each has said nothing. A turn that doesn't come
 * counts against its thread, whatever it hangs in; and if the admin thread hangs, nobody answers the probe.
 *
 * Time is counted in looks: while the process was stopped, or had no processor, there were none, and nobody is stuck for it.
 *
 * A thread is stuck when it has been silent for worker.stuck_after_ms beyond its longest silence that is as it should be
 * (watchdog_silence_ms). Those are calls with a bound; what has none is cut into turns by its caller, or waits for Kafka in
 * librdkafka (chat-txn), which is an outage, not a stuck thread, unless the brokers answer others for as long. Then it never comes back:
 * rd_kafka_send_offsets_to_transaction may wait for ever for a coordinator that went and has long been back (librdkafka's issue 5456). Only a
 * new process helps, so nothing is added to that silence, and service/main.c ends this one. */
#ifndef CHAT_TELEMETRY_WATCHDOG_H
#define CHAT_TELEMETRY_WATCHDOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings/settings.h"

#define WATCHDOG_LOOK_MS 500

enum watched {
    WATCHED_INTAKE,
    WATCHED_GROUP,
    WATCHED_TIMEKEEPER,
    WATCHED_RENEWER,
    WATCHED_BEGIN,
    WATCHED_COMPLETION,
    WATCHED_TRANSACTIONS,
    WATCHED_CONTROL,
    WATCHED_COUNT
};

/* ---- the thread itself ---- */

/* It goes on. */
void watchdog_feed(enum watched thread);
/* It waits for something to do, or has ended: however long that takes. */
void watchdog_rest(enum watched thread);

/* ---- the judge: one thread ---- */

struct watchdog {
    int64_t looked_ms; /* 0: never */
    uint64_t turns[WATCHED_COUNT];
    int64_t silent_ms[WATCHED_COUNT];
};

/* now_ms: clock_mono_ms. */
void watchdog_look(struct watchdog *watchdog, int64_t now_ms);

/* Pure. The longest silence that is as it should be, worker.stuck_after_ms not counted. */
int64_t watchdog_silence_ms(enum watched thread, const struct settings *settings);
/* Pure. After so long a silence the thread is stuck. */
int64_t watchdog_stuck_after_ms(enum watched thread, const struct settings *settings);
/* Pure. The first that is stuck; WATCHED_COUNT: none. broker_answers_ms: for so long the brokers have answered without a failure between. */
enum watched watchdog_stuck(const struct watchdog *watchdog, const struct settings *settings, int64_t broker_answers_ms);
const char *watchdog_name(enum watched thread);

#endif
