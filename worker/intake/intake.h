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
/* The member has got its assignment, and hasn't left the group since: by being fenced, by max.poll.interval.ms, or by
 * closing. A rebalance or a broker that can't be reached, which may affect a whole fleet at once, doesn't change this. Any thread. */
bool intake_in_group(const struct intake *intake);
/* For how long the broker has answered without a failure. Any thread. */
int64_t intake_broker_answers_ms(struct intake *intake);
/* Why the intake no longer takes or commits anything (fenced, fatal client error); class NONE: it hasn't failed. Any thread. */
bool intake_failed(struct intake *intake, struct error *ret);
/* Is a partition that this member owns stuck? *why names it. Any thread. */
bool intake_stuck(struct intake *intake, char *why, size_t size);
/* Commits, leaves the group, ends the thread; the functions above can still be called. Blocks until until_ms (clock_mono_ms) and a second, also when
 * Kafka doesn't answer; librdkafka's calls, and a rebalance that began before, may take longer: up to a second a call. */
void intake_stop(struct intake *intake, int64_t until_ms);
/* After intake_stop; NULL is fine. False: its client didn't close, and isn't freed. */
bool intake_destroy(struct intake *intake);

#endif
