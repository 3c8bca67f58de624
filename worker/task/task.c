#include "task/task.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "redis/session_store.h"
#include "task/task_part.h"
#include "telemetry/metrics.h"
#include "wire/record_time.h"

#define LANE_BYTES 256 /* its lane and its entries in tables */

static void charge(struct task *task, size_t input_bytes, size_t end_bytes)
{
    METRIC_ADD(jobs_alive_bytes, (int64_t)(input_bytes + end_bytes) - (int64_t)task->bytes);
    METRIC_ADD(jobs_ended_bytes, (int64_t)end_bytes - (int64_t)task->end_bytes);
    task->input_bytes = input_bytes;
    task->end_bytes = end_bytes;
    task->bytes = input_bytes + end_bytes;
}

void task_weigh_input(struct task *task)
{
    charge(task, alloc_bytes(sizeof *task) + LANE_BYTES + text_bytes(task->job.session) + record_bytes(&task->record) + job_bytes(&task->job),
           task->end_bytes);
}

void task_weigh_end(struct task *task)
{
    charge(task, task->input_bytes, text_bytes(task->reply) + text_bytes(task->turn) + text_bytes(task->said) + task->published_bytes[0] + task->published_bytes[1]);
}

struct task *task_create(struct record *record, struct partition *partition)
{
    struct task *task = xzalloc(sizeof *task);
    atomic_init(&task->references, 1);
    task->record = *record;
    *record = (struct record){0};
    task->partition = partition_ref(partition);
    int64_t now_us = clock_mono_us();
    task->received_ms = task->seen_ms = now_us / 1000;
    task->steps.lane = -1;
    task_steps_queued(task, "turn", now_us);
    task->received_wall_ms = clock_wall_ms();
    METRIC_ADD(jobs_alive, 1);
    task_weigh_input(task);
    return task;
}

struct task *task_ref(struct task *task)
{
    atomic_fetch_add(&task->references, 1);
    return task;
}

void task_unref(struct task *task)
{
    if (task == NULL || atomic_fetch_sub(&task->references, 1) != 1)
        return;
    assert(task->held == NULL && "held_claims.h still has it, without a reference");
    assert(task->reservations == NULL && "settling.h has them before the task goes");
    METRIC_ADD(jobs_alive, -1);
    METRIC_ADD(jobs_alive_bytes, -(int64_t)task->bytes);
    METRIC_ADD(jobs_ended_bytes, -(int64_t)task->end_bytes);
    partition_unref(task->partition);
    task_part_free(task->entry);
    if (task->begin != NULL)
        begin_op_finish(task->begin);
    task_part_free(task->begin);
    task_part_free(task->failures);
    task_part_free(task->asking);
    task_part_free(task->end);
    job_finish(&task->job);
    record_finish(&task->record);
    free(task->said);
    free(task->reply);
    free(task->turn);
    free(task);
}

int task_attempts(const struct task *task)
{
    return (int)task->fails + (task->error.class == ERROR_RETRIABLE || task->error.class == ERROR_PERMANENT ||
                                     task->outcome == OUTCOME_OK);
}

int64_t task_until_ms(const struct task *task, int64_t llm_deadline_ms)
{
    int64_t until = task->begun_ms + llm_deadline_ms;
    if (task->job.deadline_ms == 0)
        return until;
    struct record_time time = record_time_look(task->record.timestamp_ms, task->received_wall_ms);
    int64_t from_ms = record_time_is_unknown(time.fault) ? task->seen_ms : task->received_ms - time.age_ms;
    int64_t own; /* on overflow the deadline is none */
    return __builtin_add_overflow(from_ms, task->job.deadline_ms, &own) || own > until ? until : own;
}
