/* Who starts next: those whose turn it could be, and the rule that says whose it is. Pure; the dispatcher asks under its lock.
 *
 * Of those in line the next is, by the first of these that tells:
 *   1. its class (admission.h): whoever is past its deadline or cancelled, then suspects, then all others
 *   2. whoever's permit is due (a provider's rate let it go now, and a permit is for its time)
 *   3. the oldest, by when it came to this process. Nothing makes a job younger: not a retry, a wait, a lane whose turn it waited
 *      for, nor a start that came to nothing.
 * But while a dependency is away, what starts is a probe that its breaker asked for, and in 3 goes
 *   3a. the newest of those that were never started: whoever was has had its turn, and one may have been let in just for it
 *   3b. else whoever's last start was longest ago, so that one that always fails isn't the probe for ever.
 *
 * If the next one may not start (admission.h), nobody behind it does, but for class 1. So no job that could start waits while
 * one starts that came later and isn't preferred by 1, 2 or 3a. A lane's next follows the same rule, also where it is begun with its
 * predecessor's end: a session with many jobs goes on while they are the oldest, and has one thread at most; a turn for each lane
 * would let who came last pass them.
 *
 * Each put, take and removal is O(log n), O(1) for one that comes last. */
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
/* What the rule looks at stays as it is while the task is in: its class, its age, its last start, its permit. */
void start_order_put(struct start_order *order, struct task *task);
void start_order_remove(struct start_order *order, struct task *task);
/* The next by 1 to 3; NULL: nobody is in line. */
struct task *start_order_first(const struct start_order *order);
/* The next that may start now; NULL: there is none. */
struct task *start_order_admissible(const struct start_order *order, const struct admission *admission);
/* Is this one, which isn't in line, before all that are? */
bool start_order_is_before(const struct start_order *order, const struct task *task);
size_t start_order_suspects(const struct start_order *order);
/* Any but those that nothing bounds. */
bool start_order_has_bounded(const struct start_order *order);
/* From now on; what is in line is sorted anew: O(n log n), as often as a breaker opens, or is answered again. */
void start_order_follow(struct start_order *order, enum start_rule rule);
/* Those that are past their own deadline go by class 1 from now on. Looks at all. */
void start_order_expire(struct start_order *order, int64_t now_ms);

#endif
