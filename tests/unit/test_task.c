/* A task's memory is counted, with its parts, and freed with it. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "breakers/task_failures.h"
#include "chat/asking.h"
#include "completion/end.h"
#include "dispatch/dispatch_entry.h"
#include "redis/session_store.h"
#include "telemetry/metrics.h"

static struct partition *partition;

static void setup(void)
{
    partition = partition_create("jobs", 0, 1);
}

static void teardown(void)
{
    partition_unref(partition);
}

TestSuite(task, .init = setup, .fini = teardown);

static struct task *received(void)
{
    struct record record = {.topic = xstrdup("jobs"), .timestamp_ms = -1};
    return task_create(&record, partition);
}

static int64_t alive_bytes(void)
{
    return metric_get(METRIC_jobs_alive_bytes);
}

Test(task, a_part_counts_from_its_making_to_its_end)
{
    struct task *task = received();
    int64_t without = alive_bytes();
    dispatch_entry_make(task);
    cr_expect_geq(alive_bytes(), without + (int64_t)sizeof(struct dispatch_entry));
    dispatch_entry_free(task);
    cr_expect_eq(alive_bytes(), without);
    task_unref(task);
    cr_expect_eq(alive_bytes(), 0);
}

Test(task, parts_that_are_left_go_with_it)
{
    struct task *task = received();
    dispatch_entry_make(task);
    task->begin = task_part_make(sizeof *task->begin);
    task->begin->reply = xstrdup("{}");
    task->failures = task_part_make(sizeof *task->failures);
    asking_set_refused_by(task, 1);
    end_owe(task, false);
    task_unref(task);
    cr_expect_eq(alive_bytes(), 0);
    cr_expect_eq(metric_get(METRIC_jobs_alive), 0);
}

Test(task, what_a_try_leaves_for_the_next_is_kept_for_a_next_one_alone)
{
    struct task *task = received();
    asking_set_refused_by(task, 0);
    asking_set_too_slow_ms(task, 0);
    cr_expect_null(task->asking, "nothing is kept");
    asking_set_refused_by(task, 5);
    asking_set_too_slow_ms(task, 7);
    task->outcome = OUTCOME_WAIT;
    asking_end_try(task);
    cr_expect(asking_refused_by(task) == 5 && asking_too_slow_ms(task) == 7);
    asking_set_too_slow_ms(task, 0);
    task->outcome = OUTCOME_OK;
    asking_end_try(task);
    cr_expect(task->asking == NULL && asking_refused_by(task) == 0 && asking_too_slow_ms(task) == 0);
    task_unref(task);
}
