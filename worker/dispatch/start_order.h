/* Which job starts next: the queue of jobs that could start, and the rule that chooses one. Pure; called under the dispatcher's lock.
 *
 * The next job in line, by the first of these that decides:
 *   1. its class (admission.h): jobs past their deadline or cancelled, then suspects, then all others
 *   2. jobs whose permit is due (a provider's rate admits the call now, and a permit is for its start time)
 *   3. the oldest, by its arrival in this process. Nothing makes a job younger: not a retry, a wait, a wait for its turn in the
 *      lane, nor a start without effect.
 * But while a dependency is away, jobs that start are probes for its breaker, and instead of 3 the next is
 *   3a. the newest of those that were never started: the others were tried, and one may have been let in just as a probe
 *   3b. else the one whose last start was longest ago, so that a job that always fails isn't the probe for ever.
 *
 * If the next job may not start (admission.h), none behind it does, except class 1. So no job that could start waits while
 * one starts that came later and isn't preferred by 1, 2 or 3a. The next job of a lane follows the same rule, also where it is begun with its
 * predecessor's finish: a session with many jobs goes on while they are the oldest, and has one thread at most; if lanes took turns,
 * later jobs would pass them.
 *
 * Each put, take and removal is O(log n), O(1) for one that sorts last. */
#ifndef CHAT_DISPATCH_START_ORDER_H
#define CHAT_DISPATCH_START_ORDER_H

#include "dispatch/admission.h"
#include "dispatch/task_heap.h"

enum start_rule {
    START_OLDEST, /* 3 */
    START_PROBES  /* 3a, 3b */
};

/* All zero is empty. */
struct start_order {
    enum start_rule rule;
    struct task_heap classes[ADMISSION_CLASSES];
};

void start_order_finish(struct start_order *order); /* must be empty */
/* The sort key must not change while the task is in the queue: its class, age, last start and permit. */
void start_order_put(struct start_order *order, struct task *task);
void start_order_remove(struct start_order *order, struct task *task);
/* The next by 1 to 3; NULL: the queue is empty. */
struct task *start_order_first(const struct start_order *order);
/* The next, if it may start now; else NULL. */
struct task *start_order_admissible(const struct start_order *order, const struct admission *admission);
/* Would this task, which isn't in the queue, be the first? */
bool start_order_is_before(const struct start_order *order, const struct task *task);
size_t start_order_suspects(const struct start_order *order);
/* Is there any job to which a bound applies? */
bool start_order_has_bounded(const struct start_order *order);
/* Changes the rule; the queue is sorted anew: O(n log n), whenever a breaker opens, or its probe succeeds. */
void start_order_follow(struct start_order *order, enum start_rule rule);
/* Moves jobs past their own deadline to class ADMIT_EXPIRED. O(n). */
void start_order_expire(struct start_order *order, int64_t now_ms);

#endif
