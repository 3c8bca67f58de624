/* Tasks that wait for a time: a binary heap by due_ms, then by the order they came. Pure; the caller
 * locks. A task is in it at most once. */
#ifndef CHAT_DISPATCH_TIMER_HEAP_H
#define CHAT_DISPATCH_TIMER_HEAP_H

#include "dispatch/task.h"

struct timer_heap {
    struct task **items;
    size_t count;
    size_t capacity;
    uint64_t seq;
};

void timer_heap_finish(struct timer_heap *heap); /* must be empty */
void timer_heap_push(struct timer_heap *heap, struct task *task, int64_t due_ms);
struct task *timer_heap_peek(const struct timer_heap *heap); /* NULL: empty */
/* To an earlier time; among those of the same time it keeps its turn. Those before it in items are moved about, no others. */
void timer_heap_hasten(struct timer_heap *heap, struct task *task, int64_t due_ms);
void timer_heap_remove(struct timer_heap *heap, struct task *task);

#endif
