#include "dispatch/dispatcher.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "dispatch/admission.h"
#include "dispatch/cancelled_ids.h"
#include "dispatch/job_index.h"
#include "dispatch/task_list.h"
#include "dispatch/timer_heap.h"
#include "ops/held_back.h"
#include "ops/metrics.h"

#define ENDS_LOOK_MS 10 /* how soon it is seen that the ends of others are taken */

struct lane {
    UT_hash_handle hh;
    struct task *head;        /* begun or about to be; holds the lane until its end */
    struct task_list waiting; /* successors, in order */
    unsigned key_size;
    char key[];
};

/* A sleeping pool thread: each on its own condition, so that a wake-up reaches just that one. */
struct sleeper {
    struct cond wake;
    struct task *given;
    struct sleeper *next;
};

struct dispatcher {
    enum ordering ordering;
    bool batched;
    size_t ahead_max; /* ready jobs without a thread yet */
    int64_t ended_bytes_max; /* 0: no bound */

    struct mutex lock; /* guards all below */
    struct lane *lanes;
    struct job_index jobs; /* from dispatcher_add to dispatcher_end */
    struct cancelled_ids cancelled;
    int64_t in_hand, behind; /* jobs from dispatcher_add to dispatcher_end; of them in PLACE_LANE */
    struct task_list heads[ADMISSION_CLASSES]; /* to begin (per-thread form: for a thread), once admitted */
    struct task_list ready;  /* admitted (batched form: and begun), waiting for a thread */
    struct admission admission;
    bool newest_first;       /* of those that come */
    size_t beginning;        /* with the begin thread */
    struct sleeper *sleepers; /* one for each pool thread, by index */
    struct sleeper *idle;     /* stack */
    size_t idle_count;
    struct timer_heap timers;
    bool ends_held; /* nothing started for ended_bytes_max: looked at again now and then */
    bool closed;
    bool stopped;
    struct cond begin_wake;
    struct cond timer_wake;
};

struct dispatcher *dispatcher_create(enum ordering ordering, enum redis_io redis_io, int threads)
{
    struct dispatcher *d = xcalloc(1, sizeof *d);
    d->ordering = ordering;
    d->batched = redis_io == REDIS_IO_BATCHED;
    /* Enough to begin in batches, few enough that a claim doesn't wait long for its thread. */
    d->ahead_max = (size_t)threads / 8 + 4;
    if (d->ahead_max > 256)
        d->ahead_max = 256;
    admission_init(&d->admission, (size_t)threads);
    d->sleepers = xcalloc((size_t)threads, sizeof *d->sleepers);
    for (int i = 0; i < threads; i++)
        cond_init(&d->sleepers[i].wake);
    mutex_init(&d->lock);
    cond_init(&d->begin_wake);
    cond_init(&d->timer_wake);
    return d;
}

void dispatcher_bound_ends(struct dispatcher *d, int64_t bytes)
{
    d->ended_bytes_max = bytes;
}

void dispatcher_destroy(struct dispatcher *d)
{
    if (d == NULL)
        return;
    assert(d->lanes == NULL && d->heads[ADMIT_FREE].count == 0 && d->ready.count == 0);
    timer_heap_finish(&d->timers);
    cancelled_ids_finish(&d->cancelled);
    cond_destroy(&d->begin_wake);
    cond_destroy(&d->timer_wake);
    mutex_destroy(&d->lock);
    free(d->sleepers);
    free(d);
}

/* ---- admission ---- */

/* The ends of those that ran must go first. */
static bool ends_hold_locked(struct dispatcher *d)
{
    bool hold = d->ended_bytes_max > 0 && metric_get(METRIC_jobs_ended_bytes) >= d->ended_bytes_max;
    d->ends_held = d->ends_held || hold;
    return hold;
}

