/* Orders jobs, bounds what runs, and hands a ready job to a free thread.
 *
 *   intake ─add─▶ lane ─(its head)─▶ in line ─begin thread─▶ ready ─take─▶ pool thread ─▶ completion ─end─┐
 *                  ▲                     ▲                                                                │
 *                  └── successor ────────┼── timers (retry, busy claim) ◀── wait ─────────────────────────┤
 *                                        └── the lane's next head ◀───────────────────────────────────────┘
 *
 * Each task is in one state (task_state.h) and one place (task_places.h), and each call below is a step from one to the next. Who starts next: start_order.h; how many
 * may: admission.h; what is done strictly in turn: lanes.h. In the per-thread form there is no begin thread: who starts is ready at
 * once. Those that are ready are given to threads by the order in which they start, too: who came back from a wait
 * passes younger ones that were begun before it.
 *
 * A job is cancelled by its id. Where it waits here it is taken out at once; where somebody has it (begin thread, pool
 * thread, completion) task->cancelled is set, and that one ends it, or at the latest when it comes back: none is taken in
 * with the flag set. So from dispatcher_cancel's return no job of this id waits here.
 *
 * One mutex, held for a few pointer moves, never across I/O; longer where it says "looks at all". Any thread, unless said
 * otherwise. */
#ifndef CHAT_DISPATCH_DISPATCHER_H
#define CHAT_DISPATCH_DISPATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatch/start_order.h"
#include "settings/settings.h"
#include "task/task.h"

struct dispatcher;

struct dispatcher *dispatcher_create(enum ordering ordering, enum redis_io redis_io, int threads);
/* While ended jobs whose ends Redis and Kafka haven't taken hold so many bytes (jobs_ended_bytes), no job starts: each would
 * end with one more. 0, as at first: no bound. Before any thread. */
void dispatcher_bound_ends(struct dispatcher *d, int64_t bytes);
bool dispatcher_waits_for_ends(struct dispatcher *d); /* it is so now. Any thread */
/* What it takes for clock_mono_ms. For tests; before any thread. */
void dispatcher_use_clock(struct dispatcher *d, int64_t (*now_ms)(void));
void dispatcher_destroy(struct dispatcher *d); /* empty, its threads gone; NULL is fine */

/* Takes a decoded job. Intake thread. False: its id was cancelled before; the caller ends it. */
bool dispatcher_add(struct dispatcher *d, struct task *task);
/* The same of one that has ended already, since its record can't be decoded: it is in no table, and ends as the others do. */
void dispatcher_add_ended(struct dispatcher *d, struct task *task);

/* Begin thread: waits for heads worth beginning: while a thread is free at once, else when few ready ones
 * are left, so that begins come in batches. Returns how many (up to max); 0: stopped. */
size_t dispatcher_take_heads(struct dispatcher *d, struct task **tasks, size_t max);
/* The begin thread's answer for those heads: ready for a thread, and nulled. Those that have an outcome, or were cancelled
 * meanwhile, are left: the caller ends them. */
void dispatcher_ready(struct dispatcher *d, struct task **tasks, size_t n);

/* Pool thread `index`: waits for a job. NULL: stopped. Waiting threads are woken last in, first out: whoever
 * worked a moment ago has its stack and its connections at hand, and idle threads stay asleep. */
struct task *dispatcher_take(struct dispatcher *d, int index);
/* The thread has handed its job to completion. */
void dispatcher_taken_done(struct dispatcher *d);

/* Parks a task for wait_ms, its lane held; then it is begun again. False, and nothing done: its partition was
 * revoked, or it was cancelled (checked under the lock that dispatcher_remove_waiting and dispatcher_cancel take, so that
 * none slips in behind them) and isn't one of those that wait for the end of another worker's run (task->cancel_told). A task whose claim
 * another worker holds doesn't count as a suspect while it waits, or no other job could start each time it asks again; the next begin says what it is. */
bool dispatcher_wait(struct dispatcher *d, struct task *task, int64_t wait_ms);
/* Tasks that are parked until this provider's rate lets them start are due at due_ms (clock_mono_ms), unless they are due before.
 * Looks at all that are parked. */
void dispatcher_hasten(struct dispatcher *d, size_t provider, int64_t due_ms);
/* Parks a task that was found unreleased after so many crashes until it may run, among few or alone
 * (dispatch/admission.h). False as dispatcher_wait. */
bool dispatcher_suspect(struct dispatcher *d, struct task *task, int64_t crashes);
/* At most so many under way from now on, and by which rule the next one is chosen; what runs goes on.
 * ADMISSION_UNBOUNDED: as many as there are threads. */
void dispatcher_bound(struct dispatcher *d, size_t bound, enum start_rule rule);
/* What there is to do. */
struct dispatcher_load {
    int64_t in_hand;   /* jobs from dispatcher_add to dispatcher_end */
    int64_t to_ask;    /* of them those that aren't behind another of their lane */
    bool kept_waiting; /* some could be begun, and too many are under way */
};
struct dispatcher_load dispatcher_load(struct dispatcher *d);

/* The task has ended: its lane, if it has it still, goes to the next, which lines up, and its entry is freed. Once, and before
 * giving up the last reference. */
void dispatcher_end(struct dispatcher *d, struct task *task);
/* True when another job waits behind this one in its lane: then its end is urgent. */
bool dispatcher_has_successor(struct dispatcher *d, const struct task *task);

/* Timekeeper: moves due timers back to begin, and lets through what has passed its deadline while few may start;
 * sleeps at most max_ms, less when a timer is due sooner. False: stopped. */
bool dispatcher_tick(struct dispatcher *d, int64_t max_ms);

/* From now on no new head is begun and no job handed out; what runs goes on. */
void dispatcher_close(struct dispatcher *d);
/* Wakes every waiting thread for good. */
void dispatcher_stop(struct dispatcher *d);

#endif
