/* Orders jobs, bounds what runs, and hands a ready job to a free thread, or to an event loop with a free slot.
 *
 *   intake ─add─▶ lane ─(its head)─▶ in line ─begin thread─▶ ready ─take─▶ pool thread ─▶ completion ─end─┐
 *                  ▲                     ▲                                                                │
 *                  └── successor ────────┼── timers (retry, busy claim) ◀── wait ─────────────────────────┤
 *                                        └── the lane's next head ◀───────────────────────────────────────┘
 *
 * Each task is in one state (task_state.h) and one place (task_places.h), and each call below is a step from one state to another. Which job starts next:
 * start_order.h; how many may: admission.h; jobs done strictly in turn: lanes.h. In the per-thread form there is no begin thread: a started job is ready at
 * once. Ready jobs get threads in the start order, too: one that was parked passes younger ones that were begun before it.
 *
 * A job is cancelled by its id. If it waits here it is taken out at once; if another stage holds it (begin thread, pool
 * thread, completion) task->cancelled is set, and that stage ends it, at the latest when it would wait here again: no job is accepted
 * with the flag set. So after dispatcher_cancel has returned no job of this id waits here.
 *
 * One mutex, held for a few pointer moves, never across I/O; longer where a comment says O(n). Any thread, unless noted
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
/* While ended jobs that aren't stored in Redis or acknowledged by Kafka yet hold so many bytes (jobs_ended_bytes), no job starts: each would
 * add an end. 0, the initial value: no bound. Before any thread. */
void dispatcher_bound_ends(struct dispatcher *d, int64_t bytes);
bool dispatcher_waits_for_ends(struct dispatcher *d); /* that bound is reached now. Any thread */
/* Replaces clock_mono_ms. For tests; before any thread. */
void dispatcher_use_clock(struct dispatcher *d, int64_t (*now_ms)(void));
void dispatcher_destroy(struct dispatcher *d); /* empty, its threads joined; NULL is fine */

/* Takes a decoded job. Intake thread. False: its id was cancelled before; the caller ends it. */
bool dispatcher_add(struct dispatcher *d, struct task *task);
/* Takes a job that has ended already, since its record can't be decoded: it is in no table, and is ended by dispatcher_end like the others. */
void dispatcher_add_ended(struct dispatcher *d, struct task *task);

/* Begin thread: waits for heads to begin: returns at once while a thread is free, else when few ready jobs
 * are left, so that begins come in batches. Returns how many (up to max); 0: stopped. */
size_t dispatcher_take_heads(struct dispatcher *d, struct task **tasks, size_t max);
/* Begin thread: heads that were begun become ready for a thread, and are nulled. Those with an outcome, or cancelled
 * meanwhile, aren't nulled: the caller ends them. */
void dispatcher_ready(struct dispatcher *d, struct task **tasks, size_t n);

/* Pool thread `index`: waits for a job. NULL: stopped. Waiting threads are woken last in, first out: the thread that
 * worked last has its stack in the cache and its connections open, and idle threads stay asleep. */
struct task *dispatcher_take(struct dispatcher *d, int index);
/* Pool thread: it has given its job to completion. */
void dispatcher_taken_done(struct dispatcher *d);

/* Event loops in place of pool threads, with so many slots for jobs in all, free at first: a job is given by calling give, on any thread, under the
 * dispatcher's lock. Before any job. */
void dispatcher_give_to_loops(struct dispatcher *d, size_t slots, void (*give)(struct task *task, void *arg), void *arg);
/* Loop: a job's slot is free again. */
void dispatcher_slot_is_free(struct dispatcher *d);

/* Parks a task for wait_ms, its lane held; then it is begun again. False, and nothing is changed: its partition was
 * revoked, or it was cancelled (checked under the lock that dispatcher_remove_waiting and dispatcher_cancel take, so that
 * none is parked after them) and doesn't wait for the end of another worker's run (task->cancel_told). A task whose claim
 * another worker holds isn't a suspect while it waits, or no other job could start each time it is begun again; the next begin decides. */
bool dispatcher_wait(struct dispatcher *d, struct task *task, int64_t wait_ms);
/* Tasks parked for this provider's rate are due at due_ms (clock_mono_ms), unless they are due before.
 * O(n) in parked tasks. */
void dispatcher_hasten(struct dispatcher *d, size_t provider, int64_t due_ms);
/* Queues a task that was found unreleased after so many crashes until it may run, among few or alone
 * (dispatch/admission.h). False: as dispatcher_wait. */
bool dispatcher_suspect(struct dispatcher *d, struct task *task, int64_t crashes);
/* Sets how many jobs may be under way from now on, and by which rule the next one is chosen; running jobs go on.
 * ADMISSION_UNBOUNDED: as many as there are threads. */
void dispatcher_bound(struct dispatcher *d, size_t bound, enum start_rule rule);
/* Numbers of jobs in the dispatcher. */
struct dispatcher_load {
    int64_t in_hand;   /* jobs from dispatcher_add to dispatcher_end */
    int64_t to_ask;    /* those of them that aren't behind another of their lane */
    bool kept_waiting; /* jobs could be begun, but too many are under way */
};
struct dispatcher_load dispatcher_load(struct dispatcher *d);

/* The task has ended: the next task of its lane, if it is still the head, becomes the head and is queued; its entry is freed. Once, and before
 * the last reference is given up. */
void dispatcher_end(struct dispatcher *d, struct task *task);
/* True when another job waits behind this one in its lane: then its end is urgent. */
bool dispatcher_has_successor(struct dispatcher *d, const struct task *task);

/* Timekeeper: queues parked tasks that are due, and starts tasks past their deadline even while few may start;
 * sleeps at most max_ms, less when a timer is due sooner. False: stopped. */
bool dispatcher_tick(struct dispatcher *d, int64_t max_ms);

/* From now on no head is begun and no thread gets a job; running jobs go on. */
void dispatcher_close(struct dispatcher *d);
/* Makes every waiting thread return. */
void dispatcher_stop(struct dispatcher *d);

#endif
