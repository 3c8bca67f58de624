/* Tasks by a key, the smallest first: a binary heap. Pure; the caller locks. A task is in one heap at a time. The key is stored beside
 * the pointer, so that comparing reads no task. All zero is empty. */
#ifndef CHAT_DISPATCH_TASK_HEAP_H
#define CHAT_DISPATCH_TASK_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct task;

struct task_key {
    int64_t first;
    uint64_t then; /* decides between equal values */
};

bool task_key_before(struct task_key a, struct task_key b);

struct task_heap {
    struct task_heap_item {
        struct task_key key;
        struct task *task;
    } *items;
    size_t count;
    size_t capacity;
};

void task_heap_finish(struct task_heap *heap); /* must be empty */
/* O(log n); O(1) for a key that sorts last. */
void task_heap_push(struct task_heap *heap, struct task *task, struct task_key key);
struct task *task_heap_peek(const struct task_heap *heap); /* NULL: empty */
struct task_key task_heap_key(const struct task_heap *heap, const struct task *task); /* is in it */
/* Changes to a smaller key, or the same. Only tasks before it in items are moved. */
void task_heap_hasten(struct task_heap *heap, struct task *task, struct task_key key);
void task_heap_remove(struct task_heap *heap, struct task *task);

#endif
