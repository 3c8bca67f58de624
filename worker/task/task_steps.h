/* When a job came from one stage to the next, and the hooks that tell telemetry/steps.h of it. A job goes through three kinds of places:
 *
 *   in line   queued, begun in Redis, then until a lane takes it: the times are kept in the task, and become bars when a lane has it
 *   a lane    a thread or a slot: its steps as they are entered
 *   the end   finished in Redis, published: bars by the thread that carried it out, under the lane that the job had last. The lane itself may have
 *             its next job by then
 *
 * The holder of the task calls these. None blocks; a clock is read where none was at hand. */
#ifndef CHAT_TASK_TASK_STEPS_H
#define CHAT_TASK_TASK_STEPS_H

#include <stdint.h>

#include "telemetry/steps.h"

struct task;

/* clock_mono_us; 0: not yet, or unknown. */
struct task_steps {
    int lane;          /* that it has, or had last; -1: none */
    int64_t queued_us; /* received, or put in line again after an attempt */
    const char *queued_for; /* "turn", or after an attempt "retry", "permit", "wait" */
    int64_t begin_us;  /* its begin was sent to Redis */
    int64_t begun_us;  /* and was answered */
    int64_t ended_us;  /* its lane left it, or the step after that ended; 0 also where no bar was wanted then */
};

/* In line. */
void task_steps_queued(struct task *task, const char *queued_for, int64_t now_us);
/* In its lane; lane: of steps.h. */
void task_steps_taken(struct task *task, int lane, int64_t now_us);
void task_steps_enter(const struct task *task, enum step step, const char *waits_for);
void task_steps_enter_at(const struct task *task, enum step step, const char *waits_for, int64_t now_us);
/* At its end, which begins when it is given to completion. */
void task_steps_left(struct task *task);
/* The step since the last of these, or since task_steps_left, is over. */
void task_steps_ended(struct task *task, enum steps_ring ring, enum step step);

#endif