bool dispatcher_waits_for_ends(struct dispatcher *d)
{
    mutex_lock(&d->lock);
    bool waits = ends_hold_locked(d);
    mutex_unlock(&d->lock);
    return waits;
}

/* The list whose first may start now, or NULL. Those of a class wait for the classes before it. */
static struct task_list *admissible_locked(struct dispatcher *d)
{
    if (ends_hold_locked(d))
        return NULL;
    for (int class = 0; class < ADMISSION_CLASSES; class++) {
        if (d->heads[class].count == 0)
            continue;
        if (admission_allows(&d->admission, (enum admission_class)class))
            return &d->heads[class];
        if (class != ADMIT_EXPIRED)
            return NULL;
    }
    return NULL;
}

/* Then no free job starts, in whatever way, or they would never be alone. */
static bool suspects_wait_locked(const struct dispatcher *d)
{
    return d->heads[ADMIT_FEW].count + d->heads[ADMIT_ALONE].count > 0;
}

static void start_locked(struct dispatcher *d, struct task *task)
{
    assert(!task->admitted);
    task->admitted = true;
    d->admission.running[task->class]++;
}

static void stop_locked(struct dispatcher *d, struct task *task)
{
    if (task->admitted)
        d->admission.running[task->class]--;
    task->admitted = false;
}

static bool begin_worthwhile_locked(struct dispatcher *d)
{
    if (d->closed || admissible_locked(d) == NULL)
        return false;
    size_t under_way = d->ready.count + d->beginning;
    return under_way < d->idle_count || under_way <= d->ahead_max / 2;
}

/* ---- which list a task is in ---- */

static void put_locked(struct task_list *list, struct task *task, enum task_place place)
{
    task->place = place;
    task_list_push(list, task);
}

static struct task *pull_locked(struct task_list *list)
{
    struct task *task = task_list_pop(list);
    if (task != NULL)
        task->place = PLACE_ENDING;
    return task;
}

static void count_rated(const struct task *task, int by)
{
    const struct reservation *waiting = reservations_waiting(&task->reservations);
    if (waiting != NULL)
        held_back_add(HELD_BACK_RATE, waiting->provider, by);
}

static void timer_put_locked(struct dispatcher *d, struct task *task, int64_t due_ms)
{
    timer_heap_push(&d->timers, task, due_ms);
    count_rated(task, 1);
}

static void timer_take_out_locked(struct dispatcher *d, struct task *task)
{
    timer_heap_remove(&d->timers, task);
    count_rated(task, -1);
}

/* It is to be ended by whoever has it. */
static bool is_cancelled(const struct task *task)
{
    bool waits_for_another = task->cancel_told > 0 && task->outcome == OUTCOME_WAIT;
    return atomic_load(&task->cancelled) && !waits_for_another;
}

static void count_behind_locked(struct dispatcher *d, const struct task *task, int change)
{
    atomic_fetch_add(&task->partition->behind, change);
    d->behind += change;
}

/* A task that a thread may have: to the thread that slept last, else to the ready list. */
static void offer_locked(struct dispatcher *d, struct task *task)
{
    struct sleeper *sleeper = d->closed ? NULL : d->idle;
    if (sleeper == NULL) {
        put_locked(&d->ready, task, PLACE_READY);
        return;
    }
    d->idle = sleeper->next;
    d->idle_count--;
    sleeper->given = task;
    cond_signal(&sleeper->wake);
}

/* Lets go on what may: called whenever something became ready to start, or something that ran has stopped. */
static void pump_locked(struct dispatcher *d)
{
    held_back_set(HELD_BACK_SUSPECTS, HELD_BACK_NO_PROVIDER,
                  (int64_t)(d->heads[ADMIT_FEW].count + d->heads[ADMIT_ALONE].count + d->admission.running[ADMIT_FEW] + d->admission.running[ADMIT_ALONE]));
    if (d->batched) {
        if (begin_worthwhile_locked(d))
            cond_signal(&d->begin_wake);
        return;
    }
    struct task_list *heads;
    while ((d->idle_count > 0 || d->ready.count < d->ahead_max) && (heads = admissible_locked(d)) != NULL) {
        struct task *task = pull_locked(heads);
        start_locked(d, task);
        offer_locked(d, task);
    }
}

