/* The tasks that wait with the dispatcher, by their grant: a revoke takes out what is its own and looks at nothing else. Lists within
 * tasks and partitions; pure, the dispatcher locks. All zero is empty. */
#ifndef CHAT_DISPATCH_WAITING_TASKS_H
#define CHAT_DISPATCH_WAITING_TASKS_H

#include "dispatch/dispatch_entry.h"

struct waiting_tasks {
    struct partition *grants; /* those with any */
};

void waiting_tasks_add(struct waiting_tasks *waiting, struct task *task);
void waiting_tasks_remove(struct waiting_tasks *waiting, struct task *task); /* is in it */
/* The first of this grant, or of any (NULL); NULL: none waits. The others of its grant by their entries' same_grant_next. */
struct task *waiting_tasks_first(const struct waiting_tasks *waiting, const struct partition *partition);

#endif
