#include "dispatch/waiting_tasks.h"

#include <stddef.h>

void waiting_tasks_add(struct waiting_tasks *waiting, struct task *task)
{
    struct waiting_in_grant *own = &task->partition->waiting;
    if (own->first == NULL) {
        own->prev = NULL;
        own->next = waiting->grants;
        if (own->next != NULL)
            own->next->waiting.prev = task->partition;
        waiting->grants = task->partition;
    }
    task->same_grant_prev = own->last;
    task->same_grant_next = NULL;
    *(own->last != NULL ? &own->last->same_grant_next : &own->first) = task;
    own->last = task;
}

void waiting_tasks_remove(struct waiting_tasks *waiting, struct task *task)
{
    struct waiting_in_grant *own = &task->partition->waiting;
    *(task->same_grant_prev != NULL ? &task->same_grant_prev->same_grant_next : &own->first) = task->same_grant_next;
    *(task->same_grant_next != NULL ? &task->same_grant_next->same_grant_prev : &own->last) = task->same_grant_prev;
    task->same_grant_prev = task->same_grant_next = NULL;
    if (own->first != NULL)
        return;
    *(own->prev != NULL ? &own->prev->waiting.next : &waiting->grants) = own->next;
    if (own->next != NULL)
        own->next->waiting.prev = own->prev;
}

struct task *waiting_tasks_first(const struct waiting_tasks *waiting, const struct partition *partition)
{
    if (partition == NULL)
        partition = waiting->grants;
    return partition != NULL ? partition->waiting.first : NULL;
}
