#include "completion/waiting_ends.h"

bool waiting_ends_are_due(const struct waiting_ends *ends)
{
    return ends->urgent || ends->left_over || ends->list.count >= ENDS_MAX || ends->bytes >= ENDS_BYTES;
}

bool waiting_ends_put(struct waiting_ends *ends, struct task *task, bool urgent)
{
    bool before = waiting_ends_are_due(ends);
    task_list_push(&ends->list, task);
    ends->bytes += task->end_bytes;
    ends->urgent = ends->urgent || urgent;
    return !before && waiting_ends_are_due(ends);
}

size_t waiting_ends_take(struct waiting_ends *ends, struct task **batch, size_t n, size_t bytes)
{
    for (; n < ENDS_MAX && bytes < ENDS_BYTES && ends->list.count > 0; n++) {
        batch[n] = task_list_pop(&ends->list);
        bytes += batch[n]->end_bytes;
        ends->bytes -= batch[n]->end_bytes;
    }
    ends->left_over = ends->list.count > 0;
    ends->urgent = ends->urgent && ends->left_over;
    return n;
}
