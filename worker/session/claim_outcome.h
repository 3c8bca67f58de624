/* What Redis' answers mean for a task: to begin, finish, release and cancel, and that a claim was lost. Sets the task's outcome where
 * the answer decides it, and which parts session has of the task. No I/O; on the thread of whoever holds the task. */
#ifndef CHAT_SESSION_CLAIM_OUTCOME_H
#define CHAT_SESSION_CLAIM_OUTCOME_H

#include "task/service.h"
#include "task/task.h"

/* task->begin has the answer to a begin sent at sent_ms (clock_mono_ms): the claim is held from now on, or the outcome set. in_outage:
 * Redis couldn't be asked, and its breaker is open. */
void claim_outcome_begun(const struct service *service, struct task *task, int64_t sent_ms, bool in_outage);

/* Redis answered one of these: task->refused, where it wouldn't for a reason of its own that may pass. */
void claim_outcome_finish(struct task *task, const struct finish_op *op);
void claim_outcome_release(struct task *task, const struct release_op *op);
void claim_outcome_cancel(const struct service *service, struct task *task, struct cancel_op *op); /* takes op->stored */
/* It was told, and isn't refused: no claim is held any more. */
void claim_outcome_settled(const struct service *service, struct task *task);

/* Another holds the claim: it is begun again, and the winner's reply is stored then. */
void claim_outcome_lost(struct task *task);
/* The lease has passed before the call: another may be asking by now, so it begins again. */
void claim_outcome_ran_out(struct task *task);

#endif
