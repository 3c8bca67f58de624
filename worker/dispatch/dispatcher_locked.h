/* What the dispatcher's files share: its state, and the steps that they take under its mutex. Private to dispatcher*.c.
 *
 * Functions named _locked want the mutex held; all else is of the calls that dispatcher.h, dispatcher_hand_over.h and dispatcher_waiting.h describe. */
#ifndef CHAT_DISPATCH_DISPATCHER_LOCKED_H
#define CHAT_DISPATCH_DISPATCHER_LOCKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mutex.h"
#include "dispatch/cancelled_ids.h"
#include "dispatch/dispatcher.h"
#include "dispatch/job_index.h"
#include "dispatch/sleepers.h"
#include "dispatch/task_places.h"

struct dispatcher {
    bool batched;
    size_t ahead_max; /* ready jobs without a thread yet */
    int64_t ended_bytes_max; /* 0: no bound */
    int64_t (*now_ms)(void);

    struct mutex lock; /* guards all below */
    struct task_places places; /* where each task is */
    uint64_t added;
    struct job_index jobs; /* from dispatcher_add to dispatcher_end */
    struct cancelled_ids cancelled;
    struct sleepers sleepers;
    uint64_t looked;
    bool ends_held; /* nothing started for ended_bytes_max: looked at again now and then */
    bool closed;
    bool stopped;
    struct cond begin_wake;
    struct cond timer_wake;
};

/* The ends of those that ran must go first: nothing starts. */
bool dispatcher_ends_hold_locked(struct dispatcher *d);
/* How many more may be begun that have no thread yet. */
size_t dispatcher_room_ahead_locked(const struct dispatcher *d);
/* A task that a thread may have: to the thread that slept last, else it is ready for the next. */
void dispatcher_offer_locked(struct dispatcher *d, struct task *task);
/* Lets go on what may: called whenever something lined up, or something that ran has stopped. */
void dispatcher_pump_locked(struct dispatcher *d);
/* The task leaves its lane: to the next of it, which lines up, or the lane is at its end. The caller pumps. */
void dispatcher_leave_lane_locked(struct dispatcher *d, struct task *task);

/* Marks it cancelled, unless it is so already. */
void dispatcher_flag_locked(struct task *task, int64_t now_ms);
/* It is cancelled, and the thread that has it ends it; false while it waits for the end of another worker's run. */
bool dispatcher_is_cancelled(const struct task *task);
/* It has no outcome yet, and isn't to be ended. */
bool dispatcher_is_to_run(const struct task *task);

#endif
