/* The hand-over of a lane: a part of the dispatcher (dispatcher.h), under its mutex. The next job of the lane is begun in the round trip that ends the
 * running one (a hop and a round trip less between two jobs of a session). Who is next otherwise: start_order.h. */
#ifndef CHAT_DISPATCH_DISPATCHER_HAND_OVER_H
#define CHAT_DISPATCH_DISPATCHER_HAND_OVER_H

#include <stdbool.h>

#include "dispatch/dispatcher.h"

/* One begin, one end; between them task->entry->successor is set. Any thread.
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

#endif
