/* Waiting jobs of the dispatcher (dispatcher.h): find, take out, cancel. A part of it, under its mutex. Any thread. */
#ifndef CHAT_DISPATCH_DISPATCHER_WAITING_H
#define CHAT_DISPATCH_DISPATCHER_WAITING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatch/dispatcher.h"

/* Where a job is, for the search for stuck jobs. */
enum task_place {
    PLACE_ENDING, /* with a thread, the begin thread, completion or the publisher, or freed */
    PLACE_LANE,   /* behind another of its lane */
    PLACE_LINE,   /* to be begun */
    PLACE_SUSPECT,
    PLACE_READY, /* for a thread */
    PLACE_TIMER
};
/* Where the job of this partition and offset waits; *job gets its id. PLACE_ENDING and "": it doesn't wait here.
 * O(n) in the partition's waiting jobs: only for the search for stuck jobs. */
enum task_place dispatcher_find(struct dispatcher *d, const struct partition *partition, int64_t offset, char *job, size_t size);
/* Takes out all waiting jobs, of one partition or of all (NULL). Returns a
 * list linked by `next`; their lanes are released. The caller drops them. O(n) in the jobs taken out. */
struct task *dispatcher_remove_waiting(struct dispatcher *d, const struct partition *partition);
/* How many tasks these two functions have visited so far. */
uint64_t dispatcher_looked(struct dispatcher *d);
/* Cancels every job of this id: those that are here, and those that are added from now on (dispatch/cancelled_ids.h). Returns
 * the waiting ones, in a list linked by `next`, for the caller to end: a task behind another is in no lane any more,
 * a lane's head keeps its lane until dispatcher_end. *ret_elsewhere: one is with a thread, the begin thread or completion, and is flagged. */
struct task *dispatcher_cancel(struct dispatcher *d, const char *job_id, int64_t now_ms, bool *ret_elsewhere);

#endif
