#include "dispatch/held_claims.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"

struct held_claims {
    int64_t lease_ms, renew_ms;
    struct mutex lock; /* guards the list */
    struct task *first, *last; /* by renew_due_ms */
};

struct held_claims *held_claims_create(int64_t lease_ms)
{
    struct held_claims *claims = xcalloc(1, sizeof *claims);
    claims->lease_ms = lease_ms;
    claims->renew_ms = lease_ms / 3;
    mutex_init(&claims->lock);
    return claims;
}

void held_claims_destroy(struct held_claims *claims)
{
    if (claims == NULL)
        return;
    mutex_destroy(&claims->lock);
    free(claims);
}

static void unlink_locked(struct held_claims *claims, struct task *task)
{
    *(task->claimed_prev ? &task->claimed_prev->claimed_next : &claims->first) = task->claimed_next;
    *(task->claimed_next ? &task->claimed_next->claimed_prev : &claims->last) = task->claimed_prev;
    task->claimed_prev = task->claimed_next = NULL;
}

/* Every claim is due the same time after it joins, so appending keeps the list sorted. */
static void append_locked(struct held_claims *claims, struct task *task)
{
    task->renew_due_ms = clock_mono_ms() + claims->renew_ms;
    task->claimed_prev = claims->last;
    task->claimed_next = NULL;
    *(claims->last ? &claims->last->claimed_next : &claims->first) = task;
    claims->last = task;
}

void held_claims_add(struct held_claims *claims, struct task *task)
{
    mutex_lock(&claims->lock);
    task->claimed = true;
    task->renewed_ms = task->begin_sent_ms;
    append_locked(claims, task);
    mutex_unlock(&claims->lock);
}

void held_claims_remove(struct held_claims *claims, struct task *task)
{
    mutex_lock(&claims->lock);
    if (task->claimed) {
        task->claimed = false;
        unlink_locked(claims, task);
    }
    mutex_unlock(&claims->lock);
}

size_t held_claims_take_due(struct held_claims *claims, struct renewal *renewals, size_t max)
{
    mutex_lock(&claims->lock);
    int64_t now = clock_mono_ms();
    size_t n = 0;
    while (n < max && claims->first != NULL && claims->first->renew_due_ms <= now) {
        struct task *task = claims->first;
        unlink_locked(claims, task);
        append_locked(claims, task);
        renewals[n++] = (struct renewal){.task = task_ref(task), .claim = task->begin.claim};
    }
    mutex_unlock(&claims->lock);
    return n;
}

/* A token changes only while its task isn't in here. */
bool held_claims_lose(struct held_claims *claims, struct task *task, const char *token)
{
    mutex_lock(&claims->lock);
    bool held = task->claimed && strcmp(task->begin.claim.token, token) == 0;
    if (held)
        atomic_store(&task->claim_lost, true);
    mutex_unlock(&claims->lock);
    return held;
}

void held_claims_renewed(struct held_claims *claims, struct task *task, int64_t at_ms)
{
    mutex_lock(&claims->lock);
    task->renewed_ms = at_ms;
    mutex_unlock(&claims->lock);
}

bool held_claims_ran_out(struct held_claims *claims, struct task *task)
{
    int64_t now_ms = clock_mono_ms();
    if (now_ms < task->begin_sent_ms + claims->lease_ms) /* the usual: no lock */
        return false;
    mutex_lock(&claims->lock);
    bool ran_out = now_ms >= task->renewed_ms + claims->lease_ms;
    mutex_unlock(&claims->lock);
    return ran_out;
}

bool held_claims_find(struct held_claims *claims, const struct partition *partition, int64_t offset, char *job, size_t size)
{
    mutex_lock(&claims->lock);
    const struct task *task = claims->first;
    while (task != NULL && (task->partition != partition || task->record.offset != offset))
        task = task->claimed_next;
    if (task != NULL)
        snprintf(job, size, "%s", task->job.id);
    mutex_unlock(&claims->lock);
    return task != NULL;
}
