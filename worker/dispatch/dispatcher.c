#include "dispatch/dispatcher.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "dispatch/dispatcher_locked.h"
#include "telemetry/held_back.h"
#include "telemetry/metrics.h"

#define ENDS_LOOK_MS 10 /* how often jobs_ended_bytes is checked while it keeps jobs from starting */

struct dispatcher *dispatcher_create(enum ordering ordering, enum redis_io redis_io, int threads)
{
    struct dispatcher *d = xcalloc(1, sizeof *d);
    d->batched = redis_io == REDIS_IO_BATCHED;
    d->now_ms = clock_mono_ms;
    /* Enough to begin in batches, few enough that a claim doesn't wait long for its thread. */
    d->ahead_max = (size_t)threads / 8 + 4;
    if (d->ahead_max > 256)
        d->ahead_max = 256;
    task_places_init(&d->places, ordering, (size_t)threads);
    sleepers_init(&d->sleepers, (size_t)threads);
    mutex_init(&d->lock);
    cond_init(&d->begin_wake);
    cond_init(&d->timer_wake);
    return d;
}

void dispatcher_bound_ends(struct dispatcher *d, int64_t bytes)
{
    d->ended_bytes_max = bytes;
}

void dispatcher_use_clock(struct dispatcher *d, int64_t (*now_ms)(void))
{
    d->now_ms = now_ms;
}

void dispatcher_destroy(struct dispatcher *d)
{
    if (d == NULL)
        return;
    task_places_finish(&d->places);
    cancelled_ids_finish(&d->cancelled);
    cond_destroy(&d->begin_wake);
    cond_destroy(&d->timer_wake);
    mutex_destroy(&d->lock);
    sleepers_finish(&d->sleepers);
    free(d);
}

/* ---- which jobs may start ---- */

bool dispatcher_ends_hold_locked(struct dispatcher *d)
{
    bool hold = d->ended_bytes_max > 0 && metric_get(METRIC_jobs_ended_bytes) >= d->ended_bytes_max;
    d->ends_held = d->ends_held || hold;
    return hold;
}

bool dispatcher_waits_for_ends(struct dispatcher *d)
{
    mutex_lock(&d->lock);
    bool waits = dispatcher_ends_hold_locked(d);
    mutex_unlock(&d->lock);
    return waits;
}

static struct task *admissible_locked(struct dispatcher *d)
{
    return dispatcher_ends_hold_locked(d) ? NULL : start_order_admissible(&d->places.line, &d->places.admission);
}

/* How many jobs are begun, or being begun, and have no thread yet. Bounded, since each holds its session's history in memory. */
static size_t begun_ahead_locked(const struct dispatcher *d)
{
    return d->places.count[TASK_READY] + d->places.count[TASK_BEGINNING] + d->places.count[TASK_AHEAD];
}

size_t dispatcher_room_ahead_locked(const struct dispatcher *d)
{
    size_t room = d->sleepers.count + d->ahead_max, begun = begun_ahead_locked(d);
    return room > begun ? room - begun : 0;
}

static bool begin_worthwhile_locked(struct dispatcher *d)
{
    if (d->closed || admissible_locked(d) == NULL)
        return false;
    size_t begun = begun_ahead_locked(d);
    return begun < d->sleepers.count || begun <= d->ahead_max / 2;
}

void dispatcher_offer_locked(struct dispatcher *d, struct task *task)
{
    bool given = !d->closed && d->sleepers.count > 0;
    task_become(&d->places, task, given ? TASK_RUNNING : TASK_READY);
    if (given)
        sleepers_give(&d->sleepers, task);
}

void dispatcher_pump_locked(struct dispatcher *d)
{
    held_back_set(HELD_BACK_SUSPECTS, HELD_BACK_NO_PROVIDER,
                  (int64_t)(start_order_suspects(&d->places.line) + d->places.admission.running[ADMIT_FEW] + d->places.admission.running[ADMIT_ALONE]));
    if (d->batched) {
        if (begin_worthwhile_locked(d))
            cond_signal(&d->begin_wake);
        return;
    }
    struct task *first;
    while (!d->closed && (d->sleepers.count > 0 || d->places.count[TASK_READY] < d->ahead_max) && (first = admissible_locked(d)) != NULL)
        dispatcher_offer_locked(d, first);
}

/* ---- in, to a thread ---- */

void dispatcher_flag_locked(struct task *task, int64_t now_ms)
{
    if (atomic_load(&task->cancelled))
        return;
    task->cancelled_ms = now_ms;
    atomic_store(&task->cancelled, true);
}

bool dispatcher_is_cancelled(const struct task *task)
{
    bool waits_for_another = task->cancel_told > 0 && task->outcome == OUTCOME_WAIT;
    return atomic_load(&task->cancelled) && !waits_for_another;
}

