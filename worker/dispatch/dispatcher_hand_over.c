#include "dispatch/dispatcher_hand_over.h"

#include <assert.h>

#include "dispatch/dispatcher_locked.h"

/* May the lane's next job be begun together with its predecessor's finish? By the rule for any start: no job in line is before it. */
static bool may_start_ahead_locked(struct dispatcher *d, const struct task *next)
{
    return d->batched && !d->closed && admission_is_free(&d->places.admission) && !dispatcher_ends_hold_locked(d) && start_order_is_before(&d->places.line, next);
}

/* Every job before `next` gets a thread, even if this thread goes on with its own lane. */
static bool is_spare_locked(const struct dispatcher *d, const struct task *next)
{
    return d->sleepers.count >= d->places.count[TASK_BEGINNING] && start_order_is_before(&d->places.ready, next);
}

bool dispatcher_hand_over_begin(struct dispatcher *d, struct task *task, bool own_thread)
{
    assert(task->entry->successor == NULL);
    mutex_lock(&d->lock);
    struct task *next = lanes_next(task);
    if (next != NULL && may_start_ahead_locked(d, next) && (own_thread ? is_spare_locked(d, next) : dispatcher_room_ahead_locked(d) > 0)) {
        task_become(&d->places, next, TASK_AHEAD);
        task->entry->successor = next;
    }
    mutex_unlock(&d->lock);
    return task->entry->successor != NULL;
}

static enum handed_over give_back_locked(struct dispatcher *d, struct task *next)
{
    if (!dispatcher_is_cancelled(next)) {
        task_become(&d->places, next, TASK_BEHIND);
        return HANDED_OVER;
    }
    lanes_forget(next);
    task_become(&d->places, next, TASK_LEAVING);
    return HANDED_TO_END;
}

static enum handed_over pass_on_locked(struct dispatcher *d, struct task *task, struct task *next, bool own_thread)
{
    lanes_pass(task, next);
    if (task->entry->state != TASK_LEAVING) /* it is, for one that was cancelled */
        task_become(&d->places, task, TASK_LEAVING);
    if (dispatcher_is_to_run(next) && !(own_thread && !d->closed)) {
        dispatcher_offer_locked(d, next);
        return HANDED_OVER;
    }
    task_become(&d->places, next, TASK_RUNNING);
    return dispatcher_is_to_run(next) ? HANDED_TO_RUN : HANDED_TO_END;
}

enum handed_over dispatcher_hand_over_end(struct dispatcher *d, struct task *task, enum hand_over how, struct task **ret_successor)
{
    struct task *next = task->entry->successor;
    if (next == NULL)
        return HANDED_OVER;
    mutex_lock(&d->lock);
    task->entry->successor = NULL;
    enum handed_over handed = how == HAND_OVER_BACK ? give_back_locked(d, next) : pass_on_locked(d, task, next, how == HAND_OVER_OWN_THREAD);
    mutex_unlock(&d->lock);
    if (handed != HANDED_OVER)
        *ret_successor = next;
    return handed;
}
