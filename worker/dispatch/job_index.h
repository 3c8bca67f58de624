/* The tasks that are alive, by their job's id: several may have the same. Pure; the caller locks. Holds no reference: a
 * task is removed before it is freed. */
#ifndef CHAT_DISPATCH_JOB_INDEX_H
#define CHAT_DISPATCH_JOB_INDEX_H

#include "dispatch/dispatch_entry.h"

/* All zero is empty. */
struct job_index {
    struct dispatch_entry *first; /* a hash table of the first entry of each id */
};

/* A task without an id isn't added. */
void job_index_add(struct job_index *index, struct task *task);
/* Does nothing if the task isn't in the index. */
void job_index_remove(struct job_index *index, struct task *task);
/* The first of this id, the others by their entries' same_id_next; NULL: none. */
struct task *job_index_find(const struct job_index *index, const char *id);

#endif
