/* From what happened to what is done about it: the one place that acts on an error's class. Pure but for
 * building the texts; runs in whichever thread holds the task. */
#ifndef CHAT_TASK_OUTCOME_H
#define CHAT_TASK_OUTCOME_H

#include "task/service.h"
#include "task/task.h"

/* The good end: builds the reply and the history's turn. Takes nothing of answer. */
void outcome_answered(const struct service *service, struct task *task, const struct llm_answer *answer);
/* task->error is set: retry, wait, dead letter or drop, by its class, the attempts and the deadline. */
void outcome_failed(const struct service *service, struct task *task);
/* What begin answered, for a task that is not to run: stored, busy, conflict. */
void outcome_not_begun(const struct service *service, struct task *task);
/* A dead end: builds the error reply. task->error says why. */
void outcome_dead(struct task *task);

/* The same where a reply was too large: what the job brought, which comes back, may be what is. */
void outcome_dead_small(struct task *task);

/* A control record asked for it: builds the reply of status cancelled. What was answered is thrown away. */
void outcome_cancelled(struct task *task);
/* False for one that has ended before, and for one that isn't ours to end any more. */
bool outcome_may_be_cancelled(enum outcome outcome);

/* True for the ends that Redis keeps: finish tells it of them, release of the others. */
bool outcome_is_final(enum outcome outcome);

#endif
