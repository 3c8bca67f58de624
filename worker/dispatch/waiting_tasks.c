#include "dispatch/waiting_tasks.h"

#include <stddef.h>

void waiting_tasks_add(struct waiting_tasks *waiting, struct task *task)
{
    struct waiting_in_assignment *own = &task->partition->waiting;
    if (own->first == NULL) {
        own->prev = NULL;
        own->next = waiting->assignments;
        if (own->next != NULL)
            own->next->waiting.prev = task->partition;
        waiting->assignments = task->partition;
    }
    task->same_assignment_prev = own->last;
    task->same_assignment_next = NULL;
    *(own->last != NULL ? &own->last->same_assignment_next : &own->first) = task;
    own->last = task;
}

void waiting_tasks_remove(struct waiting_tasks *waiting, struct task *task)
{
    struct waiting_in_assignment *own = &task->partition->waiting;
    *(task->same_assignment_prev != NULL ? &task->same_assignment_prev->same_assignment_next : &own->first) = task->same_assignment_next;
    *(task->same_assignment_next != NULL ? &task->same_assignment_next->same_assignment_prev : &own->last) = task->same_assignment_prev;
    task->same_assignment_prev = task->same_assignment_next = NULL;
    if (own->first != NULL)
        return;
    *(own->prev != NULL ? &own->prev->waiting.next : &waiting->assignments) = own->next;
    if (own->next != NULL)
        own->next->waiting.prev = own->prev;
}

struct task *waiting_tasks_first(const struct waiting_tasks *waiting, const struct partition *partition)
{
    if (partition == NULL)
        partition = waiting->assignments;
    return partition != NULL ? partition->waiting.first : NULL;
}
