/* The hand-over of a lane: a part of the dispatcher (dispatcher.h), under its mutex. The next job of the lane is begun in the round trip that finishes the
 * running one (a thread switch and a round trip less between two jobs of a session). Which job is next otherwise: start_order.h. */
#ifndef CHAT_DISPATCH_DISPATCHER_HAND_OVER_H
#define CHAT_DISPATCH_DISPATCHER_HAND_OVER_H

#include <stdbool.h>

#include "dispatch/dispatcher.h"

/* One begin, one end; between them task->entry->successor is set. Any thread.
 *
 * Begin: by the holder of the running task. False: no task is behind it, or that one can't be begun ahead: others are before it
 * by start_order.h, jobs under way are bounded, or enough jobs are begun that have no thread yet. own_thread: the caller is the task's thread and would
 * run the successor itself (no thread switch between the two); then false also while a job before the successor waits for a thread, or
 * more are being begun than threads are free. */
bool dispatcher_hand_over_begin(struct dispatcher *d, struct task *task, bool own_thread);
enum hand_over {
    HAND_OVER_BACK,       /* the task hasn't ended: the successor is behind it again, and will be begun again */
    HAND_OVER_ANY_THREAD, /* the successor is the lane's head, and ready for any thread; the caller must end the task */
    HAND_OVER_OWN_THREAD  /* as ANY_THREAD, but the caller runs the successor; after dispatcher_close as ANY_THREAD, so that the drain finds it */
};
enum handed_over {
    HANDED_OVER,   /* nothing is left to do; also if no hand-over was begun */
    HANDED_TO_RUN, /* OWN_THREAD: the caller runs *ret_successor */
    HANDED_TO_END  /* the caller ends *ret_successor: it has an outcome, or was cancelled; after BACK it is in no lane any more */
};
enum handed_over dispatcher_hand_over_end(struct dispatcher *d, struct task *task, enum hand_over how, struct task **ret_successor);

#endif
