/* Where each task of the dispatcher is, by its state: in its lane, in line, ready, parked, and in its assignment's list of waiting
 * tasks; and how many are under way. A task's state and class change here alone, by one function, which moves it from one place to
 * the other: so no task is in two places, or in none. A change that task_state.h doesn't allow, or that doesn't fit the lane or outcome, is a bug, and
 * aborts the process. Pure, except two metrics (jobs behind of a partition, jobs waiting for a rate); the dispatcher locks. */
#ifndef CHAT_DISPATCH_TASK_PLACES_H
#define CHAT_DISPATCH_TASK_PLACES_H

#include "dispatch/lanes.h"
#include "dispatch/start_order.h"
#include "dispatch/waiting_tasks.h"

/* For reading; the dispatcher itself changes only the lanes' heads, the line's rule and the bound. */
struct task_places {
    size_t count[TASK_STATES]; /* of tasks; NEW and ENDED aren't counted */
    struct lanes lanes;
    struct start_order line;      /* IN_LINE */
    struct start_order ready;     /* READY */
    struct task_heap timers;      /* PARKED, by due_ms */
    struct waiting_tasks waiting; /* all that wait */
    struct admission admission;   /* counts of started tasks */
    uint64_t starts;
};

void task_places_init(struct task_places *places, enum ordering ordering, size_t threads);
void task_places_finish(struct task_places *places); /* empty */

/* Changes the task's state, and perhaps its class, which doesn't change while it is under way. Set its due_ms before
 * PARKED. A task that becomes IN_LINE starts a new attempt: its outcome is NONE from then on. */
void task_become_of_class(struct task_places *places, struct task *task, enum task_state to, enum admission_class class);
void task_become(struct task_places *places, struct task *task, enum task_state to); /* with the same class */

#endif
