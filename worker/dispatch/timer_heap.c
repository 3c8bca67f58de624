#include "dispatch/timer_heap.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"

static bool before(const struct task *a, const struct task *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->wait_seq < b->wait_seq;
}

static void place(struct timer_heap *heap, size_t index, struct task *task)
{
    heap->items[index] = task;
    task->heap_index = index;
}

static void sift_up(struct timer_heap *heap, size_t index, struct task *task)
{
    while (index > 0 && before(task, heap->items[(index - 1) / 2])) {
        place(heap, index, heap->items[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(heap, index, task);
}

static void sift_down(struct timer_heap *heap, size_t index, struct task *task)
{
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && before(heap->items[child + 1], heap->items[child]))
            child++;
        if (!before(heap->items[child], task))
            break;
        place(heap, index, heap->items[child]);
        index = child;
    }
    place(heap, index, task);
}

void timer_heap_finish(struct timer_heap *heap)
{
    assert(heap->count == 0);
    free(heap->items);
    *heap = (struct timer_heap){0};
}

void timer_heap_push(struct timer_heap *heap, struct task *task, int64_t due_ms)
{
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity ? heap->capacity * 2 : 64;
        heap->items = xrealloc(heap->items, heap->capacity * sizeof(struct task *));
    }
    task->due_ms = due_ms;
    task->wait_seq = heap->seq++;
    sift_up(heap, heap->count++, task);
}

struct task *timer_heap_peek(const struct timer_heap *heap)
{
    return heap->count > 0 ? heap->items[0] : NULL;
}

void timer_heap_hasten(struct timer_heap *heap, struct task *task, int64_t due_ms)
{
    assert(due_ms <= task->due_ms && heap->items[task->heap_index] == task);
    task->due_ms = due_ms;
    sift_up(heap, task->heap_index, task);
}

void timer_heap_remove(struct timer_heap *heap, struct task *task)
{
    size_t index = task->heap_index;
    assert(index < heap->count && heap->items[index] == task);
    struct task *last = heap->items[--heap->count];
    if (last == task)
        return;
    if (index > 0 && before(last, heap->items[(index - 1) / 2]))
        sift_up(heap, index, last);
    else
        sift_down(heap, index, last);
}
