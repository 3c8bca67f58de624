#include "dispatch/start_order.h"

#include <stdint.h>

#include "dispatch/dispatch_entry.h"

void start_order_finish(struct start_order *order)
{
    for (int class = 0; class < ADMISSION_CLASSES; class++)
        task_heap_finish(&order->classes[class]);
}

/* 2 to 3b: the smaller key goes first. */
static struct task_key key_of(enum start_rule rule, const struct task *task)
{
    if (task->rated.waits) /* its permit is due */
        return (struct task_key){0, task->entry->age};
    if (rule == START_OLDEST)
        return (struct task_key){1, task->entry->age};
    return task->entry->last_start == 0 ? (struct task_key){1, UINT64_MAX - task->entry->age} : (struct task_key){2, task->entry->last_start};
}

void start_order_put(struct start_order *order, struct task *task)
{
    task_heap_push(&order->classes[task->entry->class], task, key_of(order->rule, task));
}

void start_order_remove(struct start_order *order, struct task *task)
{
    task_heap_remove(&order->classes[task->entry->class], task);
}

struct task *start_order_first(const struct start_order *order)
{
    for (int class = 0; class < ADMISSION_CLASSES; class++)
        if (order->classes[class].count > 0)
            return task_heap_peek(&order->classes[class]);
    return NULL;
}

struct task *start_order_admissible(const struct start_order *order, const struct admission *admission)
{
    struct task *first = start_order_first(order);
    return first != NULL && admission_allows(admission, first->entry->class) ? first : NULL;
}

bool start_order_is_before(const struct start_order *order, const struct task *task)
{
    const struct task *first = start_order_first(order);
    if (first == NULL)
        return true;
    if (first->entry->class != task->entry->class)
        return task->entry->class < first->entry->class;
    return task_key_before(key_of(order->rule, task), task_heap_key(&order->classes[first->entry->class], first));
}

size_t start_order_suspects(const struct start_order *order)
{
    return order->classes[ADMIT_FEW].count + order->classes[ADMIT_ALONE].count;
}

bool start_order_has_bounded(const struct start_order *order)
{
    return order->classes[ADMIT_FREE].count + start_order_suspects(order) > 0;
}

/* By the present classes and keys. */
static void sort_anew(struct start_order *order, struct task_heap *heap)
{
    size_t count = heap->count;
    heap->count = 0;
    for (size_t i = 0; i < count; i++) /* item i is read before a place up to i is written */
        start_order_put(order, heap->items[i].task);
}

void start_order_follow(struct start_order *order, enum start_rule rule)
{
    if (order->rule == rule)
        return;
    order->rule = rule;
    for (int class = 0; class < ADMISSION_CLASSES; class++)
        sort_anew(order, &order->classes[class]);
}

static bool is_expired(const struct task *task, int64_t now_ms)
{
    return task_until_ms(task, INT64_MAX / 4) <= now_ms;
}

void start_order_expire(struct start_order *order, int64_t now_ms)
{
    for (int class = ADMIT_EXPIRED + 1; class < ADMISSION_CLASSES; class++) {
        struct task_heap *heap = &order->classes[class];
        bool any = false;
        for (size_t i = 0; i < heap->count; i++) {
            struct task *task = heap->items[i].task;
            if (!is_expired(task, now_ms))
                continue;
            task->entry->class = ADMIT_EXPIRED;
            any = true;
        }
        if (any)
            sort_anew(order, heap);
    }
}
