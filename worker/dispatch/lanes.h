/* Lanes: what is done strictly in turn. A lane is (topic, partition, session or key), with worker.ordering = partition (topic,
 * partition); it exists while it holds a task. Its head keeps it through begins, retries and waits, until it leaves; the others stand
 * behind it in the order they came. Pure; the dispatcher locks. Holds no reference.
 *
 * The lane in a task's entry is set here alone. */
#ifndef CHAT_DISPATCH_LANES_H
#define CHAT_DISPATCH_LANES_H

#include "settings/settings.h"
#include "task/task_list.h"

struct lane;

/* Zero but for the ordering is empty. */
struct lanes {
    enum ordering ordering;
    struct lane *first; /* a hash table */
};

/* The task's lane becomes known, and it the head where there is none. Without session and key, and with ordering = none, it has no
 * lane. True: another is the head. */
bool lanes_enter(struct lanes *lanes, struct task *task);
bool lanes_is_head(const struct task *task); /* or has no lane */
struct task *lanes_next(const struct task *task); /* the first behind it, whose lane it has; NULL: none, or it has no lane */

/* Where one that isn't the head stands: behind all others, or in front of them, where it was taken from. */
void lanes_line_up(struct task *task);
void lanes_line_up_first(struct task *task);
void lanes_step_out(struct task *task); /* from among them; it is of the lane still */
void lanes_forget(struct task *task);   /* one that isn't the head and doesn't stand behind it: of no lane any more */

/* The head leaves, and is of no lane any more: this one of its lane is the head, and is to step out where it stands behind. */
void lanes_pass(struct task *head, struct task *next);
/* The head leaves, and nobody is behind it: so does the lane. One without a lane: nothing happens. */
void lanes_close(struct lanes *lanes, struct task *head);

#endif
