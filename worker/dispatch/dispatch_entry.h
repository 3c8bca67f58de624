/* The dispatcher's part of a task: its entry in the dispatcher's tables. Made by dispatcher_add and freed by dispatcher_end; NULL
 * before and after.
 *
 * Written by dispatch/ alone, under the dispatcher's lock. The task's holder may read two members without it while the task is
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
    enum admission_class class; /* which bounds apply; changes only while the task isn't under way */
    struct task *successor;     /* owned: the next task of the lane, to be begun with this one's finish */
    struct lane *lane;          /* set by lanes.c; NULL: unordered, or out of its lane */
    uint64_t age;               /* number of tasks added before: the smaller the older */
    uint64_t last_start;        /* number of starts at its own last one; 0: never started */
    int64_t due_ms;             /* clock_mono_ms; while it is parked */
    size_t heap_index;          /* in the heap that contains it */
    struct task *same_assignment_prev, *same_assignment_next; /* waiting_tasks' */
    struct task *task;          /* the task that has this entry; this and the rest: job_index.c's */
    UT_hash_handle by_id;
    struct task *same_id_prev, *same_id_next;
    bool indexed;
};

/* State NEW, class free. */
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
