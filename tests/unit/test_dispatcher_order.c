/* Who goes first when something may start: a probe that failed last, whoever waited for a permit first. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "dispatch/dispatcher.h"

static struct partition *partition;
static struct dispatcher *dispatcher;

static struct task *add(const char *session)
{
    static int64_t offset;
    struct record record = {.topic = xstrdup("jobs"), .offset = offset++, .timestamp_ms = -1, .key = xstrdup(session), .key_size = strlen(session)};
    struct task *task = task_create(&record, partition);
    task->job.session = xstrdup(session);
    dispatcher_add(dispatcher, task);
    return task;
}

static struct task *take(void)
{
    return dispatcher_take(dispatcher, 0);
}

/* It waits, and its time is up. */
static void wait_over(struct task *task)
{
    cr_assert(dispatcher_wait(dispatcher, task, 0));
    cr_assert(dispatcher_tick(dispatcher, 1000));
}

static void end(struct task *task)
{
    dispatcher_end(dispatcher, task);
    task_unref(task);
}

static void setup(void)
{
    partition = partition_create("jobs", 0, 1);
    dispatcher = dispatcher_create(ORDERING_KEY, REDIS_IO_PER_THREAD, 1);
}

static void teardown(void)
{
    cr_assert_null(dispatcher_remove_waiting(dispatcher, NULL));
    dispatcher_destroy(dispatcher);
    partition_unref(partition);
}

Test(dispatcher_order, a_probe_that_failed_goes_to_the_end_of_the_line, .init = setup, .fini = teardown)
{
    struct task *a = add("a"), *b = add("b");
    cr_assert_eq(take(), a);
    cr_assert_eq(take(), b);
    dispatcher_permit(dispatcher, 0, START_PROBES);
    wait_over(a);
    wait_over(b);
    dispatcher_permit(dispatcher, 1, START_PROBES);
    cr_assert_eq(take(), a, "the first probe");
    wait_over(a);
    cr_assert_eq(take(), b, "another one's turn");
    end(b);
    cr_assert_eq(take(), a);
    end(a);
}

Test(dispatcher_order, whoever_waited_for_a_permit_goes_first, .init = setup, .fini = teardown)
{
    struct task *reserved = add("a");
    cr_assert_eq(take(), reserved);
    dispatcher_permit(dispatcher, 0, START_PROBES);
    struct task *other = add("b");
    reservations_add(&reserved->reservations, &(struct reservation){.state = RESERVED_WAITS, .permit_tokens = RESERVED_NONE, .budget_tokens = RESERVED_NONE});
    wait_over(reserved);
    dispatcher_permit(dispatcher, 2, START_OLDEST);
    cr_assert_eq(take(), reserved, "a permit is for its time");
    cr_assert_eq(take(), other);
    reservations_finish(&reserved->reservations);
    end(reserved);
    end(other);
}
