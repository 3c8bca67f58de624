/* What became of reservations (reservations.h) is told to Redis, in batches: what a call used takes the estimate's place, what none
 * used is given back. What is given back reaches those who are parked for it: at once where this process settled it, else within a
 * second, by a look at the line's length.
 *
 * Each is settled once. While no connection to Redis can be had they stay in completion's list, up to UNSETTLED_MAX; then, and where an
 * answer was lost, they are given up: a permit passes as time does, a budget's estimate counts until its day ends.
 *
 * Blocks up to redis.timeout_ms where said. */
#ifndef CHAT_QUOTA_SETTLING_H
#define CHAT_QUOTA_SETTLING_H

#include "quota/reservations.h"
#include "task/service.h"
#include "task/task.h"

/* Completion thread: takes those of a task whose try is over, those that wait as unused; keep_waiting: but for the one that waits. */
void settling_take(struct task *task, struct reservations *unsettled, bool keep_waiting);
/* Completion thread: tells Redis the use of all in the list, and empties it but for what Redis surely doesn't know. Blocks. */
void settling_run(const struct service *service, struct reservations *unsettled);

/* Timekeeper, each SETTLING_LOOK_MS: where jobs are parked for a rate, may they start sooner, since other processes gave something back?
 * Blocks for one Redis call a provider that has such jobs; none otherwise. */
#define SETTLING_LOOK_MS 1000
void settling_look(const struct service *service);

#endif
