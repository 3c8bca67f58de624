#include "dispatch/dispatcher.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "dispatch/timer_heap.h"
#include "ops/metrics.h"

struct task_list {
    struct task *first;
    struct task *last;
    size_t count;
};

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
    int64_t renew_ms;
    size_t ahead_max; /* ready jobs without a thread yet */

    struct mutex lock; /* guards all below */
    struct lane *lanes;
    struct task_list heads;  /* to begin (per-thread form: ready) */
    struct task_list ready;  /* begun, waiting for a thread */
    size_t beginning;        /* with the begin thread */
    struct sleeper *sleepers; /* one for each pool thread, by index */
    struct sleeper *idle;     /* stack */
    size_t idle_count;
    struct timer_heap timers;
    struct task *claimed_first, *claimed_last; /* by renew_due_ms */
    bool closed;
    bool stopped;
    struct cond begin_wake;
    struct cond timer_wake;
};

static void list_push(struct task_list *list, struct task *task)
{
    task->next = NULL;
    if (list->last != NULL)
        list->last->next = task;
    else
        list->first = task;
    list->last = task;
    list->count++;
}

static void list_push_front(struct task_list *list, struct task *task)
{
    task->next = list->first;
    list->first = task;
    if (list->last == NULL)
        list->last = task;
    list->count++;
}

static struct task *list_pop(struct task_list *list)
{
    struct task *task = list->first;
    if (task == NULL)
        return NULL;
    list->first = task->next;
    if (list->first == NULL)
        list->last = NULL;
    list->count--;
    task->next = NULL;
    return task;
}

struct dispatcher *dispatcher_create(enum ordering ordering, enum redis_io redis_io, int threads, int64_t lease_ms)
{
    struct dispatcher *d = xcalloc(1, sizeof *d);
    d->ordering = ordering;
    d->batched = redis_io == REDIS_IO_BATCHED;
    d->renew_ms = lease_ms / 3;
    /* Enough to begin in batches, few enough that a claim doesn't wait long for its thread. */
    d->ahead_max = (size_t)threads / 8 + 4;
    if (d->ahead_max > 256)
        d->ahead_max = 256;
    d->sleepers = xcalloc((size_t)threads, sizeof *d->sleepers);
    for (int i = 0; i < threads; i++)
        cond_init(&d->sleepers[i].wake);
    mutex_init(&d->lock);
    cond_init(&d->begin_wake);
    cond_init(&d->timer_wake);
    return d;
}

void dispatcher_destroy(struct dispatcher *d)
{
    if (d == NULL)
        return;
    assert(d->lanes == NULL && d->heads.count == 0 && d->ready.count == 0);
    timer_heap_finish(&d->timers);
    cond_destroy(&d->begin_wake);
    cond_destroy(&d->timer_wake);
    mutex_destroy(&d->lock);
    free(d->sleepers);
    free(d);
}

static bool begin_worthwhile_locked(const struct dispatcher *d)
{
    if (d->closed || d->heads.count == 0)
        return false;
    size_t under_way = d->ready.count + d->beginning;
    return under_way < d->idle_count || under_way <= d->ahead_max / 2;
}

/* A task that a thread may have: to the thread that slept last, else to the ready list. */
static void offer_locked(struct dispatcher *d, struct task *task)
{
    struct sleeper *sleeper = d->closed ? NULL : d->idle;
    if (sleeper == NULL) {
        list_push(&d->ready, task);
        return;
    }
    d->idle = sleeper->next;
    d->idle_count--;
    sleeper->given = task;
    cond_signal(&sleeper->wake);
}

