#include "dispatch/sleepers.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/alloc.h"

struct sleeper {
    struct cond wake;
    struct task *given;
    bool is_idle;
    struct sleeper *next;
};

void sleepers_init(struct sleepers *sleepers, size_t threads)
{
    *sleepers = (struct sleepers){.all = xcalloc(threads, sizeof *sleepers->all)};
    for (size_t i = 0; i < threads; i++)
        cond_init(&sleepers->all[i].wake);
}

void sleepers_finish(struct sleepers *sleepers)
{
    free(sleepers->all);
}

void sleepers_lie_down(struct sleepers *sleepers, int index)
{
    struct sleeper *self = &sleepers->all[index];
    self->given = NULL;
    self->is_idle = true;
    self->next = sleepers->idle;
    sleepers->idle = self;
    sleepers->count++;
}

struct task *sleepers_sleep(struct sleepers *sleepers, int index, struct mutex *lock)
{
    struct sleeper *self = &sleepers->all[index];
    while (self->is_idle)
        cond_wait(&self->wake, lock);
    struct task *given = self->given;
    self->given = NULL;
    return given;
}

static struct sleeper *wake(struct sleepers *sleepers)
{
    struct sleeper *sleeper = sleepers->idle;
    sleepers->idle = sleeper->next;
    sleepers->count--;
    sleeper->is_idle = false;
    cond_signal(&sleeper->wake);
    return sleeper;
}

void sleepers_are_loops(struct sleepers *sleepers, size_t slots, sleepers_give_to_loop *give, void *arg)
{
    free(sleepers->all);
    *sleepers = (struct sleepers){.count = slots, .give = give, .give_arg = arg};
}

void sleepers_give(struct sleepers *sleepers, struct task *task)
{
    if (sleepers->give != NULL) {
        assert(sleepers->count > 0);
        sleepers->count--;
        sleepers->give(task, sleepers->give_arg);
        return;
    }
    assert(sleepers->idle != NULL);
    wake(sleepers)->given = task;
}

void sleepers_wake_all(struct sleepers *sleepers)
{
    while (sleepers->idle != NULL)
        (void)wake(sleepers);
}