bool dispatcher_add(struct dispatcher *d, struct task *task)
{
    int64_t now = d->now_ms();
    dispatch_entry_make(task);
    mutex_lock(&d->lock);
    job_index_add(&d->jobs, task);
    task->entry->age = ++d->added;
    bool wanted = task->job.id == NULL || !cancelled_ids_has(&d->cancelled, task->job.id, now);
    if (!wanted) {
        dispatcher_flag_locked(task, now);
        task_become(&d->places, task, TASK_LEAVING);
    } else if (lanes_enter(&d->places.lanes, task)) {
        task_become(&d->places, task, TASK_BEHIND);
    } else {
        task_become(&d->places, task, TASK_IN_LINE);
        dispatcher_pump_locked(d);
    }
    mutex_unlock(&d->lock);
    return wanted;
}

void dispatcher_add_ended(struct dispatcher *d, struct task *task)
{
    (void)d;
    dispatch_entry_make(task);
}

size_t dispatcher_take_heads(struct dispatcher *d, struct task **tasks, size_t max)
{
    mutex_lock(&d->lock);
    while (!d->stopped && !begin_worthwhile_locked(d))
        cond_wait(&d->begin_wake, &d->lock);
    size_t n = 0;
    if (!d->stopped) {
        size_t want = dispatcher_room_ahead_locked(d);
        struct task *first;
        for (; n < max && n < want && (first = admissible_locked(d)) != NULL; n++) {
            task_become(&d->places, first, TASK_BEGINNING);
            tasks[n] = first;
        }
    }
    mutex_unlock(&d->lock);
    return n;
}

bool dispatcher_is_to_run(const struct task *task)
{
    return task->outcome == OUTCOME_NONE && !dispatcher_is_cancelled(task);
}

void dispatcher_ready(struct dispatcher *d, struct task **tasks, size_t n)
{
    mutex_lock(&d->lock);
    for (size_t i = 0; i < n; i++) {
        if (dispatcher_is_to_run(tasks[i])) {
            dispatcher_offer_locked(d, tasks[i]);
            tasks[i] = NULL;
        } else {
            task_become(&d->places, tasks[i], TASK_RUNNING);
        }
    }
    mutex_unlock(&d->lock);
}

struct task *dispatcher_take(struct dispatcher *d, int index)
{
    mutex_lock(&d->lock);
    struct task *task = d->closed ? NULL : start_order_first(&d->places.ready);
    bool sleeps = task == NULL && !d->stopped;
    if (task != NULL)
        task_become(&d->places, task, TASK_RUNNING);
    if (sleeps)
        sleepers_lie_down(&d->sleepers, index);
    dispatcher_pump_locked(d);
    if (sleeps)
        task = sleepers_sleep(&d->sleepers, index, &d->lock);
    mutex_unlock(&d->lock);
    if (task != NULL)
        METRIC_ADD(threads_busy, 1);
    return task;
}

void dispatcher_taken_done(struct dispatcher *d)
{
    (void)d;
    METRIC_ADD(threads_busy, -1);
}

void dispatcher_give_to_loops(struct dispatcher *d, size_t slots, void (*give)(struct task *task, void *arg), void *arg)
{
    mutex_lock(&d->lock);
    sleepers_are_loops(&d->sleepers, slots, give, arg);
    mutex_unlock(&d->lock);
}

void dispatcher_slot_is_free(struct dispatcher *d)
{
    mutex_lock(&d->lock);
    struct task *task = d->closed ? NULL : start_order_first(&d->places.ready);
    d->sleepers.count++;
    if (task != NULL) {
        task_become(&d->places, task, TASK_RUNNING);
        sleepers_give(&d->sleepers, task);
    }
    dispatcher_pump_locked(d);
    mutex_unlock(&d->lock);
}

/* ---- back, to wait ---- */

static bool may_wait(const struct task *task)
{
    return !atomic_load(&task->partition->revoked) && !dispatcher_is_cancelled(task);
}

static enum admission_class class_for_wait(const struct task *task)
{
    if (atomic_load(&task->cancelled))
        return ADMIT_EXPIRED;
    return task->claim_is_others ? ADMIT_FREE : task->entry->class;
}

bool dispatcher_wait(struct dispatcher *d, struct task *task, int64_t wait_ms)
{
    mutex_lock(&d->lock);
    bool wanted = may_wait(task);
    if (wanted) {
        task->entry->due_ms = d->now_ms() + wait_ms;
        task_become_of_class(&d->places, task, TASK_PARKED, class_for_wait(task));
        dispatcher_pump_locked(d);
        if (task_heap_peek(&d->places.timers) == task)
            cond_signal(&d->timer_wake);
    }
    mutex_unlock(&d->lock);
    return wanted;
}