static void begin_again_locked(struct dispatcher *d, struct task *task)
{
    if (!d->batched) {
        offer_locked(d, task);
        return;
    }
    list_push(&d->heads, task);
    if (begin_worthwhile_locked(d))
        cond_signal(&d->begin_wake);
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

static struct task *lane_next_locked(struct lane *lane)
{
    struct task *next = list_pop(&lane->waiting);
    if (next != NULL)
        atomic_fetch_sub(&next->partition->behind, 1);
    return next;
}

/* The head leaves: the next in line becomes head, or the lane ends. */
static struct task *lane_leave_locked(struct dispatcher *d, struct lane *lane)
{
    lane->head = lane_next_locked(lane);
    if (lane->head == NULL) {
        HASH_DELETE(hh, d->lanes, lane);
        free(lane);
        return NULL;
    }
    return lane->head;
}

void dispatcher_add(struct dispatcher *d, struct task *task)
{
    mutex_lock(&d->lock);
    task->lane = lane_enter_locked(d, task);
    if (task->lane != NULL && task->lane->head != NULL) {
        list_push(&task->lane->waiting, task);
        atomic_fetch_add(&task->partition->behind, 1);
    } else {
        if (task->lane != NULL)
            task->lane->head = task;
        begin_again_locked(d, task);
    }
    mutex_unlock(&d->lock);
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
        while (n < max && n < want && d->heads.count > 0)
            tasks[n++] = list_pop(&d->heads);
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
        if (tasks[i] != NULL) /* NULL: begin ended it or sent it to wait */
            offer_locked(d, tasks[i]);
    }
    mutex_unlock(&d->lock);
}

