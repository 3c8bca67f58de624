#include "session/held_claims.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "task/task_part.h"

#define LOOKS_A_PERIOD 20 /* a look also takes one part in so many of all claims */
#define LOOK_EVERY_MS_MAX 500
#define SLEEP_MS_MAX 1000
#define OVERHEAD_BYTES 250 /* of a renewal in Redis' protocol, besides its ids */

struct held_claims {
    int64_t lease_ms;
    int64_t due_after_ms;   /* since the last begin or renewal was sent */
    int64_t early_after_ms; /* since then, for claims that a look takes early */
    struct mutex lock; /* guards the members below, and task->held */
    struct task *first, *last; /* by renew_due_ms */
    size_t count;
    uint64_t moves; /* claims added and removed */
    struct cond wake;
    int64_t sleeps_until_ms; /* the renewer; 0: it is awake */
    bool stopped;
};

struct held_claims *held_claims_create(int64_t lease_ms)
{
    struct held_claims *claims = xcalloc(1, sizeof *claims);
    claims->lease_ms = lease_ms;
    claims->due_after_ms = lease_ms / 3;
    claims->early_after_ms = lease_ms / 4;
    mutex_init(&claims->lock);
    cond_init(&claims->wake);
    return claims;
}

void held_claims_destroy(struct held_claims *claims)
{
    if (claims == NULL)
        return;
    cond_destroy(&claims->wake);
    mutex_destroy(&claims->lock);
    free(claims);
}

/* ---- the list ---- */

static void unlink_locked(struct held_claims *claims, struct task *task)
{
    struct task *prev = task->held->prev, *next = task->held->next;
    *(prev ? &prev->held->next : &claims->first) = next;
    *(next ? &next->held->prev : &claims->last) = prev;
    claims->count--;
}

/* Searches from the end: a new claim is due last, or nearly, if Redis answered late. */
static void insert_locked(struct held_claims *claims, struct task *task, int64_t due_ms)
{
    struct task *before = claims->last;
    while (before != NULL && before->held->renew_due_ms > due_ms)
        before = before->held->prev;
    struct task *next = before != NULL ? before->held->next : claims->first;
    task->held->renew_due_ms = due_ms;
    task->held->prev = before;
    task->held->next = next;
    *(before != NULL ? &before->held->next : &claims->first) = task;
    *(next != NULL ? &next->held->prev : &claims->last) = task;
    claims->count++;
}

void held_claims_add(struct held_claims *claims, struct task *task, int64_t begin_sent_ms, int64_t until_ms)
{
    struct held_claim *held = task_part_make(sizeof *held);
    held->begin_sent_ms = held->renewed_ms = begin_sent_ms;
    held->until_ms = until_ms;
    atomic_init(&held->running_ms, task->begun_ms);
    assert(task->held == NULL);
    mutex_lock(&claims->lock);
    task->held = held;
    claims->moves++;
    insert_locked(claims, task, begin_sent_ms + claims->due_after_ms);
    if (held->renew_due_ms < claims->sleeps_until_ms)
        cond_signal(&claims->wake);
    mutex_unlock(&claims->lock);
}

void held_claims_remove(struct held_claims *claims, struct task *task)
{
    struct held_claim *held = task->held;
    if (held == NULL)
        return;
    mutex_lock(&claims->lock);
    claims->moves++;
    unlink_locked(claims, task);
    task->held = NULL;
    mutex_unlock(&claims->lock);
    task_part_free(held);
}

/* ---- renewals ---- */

static size_t length(const char *text)
{
    return text != NULL ? strlen(text) : 0;
}

static size_t bytes_of(const struct claim *claim)
{
    return OVERHEAD_BYTES + length(claim->job_id) + length(claim->session);
}

size_t held_claims_take_due(struct held_claims *claims, int64_t now_ms, size_t bytes_max, struct renewal *renewals, size_t max)
{
    mutex_lock(&claims->lock);
    size_t along = claims->count / LOOKS_A_PERIOD + 1;
    int64_t early_ms = now_ms + claims->due_after_ms - claims->early_after_ms;
    size_t n = 0, bytes = 0;
    for (struct task *task = claims->first; task != NULL && n < max; task = task->held->next) {
        bool is_to_go = task->held->renew_due_ms <= now_ms || (n < along && task->held->renew_due_ms <= early_ms);
        bytes += bytes_of(&task->begin->claim);
        if (!is_to_go || (n > 0 && bytes > bytes_max))
            break;
        renewals[n++] = (struct renewal){.task = task_ref(task), .claim = task->begin->claim, .until_ms = task->held->until_ms};
    }
    mutex_unlock(&claims->lock);
    return n;
}

