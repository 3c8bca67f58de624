/* Where each task is that the dispatcher knows, by its state: in its lane, in line, ready, parked, and among those that its assignment has
 * waiting; and how many are under way. A task's state and class change here alone, by one function, which takes it from one place to
 * the other: so none is in two, or in none. What no task does (task_state.h), or what doesn't fit its lane or outcome, is a bug, and stops the
 * process. Pure but for two metrics (what a partition has behind, what waits for a rate); the dispatcher locks. */
#ifndef CHAT_DISPATCH_TASK_PLACES_H
#define CHAT_DISPATCH_TASK_PLACES_H

#include "dispatch/lanes.h"
#include "dispatch/start_order.h"
#include "dispatch/waiting_tasks.h"

/* To read; its owner changes none but the lanes' heads, the line's rule and the bound. */
struct task_places {
    size_t count[TASK_STATES]; /* of tasks; NEW and ENDED aren't counted */
    struct lanes lanes;
    struct start_order line;      /* IN_LINE */
    struct start_order ready;     /* READY */
    struct task_heap timers;      /* PARKED, by due_ms */
    struct waiting_tasks waiting; /* all that wait */
    struct admission admission;   /* those that are started */
    uint64_t starts;
};

void task_places_init(struct task_places *places, enum ordering ordering, size_t threads);
void task_places_finish(struct task_places *places); /* empty */

/* The step from its state to another, and perhaps to another class, which doesn't change while it is under way. Before it becomes
 * PARKED its due_ms is set. One that lines up is tried anew: its outcome is NONE from then on. */
void task_become_of_class(struct task_places *places, struct task *task, enum task_state to, enum admission_class class);
void task_become(struct task_places *places, struct task *task, enum task_state to); /* of the same class */

#endif