static void begin_again_locked(struct dispatcher *d, struct task *task)
{
    /* A permit is for its time: whoever waited for one goes first. */
    task->place = PLACE_LINE;
    (reservations_waiting(&task->reservations) != NULL ? task_list_push_front : task_list_push)(&d->heads[task->class], task);
    pump_locked(d);
}

/* topic NUL partition NUL key: equal keys of two topics are two lanes. NULL: unordered. */
static struct lane *lane_enter_locked(struct dispatcher *d, struct task *task)
{
    const char *key = "";
    size_t key_size = 0;
    if (d->ordering == ORDERING_NONE)
        return NULL;
    if (d->ordering == ORDERING_KEY) {
        if (task->job.session != NULL) {
            key = task->job.session;
            key_size = strlen(key);
        } else if (task->record.key != NULL) {
            key = task->record.key;
            key_size = task->record.key_size;
        } else {
            return NULL;
        }
    }
    size_t topic_size = strlen(task->record.topic) + 1;
    size_t size = topic_size + sizeof task->record.partition + key_size;
    struct lane *fresh = xcalloc(1, sizeof *fresh + size);
    memcpy(fresh->key, task->record.topic, topic_size);
    memcpy(fresh->key + topic_size, &task->record.partition, sizeof task->record.partition);
    memcpy(fresh->key + topic_size + sizeof task->record.partition, key, key_size);
    fresh->key_size = (unsigned)size;
    struct lane *lane = NULL;
    HASH_FIND(hh, d->lanes, fresh->key, fresh->key_size, lane);
    if (lane != NULL) {
        free(fresh);
        return lane;
    }
    HASH_ADD_KEYPTR(hh, d->lanes, fresh->key, fresh->key_size, fresh);
    return fresh;
}

static struct task *lane_next_locked(struct dispatcher *d, struct lane *lane)
{
    struct task *next = pull_locked(&lane->waiting);
    if (next != NULL)
        count_behind_locked(d, next, -1);
    return next;
}

/* The head leaves: the next in line becomes head, or the lane ends. */
static struct task *lane_leave_locked(struct dispatcher *d, struct lane *lane)
{
    lane->head = lane_next_locked(d, lane);
    if (lane->head == NULL) {
        HASH_DELETE(hh, d->lanes, lane);
        free(lane);
        return NULL;
    }
    return lane->head;
}

static void flag_locked(struct task *task, int64_t now_ms)
{
    if (atomic_load(&task->cancelled))
        return;
    task->cancelled_ms = now_ms;
    atomic_store(&task->cancelled, true);
}

static void line_up_locked(struct dispatcher *d, struct task *task)
{
    task->lane = lane_enter_locked(d, task);
    if (task->lane != NULL && task->lane->head != NULL) {
        put_locked(&task->lane->waiting, task, PLACE_LANE);
        count_behind_locked(d, task, 1);
    } else {
        if (task->lane != NULL)
            task->lane->head = task;
        /* While a breaker is open, what was let in is to be the next probe: those parked have had their turn. */
        task->place = PLACE_LINE;
        (d->newest_first ? task_list_push_front : task_list_push)(&d->heads[task->class], task);
        pump_locked(d);
    }
}

bool dispatcher_add(struct dispatcher *d, struct task *task)
{
    int64_t now = clock_mono_ms();
    mutex_lock(&d->lock);
    job_index_add(&d->jobs, task);
    task->in_hand = true;
    d->in_hand++;
    bool wanted = task->job.id == NULL || !cancelled_ids_has(&d->cancelled, task->job.id, now);
    if (wanted)
        line_up_locked(d, task);
    else
        flag_locked(task, now);
    mutex_unlock(&d->lock);
    return wanted;
}

