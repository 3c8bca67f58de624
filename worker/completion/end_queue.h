/* The ends that were put to a publisher and aren't done, in the order of put, which is that of their lanes; their states are those
 * of completion/end.h. What is there is held by a reference. No thread, no I/O: one thread's at a time. Zero is empty.
 *
 * Two rules of order. What is owed goes in its turn, however often it had to come back. And one that is `apart` goes by itself:
 * when nothing else is with the client, and nothing else goes until it is done, or held. */
#ifndef CHAT_COMPLETION_END_QUEUE_H
#define CHAT_COMPLETION_END_QUEUE_H

#include "completion/end.h"
#include "task/task_list.h"

struct end_queue {
    struct task_list owed, sent, held; /* each in the order of put; sent: INCOMPLETE ones, too */
    uint64_t turns;
    int64_t due_ms; /* none of held is due before: clock_mono_ms */
};

/* NEW → OWED, last in line. Takes a reference of its own. */
void end_queue_put(struct end_queue *queue, struct task *task);
/* The move itself. To DONE or DROPPED it leaves, and the queue's reference is given up: the caller has one, or looks at it no more.
 * A move that isn't one of end.h's is a bug, and asserts. */
void end_queue_move(struct end_queue *queue, struct task *task, enum publish_state to);
/* INCOMPLETE and nothing under way: to be held, or owed again, as not_before_ms says. */
void end_queue_again(struct end_queue *queue, struct task *task);

/* The next that may be enqueued, or NULL. */
struct task *end_queue_next(const struct end_queue *queue);
/* One goes by itself, or is the next to. */
bool end_queue_goes_apart(const struct end_queue *queue);
/* HELD → OWED of those that are due. */
void end_queue_release(struct end_queue *queue, int64_t now_ms);
/* → DROPPED of those `goes` is true of; NULL: of all. Returns how many. */
size_t end_queue_drop(struct end_queue *queue, bool (*goes)(const struct task *task));
/* The same of all that the client doesn't have. */
void end_queue_drop_waiting(struct end_queue *queue);
/* How many there are. */
size_t end_queue_count(const struct end_queue *queue);

#endif
