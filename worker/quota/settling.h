/* Settles reservations (reservations.h) in Redis, in batches: the tokens that a call used replace the estimate, reservations without a call
 * are returned. Jobs parked for returned permits start earlier: at once where this process settled, else within a
 * second, by reading the line's length.
 *
 * Each is settled once. While there is no connection to Redis they stay in completion's list, up to UNSETTLED_MAX; beyond that, and where an
 * answer was lost, they are given up: a permit expires as time passes, a budget's estimate counts until its day ends.
 *
 * Blocks up to redis.timeout_ms where said. */
#ifndef CHAT_QUOTA_SETTLING_H
#define CHAT_QUOTA_SETTLING_H

#include "quota/reservations.h"
#include "task/service.h"
#include "task/task.h"

/* Completion thread: takes the reservations of a task whose attempt is over, those that wait as unused; keep_waiting: except the one that waits. */
void settling_take(struct task *task, struct reservations *unsettled, bool keep_waiting);
/* Completion thread: settles the list in Redis; those that certainly didn't reach Redis stay in it. Blocks. */
void settling_run(const struct service *service, struct reservations *unsettled);

/* Timekeeper, every SETTLING_LOOK_MS: lets jobs parked for a rate start sooner if other processes have returned permits.
 * Blocks for one Redis call for each provider with such jobs. */
#define SETTLING_LOOK_MS 1000
void settling_look(const struct service *service);

#endif
