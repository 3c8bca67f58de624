/* The intake thread: polls Kafka for ever (also while paused and while draining) and turns records into tasks. The
 * rebalance callback runs in it, so that what it owns (assignments.h) needs no lock. It never waits for Redis or an LLM.
 *
 * Between polls it pauses what has enough in memory (pausing.h), commits what is done (committer.h) and looks whether all
 * that is owned moves (liveness.h). An assignment begins with what was committed for it (set_restore.h). */
#ifndef CHAT_INTAKE_INTAKE_H
#define CHAT_INTAKE_INTAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "settings/settings.h"
#include "task/service.h"

struct intake;

enum status intake_start(const struct service *service, const char *bootstrap, struct intake **ret, struct error *err) MUST_CHECK;
/* Any thread: stop or resume taking new records; polling goes on. */
void intake_hold(struct intake *intake, bool held);
/* It has been given its part of the group, and hasn't left since: fenced, put out for having been silent (max.poll.interval.ms), or
 * closing. What may come to a whole fleet at once, a rebalance or a broker that can't be reached, changes nothing. Any thread. */
bool intake_in_group(const struct intake *intake);
/* For so long the broker has answered without a failure between. Any thread. */
int64_t intake_broker_answers_ms(struct intake *intake);
/* Why it takes and commits nothing any more (fenced, fatal client error); class NONE: it does. Any thread. */
bool intake_failed(struct intake *intake, struct error *ret);
/* Does a partition it owns not move? *why says which. Any thread. */
bool intake_stuck(struct intake *intake, char *why, size_t size);
/* Commits, leaves the group, ends the thread; what it said can still be asked. Blocks until until_ms (clock_mono_ms) and a second, a Kafka
 * that says nothing included; in librdkafka's calls, and in a rebalance that began before, longer: up to a second a call. */
void intake_stop(struct intake *intake, int64_t until_ms);
/* Stopped; NULL is fine. False: its client didn't close, and lives until the process ends. */
bool intake_destroy(struct intake *intake);

#endif
