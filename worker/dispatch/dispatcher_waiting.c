#include "dispatch/dispatcher_waiting.h"

#include <stdio.h>

#include "dispatch/dispatcher_locked.h"
#include "task/task_list.h"

/* In two passes: first the tasks behind another in their lane, so that no head passes its lane to a task that leaves as well. */
static void remove_assignment_locked(struct dispatcher *d, const struct partition *partition, struct task_list *gone)
{
    struct task *after;
    for (struct task *task = waiting_tasks_first(&d->places.waiting, partition); task != NULL; task = after, d->looked++) {
        after = task->entry->same_assignment_next;
        if (task->entry->state != TASK_BEHIND)
            continue;
        task_become(&d->places, task, TASK_LEAVING);
        lanes_forget(task);
        task_list_push(gone, task);
    }
    for (struct task *task; (task = waiting_tasks_first(&d->places.waiting, partition)) != NULL; d->looked++) {
        task_become(&d->places, task, TASK_LEAVING);
        dispatcher_leave_lane_locked(d, task); /* perhaps to a task of the partition's next assignment */
        task_list_push(gone, task);
    }
}

struct task *dispatcher_remove_waiting(struct dispatcher *d, const struct partition *partition)
{
    struct task_list gone = {0};
    mutex_lock(&d->lock);
    if (partition != NULL)
        remove_assignment_locked(d, partition, &gone);
    while (partition == NULL && d->places.waiting.assignments != NULL)
        remove_assignment_locked(d, d->places.waiting.assignments, &gone);
    if (gone.count > 0)
        dispatcher_pump_locked(d);
    mutex_unlock(&d->lock);
    return gone.first;
}

struct task *dispatcher_cancel(struct dispatcher *d, const char *job_id, int64_t now_ms, bool *ret_elsewhere)
{
    struct task_list gone = {0};
    *ret_elsewhere = false;
    mutex_lock(&d->lock);
    cancelled_ids_add(&d->cancelled, job_id, now_ms);
    for (struct task *task = job_index_find(&d->jobs, job_id); task != NULL; task = task->entry->same_id_next) {
        dispatcher_flag_locked(task, now_ms);
        if (!task_state_waits(task->entry->state)) {
            *ret_elsewhere = true;
            continue;
        }
        task_become(&d->places, task, TASK_LEAVING);
        if (!lanes_is_head(task))
            lanes_forget(task); /* the lane's head passes it to the next task */
        task_list_push(&gone, task);
    }
    dispatcher_pump_locked(d);
    mutex_unlock(&d->lock);
    return gone.first;
}

static enum task_place place_of(const struct task *task)
{
    switch (task->entry->state) {
    case TASK_BEHIND: return PLACE_LANE;
    case TASK_IN_LINE: return task->entry->class == ADMIT_FEW || task->entry->class == ADMIT_ALONE ? PLACE_SUSPECT : PLACE_LINE;
    case TASK_READY: return PLACE_READY;
    case TASK_PARKED: return PLACE_TIMER;
    default: return PLACE_ENDING;
    }
}

enum task_place dispatcher_find(struct dispatcher *d, const struct partition *partition, int64_t offset, char *job, size_t size)
{
    mutex_lock(&d->lock);
    const struct task *task = waiting_tasks_first(&d->places.waiting, partition);
    for (; task != NULL && task->record.offset != offset; task = task->entry->same_assignment_next)
        d->looked++;
    d->looked += task != NULL;
    enum task_place place = task != NULL ? place_of(task) : PLACE_ENDING;
    snprintf(job, size, "%s", task != NULL && task->job.id != NULL ? task->job.id : "");
    mutex_unlock(&d->lock);
    return place;
}

uint64_t dispatcher_looked(struct dispatcher *d)
{
    mutex_lock(&d->lock);
    uint64_t looked = d->looked;
    mutex_unlock(&d->lock);
    return looked;
}
