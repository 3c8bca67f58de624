/* The end of every job, in one thread and in batches: tell Redis (finish or release), publish the reply and
 * the dead letter, give the lane to the successor, and on the broker's acknowledgement mark the offset done.
 *
 * Finishes gather for up to worker.gather_ms so that they share a round trip; an end that another job of
 * its lane waits for is carried out at once, by the job's own thread if that one is to spare. While Redis is away, ends are kept and tried again; how many
 * is bounded by the threads, since nothing new can be begun meanwhile. */
#ifndef CHAT_COMPLETION_COMPLETION_H
#define CHAT_COMPLETION_COMPLETION_H

#include "task/service.h"
#include "task/task.h"

struct completion;

struct completion *completion_create(const struct service *service);
enum status completion_start(struct completion *completion, struct error *err) MUST_CHECK;
/* Takes *task, whose outcome is set, and nulls it. Any thread; never blocks for long. */
void completion_put(struct completion *completion, struct task **task);
/* Pool thread. The same; but where another job of the lane waits, and none older for this thread, the end is told to Redis and that
 * other begun here, in one round trip, and it is returned to go on with: nothing is between two jobs of a session but that round trip.
 * NULL: nothing is to go on with. Blocks for the round trip. */
struct task *completion_put_and_go_on(struct completion *completion, struct task **task);
/* The same for one that was begun and isn't to run: it has an outcome, or was cancelled since. */
void completion_put_unrun(struct completion *completion, struct task **task);
/* A list linked by `next` of tasks to give back unfinished (revoked, draining). */
void completion_drop(struct completion *completion, struct task *list);
/* A list linked by `next` of tasks that were cancelled, and that nobody has: ends them so. */
void completion_cancel(struct completion *completion, struct task *list);
/* Ends the thread once what it was given is carried out and acknowledged, or at until_ms. Returns some seconds after that at the latest
 * (COMPLETION_CLOSE_MS), whatever Redis and Kafka do. False: a thread, its own or the publisher's, is in a call that doesn't end. It is left behind,
 * said in the log, and uses the service: the process must end without taking that apart. Nothing is lost: what wasn't acknowledged is
 * redelivered, and what was paid is answered from the store. */
bool completion_stop(struct completion *completion, int64_t until_ms);
#define COMPLETION_CLOSE_MS 4000
/* completion_stop has left a thread behind. */
bool completion_is_left(const struct completion *completion);
/* Nothing, if a thread was left behind. NULL is fine. */
void completion_destroy(struct completion *completion);

#endif
