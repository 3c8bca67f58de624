/* What Redis' answers to begin, finish, release and cancel mean for a task, and a lost claim. Sets the task's outcome where
 * the answer decides it, and makes and frees session's parts of the task. No I/O; on the thread that holds the task. */
#ifndef CHAT_SESSION_CLAIM_OUTCOME_H
#define CHAT_SESSION_CLAIM_OUTCOME_H

#include "task/service.h"
#include "task/task.h"

/* task->begin contains the answer to a begin sent at sent_ms (clock_mono_ms): the claim is held from now on, or the outcome set. in_outage:
 * the call failed, and Redis' breaker is open. */
void claim_outcome_begun(const struct service *service, struct task *task, int64_t sent_ms, bool in_outage);

/* Redis answered one of these: sets task->refused if Redis refused this job's operation with an error that may pass. */
void claim_outcome_finish(struct task *task, const struct finish_op *op);
void claim_outcome_release(struct task *task, const struct release_op *op);
void claim_outcome_cancel(const struct service *service, struct task *task, struct cancel_op *op); /* takes ownership of op->stored */
/* The end is stored and not refused: no claim is held any more. */
void claim_outcome_settled(const struct service *service, struct task *task);

/* Another worker holds the claim: this job begins again, and finds the other's reply stored. */
void claim_outcome_lost(struct task *task);
/* The lease has expired before the call: another worker may be asking by now, so the job begins again. */
void claim_outcome_ran_out(struct task *task);

#endif
