/* The claims this process holds in Redis, from begin's answer until they are settled, in the order in which they are due
 * to be renewed: the lease that expires first comes first. Holds no reference: a claim is removed before its task is freed.
 *
 * Each is a part of its task, task->held: made by held_claims_add and freed by held_claims_remove, NULL before and after. Only the thread that holds
 * the task calls these, so it may read the pointer; other threads only under the lock, which held_claims_each takes.
 *
 * A claim is due a third of the lease after the last begin or renewal was sent, so that the answer may take another third after waiting
 * for an earlier one, which may take as long (settings_check.c bounds redis.timeout_ms by that). Claims begun together would be due together
 * for ever: so each look also takes a twentieth of all claims, of those with a quarter of the lease behind them. A claim whose renewal got no
 * answer stays first.
 *
 * Any thread, except the renewer's functions; a mutex held briefly. Times given as arguments are clock_mono_ms. */
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
    struct task *prev, *next; /* this and the next two: held_claims.c's, guarded by its lock */
    int64_t renew_due_ms;
    int64_t renewed_ms;       /* when the begin, or the last renewal that Redis answered, was sent */
    int64_t begin_sent_ms;    /* when the begin was sent; this and until_ms don't change */
    int64_t until_ms;         /* clock_mono_ms by which its job must have ended: the only time of the job that the renewer reads, since begun_ms and seen_ms
                                 of the task may be written by its holder while a renewal is under way */
    atomic_int_fast64_t running_ms; /* task->begun_ms, while a thread has the job or gets it next; 0 once it is put to completion.
                                       Written by the holder, read by liveness.c */
    atomic_bool is_lost;      /* another worker holds the claim: set by the renewer, which then cancels the call; read by the holder */
    bool end_sent;            /* session.c's: a finish was sent under this claim, answered or not */
};

struct held_claims *held_claims_create(int64_t lease_ms);
void held_claims_destroy(struct held_claims *claims); /* NULL is fine */

/* Makes task->held from task->begin's claim; begin_sent_ms: taken before the begin was sent; until_ms: task_until_ms. */
void held_claims_add(struct held_claims *claims, struct task *task, int64_t begin_sent_ms, int64_t until_ms);
/* Frees task->held; does nothing if it is NULL. */
void held_claims_remove(struct held_claims *claims, struct task *task);

/* ---- the renewer's ---- */

struct renewal {
    struct task *task;  /* a reference */
    struct claim claim; /* a copy, like until_ms: the task's holder may begin again meanwhile; strings live as long as the task */
    int64_t until_ms;
};
/* The oldest of the claims due now, up to max and about so many bytes of ids (one at least), each with a reference. They stay due
 * until held_claims_renewed, _refused or _lose is called. */
size_t held_claims_take_due(struct held_claims *claims, int64_t now_ms, size_t bytes_max, struct renewal *renewals, size_t max);
/* When the next claim is due, of those held now; INT64_MAX: none is held. */
int64_t held_claims_next_ms(struct held_claims *claims, int64_t now_ms);
/* Sleeps until held_claims_next_ms, or less if a claim is added that is due earlier; but at least until
 * not_before_ms, and a second at most. False: held_claims_stop was called. */
bool held_claims_sleep(struct held_claims *claims, int64_t not_before_ms);
void held_claims_stop(struct held_claims *claims);

/* Each of these three: false, and nothing is changed, if this claim is no longer held here.
 * Redis has renewed the claim; at_ms: when the renewal was sent. */
bool held_claims_renewed(struct held_claims *claims, struct task *task, const char *token, int64_t at_ms);
/* Redis answered with an error: neither renewed nor lost. The renewal is tried again several times before the lease expires. */
bool held_claims_refused(struct held_claims *claims, struct task *task, const char *token, int64_t now_ms);
/* Redis answered that another worker holds the claim: marks it as lost; it is never due again. */
bool held_claims_lose(struct held_claims *claims, struct task *task, const char *token);

/* ---- looks ---- */

/* Has the lease expired since Redis last confirmed the claim, as when the process was stopped? The task's holder. */
bool held_claims_ran_out(struct held_claims *claims, struct task *task);
/* The renewer has found that another worker holds the claim. The task's holder. */
bool held_claims_is_lost(const struct task *task);
/* The job won't run any more: its claim is held only until the end is stored. Does nothing if none is held. The task's holder. */
void held_claims_run_over(struct task *task);

/* Grows with each claim that is added or removed. */
uint64_t held_claims_moves(struct held_claims *claims);
/* Calls look for each task with a claim, under the lock: look must not call back. */
void held_claims_each(struct held_claims *claims, void (*look)(const struct task *task, void *arg), void *arg);

#endif
