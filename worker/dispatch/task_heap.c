#include "dispatch/task_heap.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "dispatch/dispatch_entry.h"

bool task_key_before(struct task_key a, struct task_key b)
{
    return a.first != b.first ? a.first < b.first : a.then < b.then;
}

static void place(struct task_heap *heap, size_t index, struct task_heap_item item)
{
    heap->items[index] = item;
    item.task->entry->heap_index = index;
}

static void sift_up(struct task_heap *heap, size_t index, struct task_heap_item item)
{
    while (index > 0 && task_key_before(item.key, heap->items[(index - 1) / 2].key)) {
        place(heap, index, heap->items[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(heap, index, item);
}

static void sift_down(struct task_heap *heap, size_t index, struct task_heap_item item)
{
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && task_key_before(heap->items[child + 1].key, heap->items[child].key))
            child++;
        if (!task_key_before(heap->items[child].key, item.key))
            break;
        place(heap, index, heap->items[child]);
        index = child;
    }
    place(heap, index, item);
}

void task_heap_finish(struct task_heap *heap)
{
    assert(heap->count == 0);
    free(heap->items);
    *heap = (struct task_heap){0};
}

void task_heap_push(struct task_heap *heap, struct task *task, struct task_key key)
{
    heap->items = xgrow(heap->items, &heap->capacity, heap->count + 1, sizeof *heap->items);
    sift_up(heap, heap->count++, (struct task_heap_item){key, task});
}

struct task *task_heap_peek(const struct task_heap *heap)
{
    return heap->count > 0 ? heap->items[0].task : NULL;
}

static bool has(const struct task_heap *heap, const struct task *task)
{
    return task->entry->heap_index < heap->count && heap->items[task->entry->heap_index].task == task;
}

struct task_key task_heap_key(const struct task_heap *heap, const struct task *task)
{
    assert(has(heap, task));
    return heap->items[task->entry->heap_index].key;
}

void task_heap_hasten(struct task_heap *heap, struct task *task, struct task_key key)
{
    assert(has(heap, task) && !task_key_before(heap->items[task->entry->heap_index].key, key));
    sift_up(heap, task->entry->heap_index, (struct task_heap_item){key, task});
}

void task_heap_remove(struct task_heap *heap, struct task *task)
{
    size_t index = task->entry->heap_index;
    assert(has(heap, task));
    struct task_heap_item last = heap->items[--heap->count];
    if (last.task == task)
        return;
    if (index > 0 && task_key_before(last.key, heap->items[(index - 1) / 2].key))
        sift_up(heap, index, last);
    else
        sift_down(heap, index, last);
}
