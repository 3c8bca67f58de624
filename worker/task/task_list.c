#include "task/task_list.h"

#include <stddef.h>

void task_list_push(struct task_list *list, struct task *task)
{
    task->prev = list->last;
    task->next = NULL;
    *(list->last != NULL ? &list->last->next : &list->first) = task;
    list->last = task;
    list->count++;
}

void task_list_push_front(struct task_list *list, struct task *task)
{
    task->prev = NULL;
    task->next = list->first;
    *(list->first != NULL ? &list->first->prev : &list->last) = task;
    list->first = task;
    list->count++;
}

struct task *task_list_pop(struct task_list *list)
{
    struct task *task = list->first;
    if (task != NULL)
        task_list_remove(list, task);
    return task;
}

void task_list_remove(struct task_list *list, struct task *task)
{
    *(task->prev != NULL ? &task->prev->next : &list->first) = task->next;
    *(task->next != NULL ? &task->next->prev : &list->last) = task->prev;
    task->prev = task->next = NULL;
    list->count--;
}
