/* The end of every job, in one thread and in batches: send finish or release to Redis, publish the reply and
 * the dead letter, give the lane to the successor, and on the broker's acknowledgement mark the offset done.
 *
 * Finishes gather for up to worker.gather_ms so that they share a round trip (waiting_ends.h); an end that another job of
 * its lane waits for is carried out at once, by the job's own thread if no older job needs it. While Redis is away, ends are kept and tried again;
 * the threads bound their number, since no job can be begun meanwhile. */
#ifndef CHAT_COMPLETION_COMPLETION_H
#define CHAT_COMPLETION_COMPLETION_H

#include "task/service.h"
#include "task/task.h"

struct completion;

struct completion *completion_create(const struct service *service);
enum status completion_start(struct completion *completion, struct error *err) MUST_CHECK;
/* Takes *task, whose outcome is set, and nulls it. Any thread; takes a lock briefly. */
void completion_put(struct completion *completion, struct task **task);
/* Pool thread. As completion_put; but if another job of the lane waits, and no older job needs this thread, sends this task's finish and that
 * job's begin to Redis here, in one round trip, and returns that job to be run next: between two jobs of a session there is only that round trip.
 * NULL: no job to run. Blocks for the round trip. */
struct task *completion_put_and_go_on(struct completion *completion, struct task **task);
/* As completion_put, for a task that was begun and isn't to run: it has an outcome, or was cancelled since. */
void completion_put_unrun(struct completion *completion, struct task **task);
/* A list linked by `next` of tasks to drop without an end (revoked, draining). */
void completion_drop(struct completion *completion, struct task *list);
/* A list linked by `next` of cancelled tasks that no stage holds: ends them as cancelled. */
void completion_cancel(struct completion *completion, struct task *list);
/* Ends the thread once all ends put to it are carried out and acknowledged, or at until_ms. Returns COMPLETION_CLOSE_MS after that at the latest,
 * whatever Redis and Kafka do. False: a thread, completion's or the publisher's, is in a call that doesn't return. It is left running,
 * which is logged, and uses the service: the process must end without freeing that. Nothing is lost: records not acknowledged are
 * redelivered, and answers stored in Redis are published from there. */
bool completion_stop(struct completion *completion, int64_t until_ms);
#define COMPLETION_CLOSE_MS 4000
/* completion_stop has left a thread running. */
bool completion_is_left(const struct completion *completion);
/* Does nothing if a thread was left running. NULL is fine. */
void completion_destroy(struct completion *completion);

#endif
