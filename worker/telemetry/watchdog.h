/* Do the threads make progress on which all depends? Each feeds the watchdog at every turn, or reports that it waits for work. The judge is not
 * one of them: the admin thread looks every WATCHDOG_LOOK_MS and counts for how long each hasn't fed it. A missing turn
 * counts against its thread, whatever it hangs in; and if the admin thread hangs, the probe isn't answered.
 *
 * Time is counted in looks: while the process was stopped, or had no processor, there were none, and no thread counts as stuck for it.
 *
 * A thread is stuck when it has been silent for worker.stuck_after_ms longer than its longest expected silence
 * (watchdog_silence_ms). That is a call with a bound; work without one is divided into turns by its caller, or waits for Kafka in
 * librdkafka (chat-txn), which is an outage, not a stuck thread, unless the brokers answer others for as long. Then the call never returns:
 * rd_kafka_send_offsets_to_transaction may wait for ever for a coordinator that failed and has long recovered (librdkafka's issue 5456). Only a
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
    WATCHED_TAKES,
    WATCHED_COMPLETION,
    WATCHED_TRANSACTIONS,
    WATCHED_CONTROL,
    WATCHED_LOOPS, /* and each event loop's own, WATCHED_LOOPS + its index */
    WATCHED_COUNT = WATCHED_LOOPS + LOOPS_MAX
};

/* ---- the thread itself ---- */

/* The thread makes progress. */
void watchdog_feed(enum watched thread);
/* The thread waits for something to do, or has ended: it is not judged until it feeds again. */
void watchdog_rest(enum watched thread);

/* ---- the judge: one thread ---- */

struct watchdog {
    int64_t looked_ms; /* 0: never */
    uint64_t turns[WATCHED_COUNT];
    int64_t silent_ms[WATCHED_COUNT];
};

/* now_ms: clock_mono_ms. */
void watchdog_look(struct watchdog *watchdog, int64_t now_ms);

/* Pure. The longest expected silence, without worker.stuck_after_ms. */
int64_t watchdog_silence_ms(enum watched thread, const struct settings *settings);
/* Pure. After so long a silence the thread is stuck. */
int64_t watchdog_stuck_after_ms(enum watched thread, const struct settings *settings);
/* Pure. The first that is stuck; WATCHED_COUNT: none. broker_answers_ms: for how long the brokers have answered without a failure. */
enum watched watchdog_stuck(const struct watchdog *watchdog, const struct settings *settings, int64_t broker_answers_ms);
const char *watchdog_name(enum watched thread); /* valid until the next call; the judge's alone */

#endif
