/* What the dispatcher's files share: its state, and the steps that they take under its mutex. Private to dispatcher*.c.
 *
 * Functions named _locked need the mutex held; the calls are described in dispatcher.h, dispatcher_hand_over.h and dispatcher_waiting.h. */
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
    bool ends_held; /* no job started because of ended_bytes_max: checked again every ENDS_LOOK_MS */
    bool closed;
    bool stopped;
    struct cond begin_wake;
    struct cond timer_wake;
};

/* ended_bytes_max is reached: no job starts before ends are stored and acknowledged. */
bool dispatcher_ends_hold_locked(struct dispatcher *d);
/* How many more jobs may be begun ahead of a free thread. */
size_t dispatcher_room_ahead_locked(const struct dispatcher *d);
/* Gives the task to the thread that slept last; if none sleeps, the task is ready for the next. */
void dispatcher_offer_locked(struct dispatcher *d, struct task *task);
/* Starts the jobs that may start: called whenever a job was queued, or a running job has stopped. */
void dispatcher_pump_locked(struct dispatcher *d);
/* The task leaves its lane: the next task becomes head and is queued, or the lane is freed. The caller pumps. */
void dispatcher_leave_lane_locked(struct dispatcher *d, struct task *task);

/* Marks the task as cancelled, unless it is already. */
void dispatcher_flag_locked(struct task *task, int64_t now_ms);
/* The task is cancelled, and its holder ends it; false while it waits for the end of another worker's run. */
bool dispatcher_is_cancelled(const struct task *task);
/* The task has no outcome yet, and isn't to be ended. */
bool dispatcher_is_to_run(const struct task *task);

#endif