size_t dispatcher_take_heads(struct dispatcher *d, struct task **tasks, size_t max)
{
    mutex_lock(&d->lock);
    while (!d->stopped && !begin_worthwhile_locked(d))
        cond_wait(&d->begin_wake, &d->lock);
    size_t n = 0;
    if (!d->stopped) {
        size_t room = d->idle_count + d->ahead_max;
        size_t under_way = d->ready.count + d->beginning;
        size_t want = room > under_way ? room - under_way : 0;
        struct task_list *heads;
        while (n < max && n < want && (heads = admissible_locked(d)) != NULL) {
            tasks[n] = pull_locked(heads);
            start_locked(d, tasks[n++]);
        }
        d->beginning += n;
    }
    mutex_unlock(&d->lock);
    return n;
}

void dispatcher_ready(struct dispatcher *d, struct task **tasks, size_t n)
{
    mutex_lock(&d->lock);
    for (size_t i = 0; i < n; i++) {
        d->beginning--;
        if (tasks[i] == NULL || is_cancelled(tasks[i])) /* NULL: begin ended it or sent it to wait */
            continue;
        offer_locked(d, tasks[i]);
        tasks[i] = NULL;
    }
    mutex_unlock(&d->lock);
}

struct task *dispatcher_take(struct dispatcher *d, int index)
{
    struct sleeper *self = &d->sleepers[index];
    mutex_lock(&d->lock);
    struct task *task = d->closed ? NULL : pull_locked(&d->ready);
    if (task == NULL && !d->stopped) {
        self->given = NULL;
        self->next = d->idle;
        d->idle = self;
        d->idle_count++;
        pump_locked(d);
        while (self->given == NULL && !d->stopped)
            cond_wait(&self->wake, &d->lock);
        task = self->given;
        self->given = NULL;
    } else {
        pump_locked(d);
    }
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

static bool may_wait(const struct task *task)
{
    return !atomic_load(&task->partition->revoked) && !is_cancelled(task);
}

bool dispatcher_wait(struct dispatcher *d, struct task *task, int64_t wait_ms)
{
    mutex_lock(&d->lock);
    bool wanted = may_wait(task);
    if (wanted) {
        stop_locked(d, task);
        if (atomic_load(&task->cancelled))
            task->class = ADMIT_EXPIRED;
        else if (task->begin.error.class == ERROR_NONE && task->begin.state == BEGIN_BUSY)
            task->class = ADMIT_FREE;
        pump_locked(d);
        task->place = PLACE_TIMER;
        timer_put_locked(d, task, clock_mono_ms() + wait_ms);
        if (timer_heap_peek(&d->timers) == task)
            cond_signal(&d->timer_wake);
    }
    mutex_unlock(&d->lock);
    return wanted;
}

void dispatcher_hasten(struct dispatcher *d, size_t provider, int64_t due_ms)
{
    mutex_lock(&d->lock);
    const struct task *first = timer_heap_peek(&d->timers);
    for (size_t i = 0; i < d->timers.count; i++) { /* what is hastened changes places with those looked at before */
        struct task *task = d->timers.items[i];
        struct reservation *waiting = reservations_waiting(&task->reservations);
        if (waiting == NULL || waiting->provider != provider || waiting->due_ms <= due_ms)
            continue;
        waiting->due_ms = due_ms;
        timer_heap_hasten(&d->timers, task, due_ms < task->due_ms ? due_ms : task->due_ms);
    }
    if (timer_heap_peek(&d->timers) != first || (first != NULL && first->due_ms == due_ms))
        cond_signal(&d->timer_wake);
    mutex_unlock(&d->lock);
}

bool dispatcher_suspect(struct dispatcher *d, struct task *task, int64_t crashes)
{
    mutex_lock(&d->lock);
    bool wanted = may_wait(task);
    if (wanted) {
        stop_locked(d, task);
        task->class = admission_class_of(crashes);
        begin_again_locked(d, task);
    }
    mutex_unlock(&d->lock);
    return wanted;
}

static void permit(struct dispatcher *d, size_t permits, bool newest_first)
{
    mutex_lock(&d->lock);
    d->admission.permits = permits;
    d->newest_first = newest_first;
    pump_locked(d);
    mutex_unlock(&d->lock);
}

void dispatcher_permit(struct dispatcher *d, size_t permits)
{
    permit(d, permits, permits != ADMISSION_UNBOUNDED);
}

void dispatcher_permit_in_turn(struct dispatcher *d, size_t permits)
{
    permit(d, permits, false);
}

struct dispatcher_load dispatcher_load(struct dispatcher *d)
{
    bool waits = false;
    mutex_lock(&d->lock);
    for (int class = ADMIT_EXPIRED + 1; class < ADMISSION_CLASSES; class++)
        waits = waits || d->heads[class].count > 0;
    struct dispatcher_load load = {
        .in_hand = d->in_hand, .to_ask = d->in_hand - d->behind, .kept_waiting = waits && admissible_locked(d) == NULL};
    mutex_unlock(&d->lock);
    return load;
}

static struct task *take_successor_locked(struct dispatcher *d, const struct task *task)
{
    struct task *successor = NULL;
    if (d->batched && !d->closed && task->lane != NULL && admission_is_free(&d->admission) && !suspects_wait_locked(d) && !ends_hold_locked(d))
        successor = lane_next_locked(d, task->lane);
    if (successor != NULL)
        start_locked(d, successor);
    return successor;
}

struct task *dispatcher_take_successor(struct dispatcher *d, const struct task *task)
{
    mutex_lock(&d->lock);
    struct task *successor = take_successor_locked(d, task);
    mutex_unlock(&d->lock);
    return successor;
}

/* Whoever is ready, or will be soon, has a thread without this one. */
static bool is_spare_locked(struct dispatcher *d)
{
    return d->idle_count > 0 || (d->ready.count + d->beginning == 0 && admissible_locked(d) == NULL);
}

struct task *dispatcher_take_own_successor(struct dispatcher *d, const struct task *task)
{
    mutex_lock(&d->lock);
    struct task *successor = is_spare_locked(d) ? take_successor_locked(d, task) : NULL;
    mutex_unlock(&d->lock);
    return successor;
}

bool dispatcher_put_back(struct dispatcher *d, const struct task *task, struct task *successor)
{
    mutex_lock(&d->lock);
    bool wanted = !is_cancelled(successor);
    stop_locked(d, successor);
    if (wanted) {
        successor->place = PLACE_LANE;
        task_list_push_front(&task->lane->waiting, successor);
        count_behind_locked(d, successor, 1);
    } else {
        successor->lane = NULL;
    }
    mutex_unlock(&d->lock);
    return wanted;
}

/* False: begun isn't to run. */
static bool pass_lane_locked(struct dispatcher *d, struct task *task, struct task *begun)
{
    task->lane->head = begun;
    task->lane = NULL;
    stop_locked(d, task);
    return begun->outcome == OUTCOME_NONE && !is_cancelled(begun);
}

enum lane_passed dispatcher_pass_lane(struct dispatcher *d, struct task *task, struct task *begun)
{
    mutex_lock(&d->lock);
    enum lane_passed passed = d->closed ? LANE_STAYS : pass_lane_locked(d, task, begun) ? LANE_GOES_ON : LANE_ENDS;
    mutex_unlock(&d->lock);
    return passed;
}

bool dispatcher_end(struct dispatcher *d, struct task *task, struct task *begun)
{
    mutex_lock(&d->lock);
    bool goes_on = begun != NULL && pass_lane_locked(d, task, begun);
    job_index_remove(&d->jobs, task);
    d->in_hand -= task->in_hand;
    task->in_hand = false;
    stop_locked(d, task);
    if (goes_on) {
        offer_locked(d, begun);
    } else if (task->lane != NULL) {
        struct task *successor = lane_leave_locked(d, task->lane);
        if (successor != NULL)
            begin_again_locked(d, successor);
    }
    task->lane = NULL;
    pump_locked(d);
    mutex_unlock(&d->lock);
    return goes_on;
}

bool dispatcher_has_successor(struct dispatcher *d, const struct task *task)
{
    mutex_lock(&d->lock);
    bool waits = task->lane != NULL && task->lane->waiting.count > 0;
    mutex_unlock(&d->lock);
    return waits;
}

/* While little may start, those whose own deadline has passed are let through: somebody waits for the word. */
static void expire_locked(struct dispatcher *d, int64_t now_ms)
{
    if (admission_is_free(&d->admission) && !suspects_wait_locked(d))
        return;
    int64_t wall_ms = clock_wall_ms();
    for (int class = ADMIT_EXPIRED + 1; class < ADMISSION_CLASSES; class++) {
        struct task_list kept = {0};
        for (struct task *task; (task = task_list_pop(&d->heads[class])) != NULL;) {
            bool expired = task_until_ms(task, INT64_MAX / 4, now_ms, wall_ms) <= now_ms;
            if (expired)
                task->class = ADMIT_EXPIRED;
            task_list_push(expired ? &d->heads[ADMIT_EXPIRED] : &kept, task);
        }
        d->heads[class] = kept;
    }
    pump_locked(d);
}

bool dispatcher_tick(struct dispatcher *d, int64_t max_ms)
{
    mutex_lock(&d->lock);
    int64_t now = clock_mono_ms();
    int64_t until = now + (d->ends_held && max_ms > ENDS_LOOK_MS ? ENDS_LOOK_MS : max_ms);
    const struct task *due = timer_heap_peek(&d->timers);
    if (due != NULL && due->due_ms < until)
        until = due->due_ms;
    if (!d->stopped && until > now)
        cond_wait_until(&d->timer_wake, &d->lock, until);
    now = clock_mono_ms();
    for (struct task *task; (task = timer_heap_peek(&d->timers)) != NULL && task->due_ms <= now;) {
        timer_take_out_locked(d, task);
        begin_again_locked(d, task);
    }
    expire_locked(d, now);
    if (d->ends_held) {
        d->ends_held = false;
        pump_locked(d);
    }
    bool going = !d->stopped;
    mutex_unlock(&d->lock);
    return going;
}

static void timers_extract_locked(struct dispatcher *d, const struct partition *partition, struct task_list *out)
{
    /* Found first, removed then: removal moves others about. */
    struct task_list found = {0};
    for (size_t i = 0; i < d->timers.count; i++)
        if (partition == NULL || d->timers.items[i]->partition == partition)
            task_list_push(&found, d->timers.items[i]);
    for (struct task *task; (task = task_list_pop(&found)) != NULL; task_list_push(out, task))
        timer_take_out_locked(d, task);
}

struct task *dispatcher_remove_waiting(struct dispatcher *d, const struct partition *partition)
{
    struct task_list gone = {0};
    struct task_list heads = {0};
    struct lane *lane;
    struct lane *after;
    mutex_lock(&d->lock);
    /* Successors first, so that a removed head has none of the same partition left behind it. */
    HASH_ITER(hh, d->lanes, lane, after)
        task_list_extract(&lane->waiting, partition, &gone);
    for (struct task *task = gone.first; task != NULL; task = task->next)
        count_behind_locked(d, task, -1);
    for (int class = 0; class < ADMISSION_CLASSES; class++)
        task_list_extract(&d->heads[class], partition, &heads);
    task_list_extract(&d->ready, partition, &heads);
    timers_extract_locked(d, partition, &heads);
    for (struct task *task; (task = task_list_pop(&heads)) != NULL; task_list_push(&gone, task)) {
        stop_locked(d, task);
        if (task->lane == NULL)
            continue;
        struct task *successor = lane_leave_locked(d, task->lane);
        if (successor != NULL) /* of the next grant of the same partition */
            begin_again_locked(d, successor);
    }
    for (struct task *task = gone.first; task != NULL; task = task->next) {
        task->lane = NULL;
        task->place = PLACE_ENDING;
    }
    pump_locked(d);
    mutex_unlock(&d->lock);
    return gone.first;
}

/* Takes it from where it waits; false: it doesn't. */
static bool take_out_locked(struct dispatcher *d, struct task *task)
{
    switch (task->place) {
    case PLACE_LANE:
        task_list_remove(&task->lane->waiting, task);
        count_behind_locked(d, task, -1);
        task->lane = NULL; /* its head's, who goes on with the next */
        break;
    case PLACE_LINE:
    case PLACE_SUSPECT:
        task_list_remove(&d->heads[task->class], task);
        break;
    case PLACE_READY:
        task_list_remove(&d->ready, task);
        stop_locked(d, task);
        break;
    case PLACE_TIMER:
        timer_take_out_locked(d, task);
        break;
    case PLACE_ENDING:
    case PLACE_RUNNING:
        return false;
    }
    task->place = PLACE_ENDING;
    return true;
}

struct task *dispatcher_cancel(struct dispatcher *d, const char *job_id, int64_t now_ms, bool *ret_elsewhere)
{
    struct task_list gone = {0};
    *ret_elsewhere = false;
    mutex_lock(&d->lock);
    cancelled_ids_add(&d->cancelled, job_id, now_ms);
    for (struct task *task = job_index_find(&d->jobs, job_id); task != NULL; task = task->same_id_next) {
        flag_locked(task, now_ms);
        if (take_out_locked(d, task))
            task_list_push(&gone, task);
        else
            *ret_elsewhere = true;
    }
    pump_locked(d);
    mutex_unlock(&d->lock);
    return gone.first;
}

static const struct task *find_locked(struct dispatcher *d, const struct partition *partition, int64_t offset, enum task_place *ret)
{
    const struct task *task;
    *ret = PLACE_READY;
    if ((task = task_list_find(&d->ready, partition, offset)) != NULL)
        return task;
    for (int class = 0; class < ADMISSION_CLASSES; class++) {
        *ret = class == ADMIT_FEW || class == ADMIT_ALONE ? PLACE_SUSPECT : PLACE_LINE;
        if ((task = task_list_find(&d->heads[class], partition, offset)) != NULL)
            return task;
    }
    *ret = PLACE_TIMER;
    for (size_t i = 0; i < d->timers.count; i++)
        if (d->timers.items[i]->partition == partition && d->timers.items[i]->record.offset == offset)
            return d->timers.items[i];
    *ret = PLACE_LANE;
    for (struct lane *lane = d->lanes; lane != NULL; lane = lane->hh.next)
        if ((task = task_list_find(&lane->waiting, partition, offset)) != NULL)
            return task;
    *ret = PLACE_ENDING;
    return NULL;
}

enum task_place dispatcher_find(struct dispatcher *d, const struct partition *partition, int64_t offset, char *job, size_t size)
{
    enum task_place place;
    mutex_lock(&d->lock);
    const struct task *task = find_locked(d, partition, offset, &place);
    snprintf(job, size, "%s", task != NULL && task->job.id != NULL ? task->job.id : "");
    mutex_unlock(&d->lock);
    return place;
}

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
    for (struct sleeper *sleeper = d->idle; sleeper != NULL; sleeper = sleeper->next)
        cond_signal(&sleeper->wake);
    d->idle = NULL;
    d->idle_count = 0;
    mutex_unlock(&d->lock);
}
