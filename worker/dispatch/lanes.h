/* Lanes: jobs that are done strictly in turn. A lane is (topic, partition, session or key), with worker.ordering = partition (topic,
 * partition); it exists while it holds a task. Its head keeps it through begins, retries and waits, until it leaves; the others wait
 * behind it in the order of arrival. Pure; the dispatcher locks. Holds no reference.
 *
 * The lane in a task's entry is set here alone. */
#ifndef CHAT_DISPATCH_LANES_H
#define CHAT_DISPATCH_LANES_H

#include "settings/settings.h"
#include "task/task_list.h"

struct lane;

/* All zero except ordering is empty. */
struct lanes {
    enum ordering ordering;
    struct lane *first; /* a hash table */
};

/* Sets the task's lane; the task becomes head of a new lane. Without session and key, and with ordering = none, it has no
 * lane. True: another task is the head. */
bool lanes_enter(struct lanes *lanes, struct task *task);
bool lanes_is_head(const struct task *task); /* or has no lane */
struct task *lanes_next(const struct task *task); /* the first task behind this head; NULL: none, or it has no lane */

/* A task that isn't the head is put behind all others, or in front of them, where it was taken from. */
void lanes_line_up(struct task *task);
void lanes_line_up_first(struct task *task);
void lanes_step_out(struct task *task); /* removes it from those behind; the lane stays set */
void lanes_forget(struct task *task);   /* a task that isn't the head and was stepped out: no lane any more */

/* The head leaves and has no lane any more: next becomes the head; the caller steps it out if it waits behind. */
void lanes_pass(struct task *head, struct task *next);
/* The head leaves, with no task behind it: frees the lane. Does nothing without a lane. */
void lanes_close(struct lanes *lanes, struct task *head);

#endif
