#include "task/task_steps.h"

#include <string.h>

#include "base/clock.h"
#include "task/task.h"

#define WAIT_US_MIN 100 /* a lane that was free took the job: that is no wait */

void task_steps_queued(struct task *task, const char *queued_for, int64_t now_us)
{
    task->steps.queued_us = now_us;
    task->steps.queued_for = queued_for;
    task->steps.begin_us = task->steps.begun_us = 0;
}

void task_steps_taken(struct task *task, int lane, int64_t now_us)
{
    struct task_steps *steps = &task->steps;
    steps->lane = lane;
    steps_take(lane, task->record.partition, task->record.offset, task->job.id, now_us);
    if (!steps_are_wanted())
        return;
    int64_t in_line_until_us = steps->begin_us > 0 ? steps->begin_us : now_us;
    steps_before(lane, STEP_QUEUED, steps->queued_for, steps->queued_us, in_line_until_us);
    steps_before(lane, STEP_BEGIN, "redis", steps->begin_us, steps->begun_us);
    if (now_us - steps->begun_us >= WAIT_US_MIN)
        steps_before(lane, STEP_QUEUED, "lane", steps->begun_us, now_us);
}

void task_steps_enter_at(const struct task *task, enum step step, const char *waits_for, int64_t now_us)
{
    steps_enter(task->steps.lane, step, waits_for, now_us);
}

void task_steps_enter(const struct task *task, enum step step, const char *waits_for)
{
    task_steps_enter_at(task, step, waits_for, clock_mono_us());
}

void task_steps_left(struct task *task)
{
    task->steps.ended_us = steps_are_wanted() ? clock_mono_us() : 0;
}

void task_steps_ended(struct task *task, enum steps_ring ring, enum step step)
{
    if (!steps_are_wanted())
        return;
    struct step_bar bar = {.step = step,
                           .lane = task->steps.lane,
                           .waits_for = step == STEP_PUBLISH ? "kafka" : "redis",
                           .from_us = task->steps.ended_us,
                           .until_us = clock_mono_us(),
                           .job = {.partition = task->record.partition, .offset = task->record.offset}};
    strncpy(bar.job.id, task->job.id != NULL ? task->job.id : "", sizeof bar.job.id - 1);
    task->steps.ended_us = bar.until_us;
    steps_put(ring, &bar);
}
