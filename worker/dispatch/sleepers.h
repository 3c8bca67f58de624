/* The pool threads that have no job, last in first out: warm ones work, cold ones sleep on. Each sleeps on its own condition, so that
 * a wake-up reaches just that one. The dispatcher's lock guards it. */
#ifndef CHAT_DISPATCH_SLEEPERS_H
#define CHAT_DISPATCH_SLEEPERS_H

#include <stddef.h>

#include "base/mutex.h"

struct task;
struct sleeper;

struct sleepers {
    struct sleeper *all; /* one for each pool thread, by its index */
    struct sleeper *idle;
    size_t count; /* of the idle */
};

void sleepers_init(struct sleepers *sleepers, size_t threads);
void sleepers_finish(struct sleepers *sleepers); /* none sleeps */
/* Thread `index` is idle. It sleeps in the second, until it is given a task or all are woken (NULL). */
void sleepers_lie_down(struct sleepers *sleepers, int index);
struct task *sleepers_sleep(struct sleepers *sleepers, int index, struct mutex *lock) REQUIRES(*lock);
/* Wakes the one that slept last with it; there is one. */
void sleepers_give(struct sleepers *sleepers, struct task *task);
void sleepers_wake_all(struct sleepers *sleepers);

#endif
