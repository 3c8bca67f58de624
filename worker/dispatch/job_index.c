#include "dispatch/job_index.h"

#include <stddef.h>
#include <string.h>

/* The first task of an id is in the table; the others are linked behind it, and the next one replaces it. */
static void enter(struct job_index *index, struct task *task)
{
    HASH_ADD_KEYPTR(by_id, index->first, task->job.id, (unsigned)strlen(task->job.id), task->entry);
}

struct task *job_index_find(const struct job_index *index, const char *id)
{
    struct dispatch_entry *found = NULL;
    HASH_FIND(by_id, index->first, id, (unsigned)strlen(id), found);
    return found != NULL ? found->task : NULL;
}

void job_index_add(struct job_index *index, struct task *task)
{
    struct dispatch_entry *entry = task->entry;
    if (task->job.id == NULL)
        return;
    struct task *first = job_index_find(index, task->job.id);
    entry->indexed = true;
    entry->same_id_prev = first;
    if (first == NULL) {
        enter(index, task);
        return;
    }
    entry->same_id_next = first->entry->same_id_next;
    if (entry->same_id_next != NULL)
        entry->same_id_next->entry->same_id_prev = task;
    first->entry->same_id_next = task;
}

void job_index_remove(struct job_index *index, struct task *task)
{
    struct dispatch_entry *entry = task->entry;
    struct task *next = entry->same_id_next;
    if (!entry->indexed)
        return;
    entry->indexed = false;
    if (next != NULL)
        next->entry->same_id_prev = entry->same_id_prev;
    if (entry->same_id_prev != NULL) {
        entry->same_id_prev->entry->same_id_next = next;
    } else {
        HASH_DELETE(by_id, index->first, entry);
        if (next != NULL)
            enter(index, next);
    }
    entry->same_id_prev = entry->same_id_next = NULL;
}