static int64_t next_locked(const struct held_claims *claims, int64_t now_ms)
{
    if (claims->first == NULL)
        return INT64_MAX;
    int64_t due_ms = claims->first->held->renew_due_ms, early_ms = due_ms - (claims->due_after_ms - claims->early_after_ms);
    int64_t pause_ms = claims->due_after_ms / LOOKS_A_PERIOD;
    int64_t look_ms = now_ms + (pause_ms < LOOK_EVERY_MS_MAX ? pause_ms : LOOK_EVERY_MS_MAX);
    if (look_ms < early_ms)
        look_ms = early_ms;
    return look_ms < due_ms ? look_ms : due_ms;
}

int64_t held_claims_next_ms(struct held_claims *claims, int64_t now_ms)
{
    mutex_lock(&claims->lock);
    int64_t next_ms = next_locked(claims, now_ms);
    mutex_unlock(&claims->lock);
    return next_ms;
}

bool held_claims_sleep(struct held_claims *claims, int64_t not_before_ms)
{
    mutex_lock(&claims->lock);
    int64_t began_ms = clock_mono_ms();
    for (int64_t now_ms = began_ms; !claims->stopped; now_ms = clock_mono_ms()) {
        int64_t until_ms = next_locked(claims, began_ms);
        until_ms = until_ms > began_ms + SLEEP_MS_MAX ? began_ms + SLEEP_MS_MAX : until_ms;
        until_ms = until_ms < not_before_ms ? not_before_ms : until_ms;
        if (now_ms >= until_ms)
            break;
        claims->sleeps_until_ms = not_before_ms > began_ms ? 0 : until_ms;
        cond_wait_until(&claims->wake, &claims->lock, until_ms);
    }
    claims->sleeps_until_ms = 0;
    bool going = !claims->stopped;
    mutex_unlock(&claims->lock);
    return going;
}

void held_claims_stop(struct held_claims *claims)
{
    mutex_lock(&claims->lock);
    claims->stopped = true;
    cond_signal(&claims->wake);
    mutex_unlock(&claims->lock);
}

/* task->begin, with its token, changes only while the task isn't in this list. */
static bool is_held_locked(const struct task *task, const char *token)
{
    return task->held != NULL && strcmp(task->begin->claim.token, token) == 0;
}

static void move_locked(struct held_claims *claims, struct task *task, int64_t due_ms)
{
    unlink_locked(claims, task);
    insert_locked(claims, task, due_ms);
}

bool held_claims_renewed(struct held_claims *claims, struct task *task, const char *token, int64_t at_ms)
{
    mutex_lock(&claims->lock);
    bool held = is_held_locked(task, token);
    if (held) {
        task->held->renewed_ms = at_ms;
        move_locked(claims, task, at_ms + claims->due_after_ms);
    }
    mutex_unlock(&claims->lock);
    return held;
}

bool held_claims_refused(struct held_claims *claims, struct task *task, const char *token, int64_t now_ms)
{
    mutex_lock(&claims->lock);
    bool held = is_held_locked(task, token);
    if (held)
        move_locked(claims, task, now_ms + claims->due_after_ms / 2);
    mutex_unlock(&claims->lock);
    return held;
}

bool held_claims_lose(struct held_claims *claims, struct task *task, const char *token)
{
    mutex_lock(&claims->lock);
    bool held = is_held_locked(task, token);
    if (held) {
        atomic_store(&task->held->is_lost, true);
        move_locked(claims, task, INT64_MAX);
    }
    mutex_unlock(&claims->lock);
    return held;
}

/* ---- looks ---- */

bool held_claims_ran_out(struct held_claims *claims, struct task *task)
{
    int64_t now_ms = clock_mono_ms();
    if (now_ms < task->held->begin_sent_ms + claims->lease_ms) /* the usual: no lock */
        return false;
    mutex_lock(&claims->lock);
    bool ran_out = now_ms >= task->held->renewed_ms + claims->lease_ms;
    mutex_unlock(&claims->lock);
    return ran_out;
}

bool held_claims_is_lost(const struct task *task)
{
    return task->held != NULL && atomic_load(&task->held->is_lost);
}

void held_claims_run_over(struct task *task)
{
    if (task->held != NULL)
        atomic_store(&task->held->running_ms, 0);
}

uint64_t held_claims_moves(struct held_claims *claims)
{
    mutex_lock(&claims->lock);
    uint64_t moves = claims->moves;
    mutex_unlock(&claims->lock);
    return moves;
}

void held_claims_each(struct held_claims *claims, void (*look)(const struct task *task, void *arg), void *arg)
{
    mutex_lock(&claims->lock);
    for (const struct task *task = claims->first; task != NULL; task = task->held->next)
        look(task, arg);
    mutex_unlock(&claims->lock);
}
