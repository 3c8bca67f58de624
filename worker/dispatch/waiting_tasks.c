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
    task->entry->same_assignment_prev = own->last;
    task->entry->same_assignment_next = NULL;
    *(own->last != NULL ? &own->last->entry->same_assignment_next : &own->first) = task;
    own->last = task;
}

void waiting_tasks_remove(struct waiting_tasks *waiting, struct task *task)
{
    struct waiting_in_assignment *own = &task->partition->waiting;
    struct task *prev = task->entry->same_assignment_prev, *next = task->entry->same_assignment_next;
    *(prev != NULL ? &prev->entry->same_assignment_next : &own->first) = next;
    *(next != NULL ? &next->entry->same_assignment_prev : &own->last) = prev;
    task->entry->same_assignment_prev = task->entry->same_assignment_next = NULL;
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
