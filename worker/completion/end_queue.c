#include "completion/end_queue.h"

#include <assert.h>

#define BIT(state) (1u << (state))

/* By state: the states that may follow. */
static const unsigned moves[PUBLISH_STATES] = {
    [PUBLISH_NEW] = BIT(PUBLISH_OWED),
    [PUBLISH_OWED] = BIT(PUBLISH_SENT) | BIT(PUBLISH_DROPPED),
    [PUBLISH_SENT] = BIT(PUBLISH_DONE) | BIT(PUBLISH_INCOMPLETE) | BIT(PUBLISH_OWED) | BIT(PUBLISH_DROPPED),
    [PUBLISH_INCOMPLETE] = BIT(PUBLISH_OWED) | BIT(PUBLISH_HELD) | BIT(PUBLISH_DROPPED),
    [PUBLISH_HELD] = BIT(PUBLISH_OWED) | BIT(PUBLISH_DROPPED)};

static struct task_list *list_of(struct end_queue *queue, enum publish_state state)
{
    switch (state) {
    case PUBLISH_OWED: return &queue->owed;
    case PUBLISH_SENT:
    case PUBLISH_INCOMPLETE: return &queue->sent;
    case PUBLISH_HELD: return &queue->held;
    case PUBLISH_NEW:
    case PUBLISH_DONE:
    case PUBLISH_DROPPED:
    case PUBLISH_STATES: break;
    }
    return NULL;
}

/* Inserts by turn. Most tasks belong at the end; those that return together return from the last to the first, so that each belongs at the front. */
static void insert(struct task_list *list, struct task *task)
{
    struct task *after = list->first;
    if (list->last == NULL || list->last->end->turn < task->end->turn) {
        task_list_push(list, task);
        return;
    }
    while (after->end->turn < task->end->turn)
        after = after->next;
    task->prev = after->prev;
    task->next = after;
    *(after->prev != NULL ? &after->prev->next : &list->first) = task;
    after->prev = task;
    list->count++;
}

void end_queue_move(struct end_queue *queue, struct task *task, enum publish_state to)
{
    enum publish_state from = task->end->state;
    assert(from < PUBLISH_STATES && (moves[from] & BIT(to)) != 0);
    assert(from != PUBLISH_INCOMPLETE || to == PUBLISH_DROPPED || task->end->under_way == 0);
    struct task_list *left = list_of(queue, from), *entered = list_of(queue, to);
    task->end->state = to;
    if (left == entered)
        return;
    if (left != NULL)
        task_list_remove(left, task);
    if (entered != NULL)
        insert(entered, task);
    if (to == PUBLISH_HELD && (queue->held.count == 1 || task->end->not_before_ms < queue->due_ms))
        queue->due_ms = task->end->not_before_ms;
    if (to == PUBLISH_OWED)
        task->end->not_before_ms = 0;
    if (entered == NULL)
        task_unref(task);
}

void end_queue_put(struct end_queue *queue, struct task *task)
{
    task->end->turn = ++queue->turns;
    end_queue_move(queue, task_ref(task), PUBLISH_OWED);
}

void end_queue_again(struct end_queue *queue, struct task *task)
{
    end_queue_move(queue, task, task->end->not_before_ms > 0 ? PUBLISH_HELD : PUBLISH_OWED);
}

bool end_queue_goes_apart(const struct end_queue *queue)
{
    return (queue->sent.first != NULL && queue->sent.first->end->apart) || (queue->owed.first != NULL && queue->owed.first->end->apart);
}

struct task *end_queue_next(const struct end_queue *queue)
{
    return end_queue_goes_apart(queue) && queue->sent.first != NULL ? NULL : queue->owed.first;
}

void end_queue_release(struct end_queue *queue, int64_t now_ms)
{
    if (queue->held.first == NULL || now_ms < queue->due_ms)
        return;
    int64_t due_ms = INT64_MAX;
    for (struct task *task = queue->held.last, *before; task != NULL; task = before) {
        before = task->prev;
        if (task->end->not_before_ms <= now_ms)
            end_queue_move(queue, task, PUBLISH_OWED);
        else if (task->end->not_before_ms < due_ms)
            due_ms = task->end->not_before_ms;
    }
    queue->due_ms = due_ms;
}

static size_t drop_of(struct end_queue *queue, struct task_list *list, bool (*goes)(const struct task *task))
{
    size_t count = list->count;
    for (struct task *task = list->first, *after; task != NULL; task = after) {
        after = task->next;
        if (goes == NULL || goes(task))
            end_queue_move(queue, task, PUBLISH_DROPPED);
    }
    return count - list->count;
}

size_t end_queue_drop(struct end_queue *queue, bool (*goes)(const struct task *task))
{
    size_t gone = drop_of(queue, &queue->owed, goes);
    gone += drop_of(queue, &queue->sent, goes);
    return gone + drop_of(queue, &queue->held, goes);
}

void end_queue_drop_waiting(struct end_queue *queue)
{
    (void)drop_of(queue, &queue->owed, NULL);
    (void)drop_of(queue, &queue->held, NULL);
}

size_t end_queue_count(const struct end_queue *queue)
{
    return queue->owed.count + queue->sent.count + queue->held.count;
}
