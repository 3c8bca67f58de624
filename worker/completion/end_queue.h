/* The ends that were put to a publisher and aren't done, in the order of put, which is that of their lanes; their states are those
 * of completion/end.h. Holds a reference on each. No thread, no I/O: used by one thread at a time. Zero is empty.
 *
 * Two rules of order. Owed ends are sent in the order of put, however often one had to be sent again. And an end that is `apart` is sent alone:
 * when the client has no other record, and no other is sent until this one is done or held. */
#ifndef CHAT_COMPLETION_END_QUEUE_H
#define CHAT_COMPLETION_END_QUEUE_H

#include "completion/end.h"
#include "task/task_list.h"

struct end_queue {
    struct task_list owed, sent, held; /* each in the order of put; sent: INCOMPLETE ones, too */
    uint64_t turns;
    int64_t due_ms; /* clock_mono_ms: when the first held end is due */
};

/* NEW → OWED, appended. Takes a reference of its own. */
void end_queue_put(struct end_queue *queue, struct task *task);
/* Changes the state. At DONE and DROPPED the task leaves the queue, which gives up its reference: the caller has one, or must not use the task again.
 * A change that isn't one of end.h's is a bug, and asserts. */
void end_queue_move(struct end_queue *queue, struct task *task, enum publish_state to);
/* INCOMPLETE with no record under way → HELD, or OWED, by not_before_ms. */
void end_queue_again(struct end_queue *queue, struct task *task);

/* The next end that may be enqueued, or NULL. */
struct task *end_queue_next(const struct end_queue *queue);
/* An end is being sent alone, or is the next to be. */
bool end_queue_goes_apart(const struct end_queue *queue);
/* HELD → OWED for ends that are due. */
void end_queue_release(struct end_queue *queue, int64_t now_ms);
/* → DROPPED for ends for which `goes` is true; NULL: for all. Returns how many. */
size_t end_queue_drop(struct end_queue *queue, bool (*goes)(const struct task *task));
/* → DROPPED for all ends with no record in the client. */
void end_queue_drop_waiting(struct end_queue *queue);
/* How many there are. */
size_t end_queue_count(const struct end_queue *queue);

#endif
