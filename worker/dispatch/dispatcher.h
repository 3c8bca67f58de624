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

/* Pool thread `index`: waits for a job. NULL: stopped. Waiting threads are woken last in, first out: the
 * warm ones work, the others sleep on. */
struct task *dispatcher_take(struct dispatcher *d, int index);
/* The thread has handed its job to completion. */
void dispatcher_taken_done(struct dispatcher *d);

/* Parks a task for wait_ms, its lane held; then it is begun again. False, and nothing done: its partition was
 * revoked, or it was cancelled (checked under the lock that dispatcher_remove_waiting and dispatcher_cancel take, so that
 * none slips in behind them) and isn't one of those that wait for another's end (task->cancel_told). One whose claim
 * is another's is no suspect meanwhile, lest all others stop each time it asks again; begin will say what it is then. */
bool dispatcher_wait(struct dispatcher *d, struct task *task, int64_t wait_ms);
/* Those that are parked for a start which this provider's rate allows later may have theirs then (clock_mono_ms). Looks at all
 * that are parked. */
void dispatcher_hasten(struct dispatcher *d, size_t provider, int64_t due_ms);
/* Parks a task that was found unreleased after so many crashes until it may run, among few or alone
 * (dispatch/admission.h). False as dispatcher_wait. */
bool dispatcher_suspect(struct dispatcher *d, struct task *task, int64_t crashes);
/* At most so many under way from now on, and by which rule the next one is chosen; what runs goes on.
 * ADMISSION_UNBOUNDED: as many as there are threads. */
void dispatcher_permit(struct dispatcher *d, size_t permits, enum start_rule rule);
/* What there is to do. */
struct dispatcher_load {
    int64_t in_hand;   /* jobs from dispatcher_add to dispatcher_end */
    int64_t to_ask;    /* of them those that aren't behind another of their lane */
    bool kept_waiting; /* some could be begun, and too many are under way */
};
struct dispatcher_load dispatcher_load(struct dispatcher *d);

/* The hand-over of a lane: the next of it is begun in the round trip that ends the task (a hop and a round trip less between
 * two jobs of a session). One begin, one end; between them task->entry->successor is set.
 *
 * Begin, whoever holds the running task. False: there is none behind it, or it isn't to be begun ahead: others are before it
 * by start_order.h, what may be under way is bounded, or enough are begun that have no thread yet. own_thread: the caller is the task's thread and would go on with the
 * successor itself (no thread switch at all between the two); false also while one that is before it waits for a thread, or
 * more are being begun than threads are free. */
bool dispatcher_hand_over_begin(struct dispatcher *d, struct task *task, bool own_thread);
enum hand_over {
    HAND_OVER_BACK,       /* the task hasn't ended: the successor stands behind it again, and will be begun anew */
    HAND_OVER_ANY_THREAD, /* it has the lane, and is ready for whichever thread is next; the task is to be ended */
    HAND_OVER_OWN_THREAD  /* the same, and the caller goes on with it; where it is closed as ANY_THREAD: the drain finds it */
};
enum handed_over {
    HANDED_OVER,   /* nothing is left to do; also where no hand-over was begun */
    HANDED_TO_RUN, /* OWN_THREAD: *ret_successor is the caller's to run */
    HANDED_TO_END  /* the same to end: it has an outcome, or was cancelled; given back, it is of no lane any more */
};
enum handed_over dispatcher_hand_over_end(struct dispatcher *d, struct task *task, enum hand_over how, struct task **ret_successor);
/* The task has ended: its lane, if it has it still, goes to the next, which lines up, and its entry is freed. Once, and before
 * giving up the last reference. */
void dispatcher_end(struct dispatcher *d, struct task *task);
/* True when another job waits behind this one in its lane: then its end is urgent. */
bool dispatcher_has_successor(struct dispatcher *d, const struct task *task);

/* Timekeeper: moves due timers back to begin, and lets through what has passed its deadline while few may start;
 * sleeps at most max_ms, less when a timer is due sooner. False: stopped. */
bool dispatcher_tick(struct dispatcher *d, int64_t max_ms);

/* Where a job is, for whoever looks for one that is stuck. */
enum task_place {
    PLACE_ENDING, /* with a thread, the begin thread, completion or the publisher, or gone */
    PLACE_LANE,   /* behind another of its lane */
    PLACE_LINE,   /* to be begun */
    PLACE_SUSPECT,
    PLACE_READY, /* for a thread */
    PLACE_TIMER
};
/* Where the job of this partition and offset waits; *job gets its id. PLACE_ENDING and "": it isn't here, but with a
 * thread, the begin thread or completion. Looks at all of the partition's that wait: for what is stuck only. */
enum task_place dispatcher_find(struct dispatcher *d, const struct partition *partition, int64_t offset, char *job, size_t size);
/* Takes out everything not with a thread or the begin thread: of one partition, or of all (NULL). Returns a
 * list linked by `next`; their lanes are released. The caller drops them. Looks at those that it takes out, and at no others. */
struct task *dispatcher_remove_waiting(struct dispatcher *d, const struct partition *partition);
/* How many tasks these two have looked at so far. */
uint64_t dispatcher_looked(struct dispatcher *d);
/* Cancels every job of this id: those that are here, and those that are added from now on (dispatch/cancelled_ids.h). Returns
 * those that waited, in a list linked by `next`, for the caller to end: one that was behind another has no lane any more,
 * the others hold theirs until their end. *ret_elsewhere: others have one, which is flagged. */
struct task *dispatcher_cancel(struct dispatcher *d, const char *job_id, int64_t now_ms, bool *ret_elsewhere);
/* From now on no new head is begun and no job handed out; what runs goes on. */
void dispatcher_close(struct dispatcher *d);
/* Wakes every waiting thread for good. */
void dispatcher_stop(struct dispatcher *d);

#endif
