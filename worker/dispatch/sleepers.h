/* Where the next job can run at once. Pool threads without a job, last in first out: recently used ones work, others sleep on. Each sleeps on its own condition, so that
 * a signal wakes only that thread. Or, for event loops, how many free slots for jobs there are. The dispatcher's lock guards it. */
#ifndef CHAT_DISPATCH_SLEEPERS_H
#define CHAT_DISPATCH_SLEEPERS_H

#include <stddef.h>

#include "base/mutex.h"

struct task;
struct sleeper;

/* Queues the task for a loop: the dispatcher's lock is held. */
typedef void sleepers_give_to_loop(struct task *task, void *arg);

struct sleepers {
    struct sleeper *all; /* one for each pool thread, by its index */
    struct sleeper *idle;
    size_t count; /* of idle threads, or free slots */
    sleepers_give_to_loop *give; /* NULL: there are threads */
    void *give_arg;
};

void sleepers_init(struct sleepers *sleepers, size_t threads);
void sleepers_finish(struct sleepers *sleepers); /* no thread sleeps */
/* Thread `index` becomes idle; sleepers_sleep blocks until the thread is given a task or all are woken (NULL). */
void sleepers_lie_down(struct sleepers *sleepers, int index);
struct task *sleepers_sleep(struct sleepers *sleepers, int index, struct mutex *lock) REQUIRES(*lock);
/* Before any thread: event loops with so many free slots in place of threads. */
void sleepers_are_loops(struct sleepers *sleepers, size_t slots, sleepers_give_to_loop *give, void *arg);
/* Gives the task to the thread that slept last, and wakes it; or to a loop. There must be one. */
void sleepers_give(struct sleepers *sleepers, struct task *task);
void sleepers_wake_all(struct sleepers *sleepers);

#endif
