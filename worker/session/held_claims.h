/* The claims this process holds in Redis, from begin's answer until they are settled, in the order in which they are due
 * to be renewed: the one whose lease is out first. Holds no reference: a claim is taken out before its task goes.
 *
 * Each is a part of its task, task->held: made by held_claims_add and freed by held_claims_remove, NULL before and after. Whoever holds
 * the task calls these, so it may look at the pointer; any other thread only under the lock, which held_claims_each takes for it.
 *
 * A claim is due a third of the lease after Redis was last asked for it, so that an answer may take another third while an
 * earlier one is still awaited, which may take as long (settings_check.c holds redis.timeout_ms to that). Those begun at once would be due at once
 * for ever: so each look takes a twentieth of all with it, of those that have a quarter of the lease behind them. What Redis hasn't answered for stays
 * where it is, first.
 *
 * Any thread, but for what is the renewer's alone; a mutex held briefly. Where time is an argument it is clock_mono_ms. */
#ifndef CHAT_SESSION_HELD_CLAIMS_H
#define CHAT_SESSION_HELD_CLAIMS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/session_store.h"
#include "task/task.h"

struct held_claims;

struct held_claim {
    struct task *prev, *next; /* held_claims.c's, as the next two; guarded by its lock */
    int64_t renew_due_ms;
    int64_t renewed_ms;       /* before the begin, or the last renewal that Redis answered */
    int64_t begin_sent_ms;    /* before the begin; doesn't change, nor does the next */
    int64_t until_ms;         /* clock_mono_ms by which its job must have ended: what the renewer knows of the job's times, since begun_ms and seen_ms
                                 of the task are its holder's, who may write them anew while a renewal is under way */
    atomic_int_fast64_t running_ms; /* task->begun_ms, until the job comes to completion: a thread has it, or is to have it next; 0: from then on.
                                       The holder's to write, liveness.c reads it */
    atomic_bool is_lost;      /* another has it: set by the renewer, which then cuts the call; the holder reads it */
    bool end_sent;            /* session.c's: a finish went to Redis under this claim, whatever came of it */
};

struct held_claims *held_claims_create(int64_t lease_ms);
void held_claims_destroy(struct held_claims *claims); /* NULL is fine */

/* Makes task->held of task->begin's claim; begin_sent_ms: before Redis was asked; until_ms: task_until_ms. */
void held_claims_add(struct held_claims *claims, struct task *task, int64_t begin_sent_ms, int64_t until_ms);
/* Frees it; not held: nothing happens. */
void held_claims_remove(struct held_claims *claims, struct task *task);

/* ---- the renewer's ---- */

struct renewal {
    struct task *task;  /* a reference */
    struct claim claim; /* a copy, as the next: the task's holder may begin it again meanwhile; strings live with the task */
    int64_t until_ms;
};
/* Of what is to be renewed now the oldest, up to max and about so many bytes of ids (one at least), each with a reference. The same come again
 * until held_claims_renewed, _refused or _lose says what became of them. */
size_t held_claims_take_due(struct held_claims *claims, int64_t now_ms, size_t bytes_max, struct renewal *renewals, size_t max);
/* When to look again if none comes that is due sooner; INT64_MAX: none is held. */
int64_t held_claims_next_ms(struct held_claims *claims, int64_t now_ms);
/* Sleeps until held_claims_next_ms, or sooner where a claim comes that has spent much of its lease already; not before
 * not_before_ms, though, and a second at most. False: held_claims_stop was called. */
bool held_claims_sleep(struct held_claims *claims, int64_t not_before_ms);
void held_claims_stop(struct held_claims *claims);

/* Each of these: false, and nothing done: this claim isn't held here any more.
 * Redis renewed it; at_ms: before it was asked. */
bool held_claims_renewed(struct held_claims *claims, struct task *task, const char *token, int64_t at_ms);
/* Redis answered, and not this: neither held nor lost. It is tried again some times before its lease is out. */
bool held_claims_refused(struct held_claims *claims, struct task *task, const char *token, int64_t now_ms);
/* Another holds it now, says Redis: marks it so. It doesn't come up again. */
bool held_claims_lose(struct held_claims *claims, struct task *task, const char *token);

/* ---- looks ---- */

/* Has the lease passed since Redis last said that it is ours, as when the process was stopped? The task's holder. */
bool held_claims_ran_out(struct held_claims *claims, struct task *task);
/* It is held, and the renewer heard that another has it. The task's holder. */
bool held_claims_is_lost(const struct task *task);
/* The job's run is over, or isn't to be: what is held now is only to be told. Not held: nothing happens. The task's holder. */
void held_claims_run_over(struct task *task);

/* Grows with each claim that is taken or given up. */
uint64_t held_claims_moves(struct held_claims *claims);
/* Shows each task that holds one. Under the lock: look must not call back. */
void held_claims_each(struct held_claims *claims, void (*look)(const struct task *task, void *arg), void *arg);

#endif
