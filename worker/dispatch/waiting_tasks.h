/* The tasks waiting in the dispatcher, by assignment: a revoke takes out its own and visits no others. Lists within
 * tasks and partitions; pure, the dispatcher locks. All zero is empty. */
#ifndef CHAT_DISPATCH_WAITING_TASKS_H
#define CHAT_DISPATCH_WAITING_TASKS_H

#include "dispatch/dispatch_entry.h"

struct waiting_tasks {
    struct partition *assignments; /* those with waiting tasks */
};

void waiting_tasks_add(struct waiting_tasks *waiting, struct task *task);
void waiting_tasks_remove(struct waiting_tasks *waiting, struct task *task); /* is in it */
/* The first task of this assignment, or of any (NULL); NULL: none waits. The next by its entry's same_assignment_next. */
struct task *waiting_tasks_first(const struct waiting_tasks *waiting, const struct partition *partition);

#endif