struct task *dispatcher_take(struct dispatcher *d, int index)
{
    struct sleeper *self = &d->sleepers[index];
    mutex_lock(&d->lock);
    struct task *task = d->closed ? NULL : list_pop(&d->ready);
    if (task == NULL && !d->stopped) {
        self->given = NULL;
        self->next = d->idle;
        d->idle = self;
        d->idle_count++;
        if (begin_worthwhile_locked(d))
            cond_signal(&d->begin_wake);
        while (self->given == NULL && !d->stopped)
            cond_wait(&self->wake, &d->lock);
        task = self->given;
        self->given = NULL;
    } else if (begin_worthwhile_locked(d)) {
        cond_signal(&d->begin_wake);
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

bool dispatcher_wait(struct dispatcher *d, struct task *task, int64_t wait_ms)
{
    mutex_lock(&d->lock);
    bool wanted = !atomic_load(&task->partition->revoked);
    if (wanted) {
        timer_heap_push(&d->timers, task, clock_mono_ms() + wait_ms);
        if (timer_heap_peek(&d->timers) == task)
            cond_signal(&d->timer_wake);
    }
    mutex_unlock(&d->lock);
    return wanted;
}

struct task *dispatcher_take_successor(struct dispatcher *d, const struct task *task)
{
    struct task *successor = NULL;
    mutex_lock(&d->lock);
    if (d->batched && !d->closed && task->lane != NULL)
        successor = lane_next_locked(task->lane);
    mutex_unlock(&d->lock);
    return successor;
}

void dispatcher_put_back(struct dispatcher *d, const struct task *task, struct task *successor)
{
    mutex_lock(&d->lock);
    list_push_front(&task->lane->waiting, successor);
    atomic_fetch_add(&successor->partition->behind, 1);
    mutex_unlock(&d->lock);
}

void dispatcher_end(struct dispatcher *d, struct task *task, struct task *begun)
{
    mutex_lock(&d->lock);
    if (begun != NULL) {
        task->lane->head = begun;
        if (begun->outcome == OUTCOME_NONE)
            offer_locked(d, begun);
    } else if (task->lane != NULL) {
        struct task *successor = lane_leave_locked(d, task->lane);
        if (successor != NULL)
            begin_again_locked(d, successor);
    }
    task->lane = NULL;
    mutex_unlock(&d->lock);
}

bool dispatcher_has_successor(struct dispatcher *d, const struct task *task)
{
    mutex_lock(&d->lock);
    bool waits = task->lane != NULL && task->lane->waiting.count > 0;
    mutex_unlock(&d->lock);
    return waits;
}

static void claimed_unlink_locked(struct dispatcher *d, struct task *task)
{
    *(task->claimed_prev ? &task->claimed_prev->claimed_next : &d->claimed_first) = task->claimed_next;
    *(task->claimed_next ? &task->claimed_next->claimed_prev : &d->claimed_last) = task->claimed_prev;
    task->claimed_prev = task->claimed_next = NULL;
}

/* Every claim is due the same time after it joins, so appending keeps the list sorted. */
static void claimed_append_locked(struct dispatcher *d, struct task *task)
{
    task->renew_due_ms = clock_mono_ms() + d->renew_ms;
    task->claimed_prev = d->claimed_last;
    task->claimed_next = NULL;
    *(d->claimed_last ? &d->claimed_last->claimed_next : &d->claimed_first) = task;
    d->claimed_last = task;
}

void dispatcher_claimed(struct dispatcher *d, struct task *task)
{
    mutex_lock(&d->lock);
    task->claimed = true;
    claimed_append_locked(d, task);
    mutex_unlock(&d->lock);
}

void dispatcher_unclaimed(struct dispatcher *d, struct task *task)
{
    mutex_lock(&d->lock);
    if (task->claimed) {
        task->claimed = false;
        claimed_unlink_locked(d, task);
    }
    mutex_unlock(&d->lock);
}

size_t dispatcher_take_renewals(struct dispatcher *d, struct renewal *renewals, size_t max)
{
    mutex_lock(&d->lock);
    int64_t now = clock_mono_ms();
    size_t n = 0;
    while (n < max && d->claimed_first != NULL && d->claimed_first->renew_due_ms <= now) {
        struct task *task = d->claimed_first;
        claimed_unlink_locked(d, task);
        claimed_append_locked(d, task);
        renewals[n++] = (struct renewal){.task = task_ref(task), .claim = task->begin.claim};
    }
    mutex_unlock(&d->lock);
    return n;
}

bool dispatcher_tick(struct dispatcher *d, int64_t max_ms)
{
    mutex_lock(&d->lock);
    int64_t now = clock_mono_ms();
    int64_t until = now + max_ms;
    const struct task *due = timer_heap_peek(&d->timers);
    if (due != NULL && due->due_ms < until)
        until = due->due_ms;
    if (!d->stopped && until > now)
        cond_wait_until(&d->timer_wake, &d->lock, until);
    now = clock_mono_ms();
    for (struct task *task; (task = timer_heap_peek(&d->timers)) != NULL && task->due_ms <= now;) {
        timer_heap_remove(&d->timers, task);
        begin_again_locked(d, task);
    }
    bool going = !d->stopped;
    mutex_unlock(&d->lock);
    return going;
}

static bool matches(const struct task *task, const struct partition *partition)
{
    return partition == NULL || task->partition == partition;
}

/* Moves the matching tasks of `from` to `out`, the others stay in order. */
static void list_extract(struct task_list *from, const struct partition *partition, struct task_list *out)
{
    struct task_list kept = {0};
    for (struct task *task; (task = list_pop(from)) != NULL;)
        list_push(matches(task, partition) ? out : &kept, task);
    *from = kept;
}

static void timers_extract_locked(struct dispatcher *d, const struct partition *partition, struct task_list *out)
{
    /* Found first, removed then: removal moves others about. */
    struct task_list found = {0};
    for (size_t i = 0; i < d->timers.count; i++)
        if (matches(d->timers.items[i], partition))
            list_push(&found, d->timers.items[i]);
    for (struct task *task; (task = list_pop(&found)) != NULL; list_push(out, task))
        timer_heap_remove(&d->timers, task);
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
        list_extract(&lane->waiting, partition, &gone);
    for (struct task *task = gone.first; task != NULL; task = task->next)
        atomic_fetch_sub(&task->partition->behind, 1);
    list_extract(&d->heads, partition, &heads);
    list_extract(&d->ready, partition, &heads);
    timers_extract_locked(d, partition, &heads);
    for (struct task *task; (task = list_pop(&heads)) != NULL; list_push(&gone, task)) {
        if (task->lane == NULL)
            continue;
        struct task *successor = lane_leave_locked(d, task->lane);
        if (successor != NULL) /* of the next grant of the same partition */
            begin_again_locked(d, successor);
    }
    for (struct task *task = gone.first; task != NULL; task = task->next)
        task->lane = NULL;
    mutex_unlock(&d->lock);
    return gone.first;
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
