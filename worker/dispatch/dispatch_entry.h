/* The dispatcher's part of a task: its entry in the dispatcher's tables. Made by dispatcher_add and freed by dispatcher_end; NULL
 * before and after.
 *
 * Written by dispatch/ alone, under the dispatcher's lock. Two members may be read without it by whoever holds the task while it is
 * under way: class, which doesn't change then, and successor, from dispatcher_hand_over_begin to dispatcher_hand_over_end. */
#ifndef CHAT_DISPATCH_DISPATCH_ENTRY_H
#define CHAT_DISPATCH_DISPATCH_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "dispatch/admission.h"
#include "dispatch/task_state.h"
#include "task/task.h"
#include "task/task_part.h"

struct lane;

struct dispatch_entry {
    enum task_state state;
    enum admission_class class; /* how it is bounded; changes only while it isn't under way */
    struct task *successor;     /* owned: the next of its lane, to be begun with this one's finish */
    struct lane *lane;          /* lanes'; NULL: unordered, or of none any more */
    uint64_t age;               /* the count of those added when it was: the smaller the older */
    uint64_t last_start;        /* the same of starts; 0: it was never started */
    int64_t due_ms;             /* clock_mono_ms; while it is parked */
    size_t heap_index;          /* of the heap that it is in */
    struct task *same_assignment_prev, *same_assignment_next; /* waiting_tasks' */
    struct task *task;          /* whose entry it is: job_index's, as the rest */
    UT_hash_handle by_id;
    struct task *same_id_prev, *same_id_next;
    bool indexed;
};

/* NEW and free, as it is added. */
static inline void dispatch_entry_make(struct task *task)
{
    task->entry = task_part_make(sizeof *task->entry);
    task->entry->task = task;
    task->entry->class = ADMIT_FREE;
}

static inline void dispatch_entry_free(struct task *task)
{
    task_part_free(task->entry);
    task->entry = NULL;
}

#endif
