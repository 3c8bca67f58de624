/* A first-in-first-out list of tasks, linked by their `prev` and `next`: a task is in one list at a time. No lock, no reference of
 * its own: the list's owner owns the tasks in it. All zero is empty. */
#ifndef CHAT_TASK_TASK_LIST_H
#define CHAT_TASK_TASK_LIST_H

#include "task/task.h"

struct task_list {
    struct task *first;
    struct task *last;
    size_t count;
};

void task_list_push(struct task_list *list, struct task *task);
void task_list_push_front(struct task_list *list, struct task *task);
struct task *task_list_pop(struct task_list *list); /* NULL: empty */
void task_list_remove(struct task_list *list, struct task *task); /* is in it */

#endif
