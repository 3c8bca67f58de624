#include "dispatch/task_places.h"

#include <assert.h>

#include "telemetry/held_back.h"

void task_places_init(struct task_places *places, enum ordering ordering, size_t threads)
{
    *places = (struct task_places){.lanes.ordering = ordering};
    admission_init(&places->admission, threads);
}

void task_places_finish(struct task_places *places)
{
    assert(places->lanes.first == NULL && places->waiting.assignments == NULL);
    start_order_finish(&places->line);
    start_order_finish(&places->ready);
    task_heap_finish(&places->timers);
}

static void count_rated(const struct task *task, int by)
{
    if (task->rated.waits)
        held_back_add(HELD_BACK_RATE, task->rated.provider, by);
}

static void leave_place(struct task_places *places, struct task *task)
{
    switch (task->entry->state) {
    case TASK_BEHIND:
        lanes_step_out(task);
        atomic_fetch_sub(&task->partition->behind, 1);
        break;
    case TASK_IN_LINE: start_order_remove(&places->line, task); break;
    case TASK_READY: start_order_remove(&places->ready, task); break;
    case TASK_PARKED:
        task_heap_remove(&places->timers, task);
        count_rated(task, -1);
        break;
    default: break; /* not in the dispatcher */
    }
}

static void take_place(struct task_places *places, struct task *task, enum task_state from)
{
    switch (task->entry->state) {
    case TASK_BEHIND:
        (from == TASK_NEW ? lanes_line_up : lanes_line_up_first)(task);
        atomic_fetch_add(&task->partition->behind, 1);
        break;
    case TASK_IN_LINE: start_order_put(&places->line, task); break;
    case TASK_READY: start_order_put(&places->ready, task); break;
    case TASK_PARKED:
        task_heap_push(&places->timers, task, (struct task_key){task->entry->due_ms, task->entry->age});
        count_rated(task, 1);
        break;
    default: break;
    }
}

/* Do lane, class and outcome fit the state? */
static bool fits(const struct task *task)
{
    switch (task->entry->state) {
    case TASK_BEHIND: return !lanes_is_head(task) && task->outcome == OUTCOME_NONE;
    case TASK_AHEAD: return !lanes_is_head(task) && task->outcome == OUTCOME_NONE;
    case TASK_IN_LINE:
    case TASK_BEGINNING:
    case TASK_READY: return lanes_is_head(task) && task->outcome == OUTCOME_NONE;
    case TASK_RUNNING: return lanes_is_head(task);
    case TASK_PARKED:
        return lanes_is_head(task) && task->entry->successor == NULL &&
               (task->outcome == OUTCOME_NONE || task->outcome == OUTCOME_RETRY || task->outcome == OUTCOME_WAIT);
    case TASK_ENDED: return task->entry->lane == NULL && task->entry->successor == NULL;
    case TASK_NEW:
    case TASK_LEAVING:
    case TASK_STATES: break;
    }
    return true;
}

void task_become_of_class(struct task_places *places, struct task *task, enum task_state to, enum admission_class class)
{
    struct dispatch_entry *entry = task->entry;
    enum task_state from = entry->state;
    bool was_started = task_state_is_started(from), is_started = task_state_is_started(to);
    assert(task_state_may_become(from, to) && (class == entry->class || !was_started || !is_started));
    leave_place(places, task);
    places->count[from] -= from != TASK_NEW;
    places->admission.running[entry->class] -= was_started;
    entry->state = to;
    entry->class = class;
    places->count[to] += to != TASK_ENDED;
    places->admission.running[class] += is_started;
    if (is_started && !was_started)
        entry->last_start = ++places->starts;
    if (to == TASK_BEHIND || to == TASK_IN_LINE)
        task->outcome = OUTCOME_NONE; /* a new attempt */
    if (task_state_waits(from) && !task_state_waits(to))
        waiting_tasks_remove(&places->waiting, task);
    else if (!task_state_waits(from) && task_state_waits(to))
        waiting_tasks_add(&places->waiting, task);
    take_place(places, task, from);
    assert(fits(task));
}

void task_become(struct task_places *places, struct task *task, enum task_state to)
{
    task_become_of_class(places, task, to, task->entry->class);
}
