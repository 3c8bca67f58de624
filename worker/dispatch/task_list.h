/* A first-in-first-out list of tasks, linked by their `prev` and `next`: a task is in one list at a time. No lock, no reference of
 * its own: whoever owns the list owns what is in it. All zero is empty. */
#ifndef CHAT_DISPATCH_TASK_LIST_H
#define CHAT_DISPATCH_TASK_LIST_H

#include "dispatch/task.h"

struct task_list {
    struct task *first;
    struct task *last;
    size_t count;
};

void task_list_push(struct task_list *list, struct task *task);
void task_list_push_front(struct task_list *list, struct task *task);
struct task *task_list_pop(struct task_list *list); /* NULL: empty */
void task_list_remove(struct task_list *list, struct task *task); /* is in it */
/* Moves those of the partition (NULL: all) behind what is in *to; the others stay in order. */
void task_list_extract(struct task_list *from, const struct partition *partition, struct task_list *to);
/* NULL: not in it. */
const struct task *task_list_find(const struct task_list *list, const struct partition *partition, int64_t offset);

#endif