void dispatcher_hasten(struct dispatcher *d, size_t provider, int64_t due_ms)
{
    mutex_lock(&d->lock);
    const struct task *first = task_heap_peek(&d->places.timers);
    for (size_t i = 0; i < d->places.timers.count; i++) { /* a hastened task changes places with tasks visited before */
        struct task *task = d->places.timers.items[i].task;
        if (!task->rated.waits || task->rated.provider != provider || task->rated.due_ms <= due_ms)
            continue;
        task->rated.due_ms = due_ms;
        task->entry->due_ms = due_ms < task->entry->due_ms ? due_ms : task->entry->due_ms;
        task_heap_hasten(&d->places.timers, task, (struct task_key){task->entry->due_ms, task->entry->age});
    }
    const struct task *now_first = task_heap_peek(&d->places.timers);
    if (now_first != first || (first != NULL && first->entry->due_ms == due_ms))
        cond_signal(&d->timer_wake);
    mutex_unlock(&d->lock);
}

bool dispatcher_suspect(struct dispatcher *d, struct task *task, int64_t crashes)
{
    mutex_lock(&d->lock);
    bool wanted = may_wait(task);
    if (wanted) {
        task_become_of_class(&d->places, task, TASK_IN_LINE, admission_class_of(crashes));
        dispatcher_pump_locked(d);
    }
    mutex_unlock(&d->lock);
    return wanted;
}

void dispatcher_bound(struct dispatcher *d, size_t bound, enum start_rule rule)
{
    mutex_lock(&d->lock);
    d->places.admission.bound = bound;
    start_order_follow(&d->places.line, rule);
    dispatcher_pump_locked(d);
    mutex_unlock(&d->lock);
}

struct dispatcher_load dispatcher_load(struct dispatcher *d)
{
    mutex_lock(&d->lock);
    int64_t in_hand = 0;
    for (int state = 0; state < TASK_STATES; state++)
        in_hand += task_state_is_in_hand((enum task_state)state) ? (int64_t)d->places.count[state] : 0;
    struct dispatcher_load load = {.in_hand = in_hand,
                                   .to_ask = in_hand - (int64_t)d->places.count[TASK_BEHIND],
                                   .kept_waiting = start_order_has_bounded(&d->places.line) && admissible_locked(d) == NULL};
    mutex_unlock(&d->lock);
    return load;
}

/* ---- a lane goes on ---- */

void dispatcher_leave_lane_locked(struct dispatcher *d, struct task *task)
{
    struct task *next = lanes_next(task);
    if (next == NULL) {
        lanes_close(&d->places.lanes, task);
        return;
    }
    lanes_pass(task, next);
    task_become(&d->places, next, TASK_IN_LINE);
}

void dispatcher_end(struct dispatcher *d, struct task *task)
{
    assert(task->entry != NULL && "a job that ends twice");
    mutex_lock(&d->lock);
    job_index_remove(&d->jobs, task);
    dispatcher_leave_lane_locked(d, task);
    task_become(&d->places, task, TASK_ENDED);
    dispatcher_pump_locked(d);
    mutex_unlock(&d->lock);
    dispatch_entry_free(task);
}

bool dispatcher_has_successor(struct dispatcher *d, const struct task *task)
{
    mutex_lock(&d->lock);
    bool waits = lanes_next(task) != NULL;
    mutex_unlock(&d->lock);
    return waits;
}

/* ---- time ---- */

/* While a breaker or a suspect keeps jobs from starting, those past their own deadline start all the same: they ask no model, and the
 * client waits for the error reply. */
static void expire_locked(struct dispatcher *d, int64_t now_ms)
{
    if (admission_is_free(&d->places.admission) && start_order_suspects(&d->places.line) == 0)
        return;
    start_order_expire(&d->places.line, now_ms);
}

bool dispatcher_tick(struct dispatcher *d, int64_t max_ms)
{
    mutex_lock(&d->lock);
    int64_t now = d->now_ms();
    int64_t until = now + (d->ends_held && max_ms > ENDS_LOOK_MS ? ENDS_LOOK_MS : max_ms);
    const struct task *due = task_heap_peek(&d->places.timers);
    if (due != NULL && due->entry->due_ms < until)
        until = due->entry->due_ms;
    if (!d->stopped && until > now)
        cond_wait_until(&d->timer_wake, &d->lock, until);
    now = d->now_ms();
    /* All due tasks are queued before any starts: the order in which they became due doesn't matter. */
    for (struct task *task; (task = task_heap_peek(&d->places.timers)) != NULL && task->entry->due_ms <= now;)
        task_become(&d->places, task, TASK_IN_LINE);
    expire_locked(d, now);
    d->ends_held = false;
    dispatcher_pump_locked(d);
    bool going = !d->stopped;
    mutex_unlock(&d->lock);
    return going;
}

/* ---- the end ---- */

void dispatcher_close(struct dispatcher *d)
{
    mutex_lock(&d->lock);
    d->closed = true;
    mutex_unlock(&d->lock);
}

void dispatcher_stop(struct dispatcher *d)
{
    mutex_lock(&d->lock);
    d->closed = d->stopped = true;
    cond_broadcast(&d->begin_wake);
    cond_broadcast(&d->timer_wake);
    sleepers_wake_all(&d->sleepers);
    mutex_unlock(&d->lock);
}
