#include "dispatch/job_index.h"

#include <stddef.h>
#include <string.h>

/* The first of an id is in the table; the others hang behind it, and one of them takes its place. */
static void enter(struct job_index *index, struct task *task)
{
    HASH_ADD_KEYPTR(by_id, index->first, task->job.id, (unsigned)strlen(task->job.id), task);
}

struct task *job_index_find(const struct job_index *index, const char *id)
{
    struct task *found = NULL;
    HASH_FIND(by_id, index->first, id, (unsigned)strlen(id), found);
    return found;
}

void job_index_add(struct job_index *index, struct task *task)
{
    if (task->job.id == NULL)
        return;
    struct task *first = job_index_find(index, task->job.id);
    task->indexed = true;
    task->same_id_prev = first;
    task->same_id_next = NULL;
    if (first == NULL) {
        enter(index, task);
        return;
    }
    task->same_id_next = first->same_id_next;
    if (task->same_id_next != NULL)
        task->same_id_next->same_id_prev = task;
    first->same_id_next = task;
}

void job_index_remove(struct job_index *index, struct task *task)
{
    if (!task->indexed)
        return;
    struct task *next = task->same_id_next;
    task->indexed = false;
    if (next != NULL)
        next->same_id_prev = task->same_id_prev;
    if (task->same_id_prev != NULL) {
        task->same_id_prev->same_id_next = next;
    } else {
        HASH_DELETE(by_id, index->first, task);
        if (next != NULL)
            enter(index, next);
    }
    task->same_id_prev = task->same_id_next = NULL;
}
