/* The pool threads without a job, last in first out: recently used ones work, others sleep on. Each sleeps on its own condition, so that
 * a signal wakes only that thread. The dispatcher's lock guards it. */
#ifndef CHAT_DISPATCH_SLEEPERS_H
#define CHAT_DISPATCH_SLEEPERS_H

#include <stddef.h>

#include "base/mutex.h"

struct task;
struct sleeper;

struct sleepers {
    struct sleeper *all; /* one for each pool thread, by its index */
    struct sleeper *idle;
    size_t count; /* of idle threads */
};

void sleepers_init(struct sleepers *sleepers, size_t threads);
void sleepers_finish(struct sleepers *sleepers); /* no thread sleeps */
/* Thread `index` becomes idle; sleepers_sleep blocks until the thread is given a task or all are woken (NULL). */
void sleepers_lie_down(struct sleepers *sleepers, int index);
struct task *sleepers_sleep(struct sleepers *sleepers, int index, struct mutex *lock) REQUIRES(*lock);
/* Gives the task to the thread that slept last, and wakes it; one must sleep. */
void sleepers_give(struct sleepers *sleepers, struct task *task);
void sleepers_wake_all(struct sleepers *sleepers);

#endif
