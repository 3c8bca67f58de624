/* From the result of an attempt to the task's outcome: the one place that acts on an error's class. Pure, except for
 * building the texts; runs on the thread that holds the task. */
#ifndef CHAT_TASK_OUTCOME_H
#define CHAT_TASK_OUTCOME_H

#include "task/service.h"
#include "task/task.h"

/* Success: builds the reply and the history's turn. Copies from answer. history_left_out: number of turns omitted from the request;
 * history_refused: all were, since every provider refused the request with them. */
void outcome_answered(struct task *task, const struct llm_answer *answer, size_t history_left_out, bool history_refused);

/* Facts about a failure besides task->error. */
struct failure_facts {
    bool in_outage;         /* the breaker of the failed dependency is open, so it isn't the job's fault */
    bool spared;            /* not the job's fault either, though no breaker is open: it tries again after a while */
    int64_t retry_after_ms; /* the provider's Retry-After; -1: none */
    int should_retry;       /* 0, 1: the provider's x-should-retry; -1: none */
};
#define FAILURE_FACTS_NONE ((struct failure_facts){.retry_after_ms = -1, .should_retry = -1})

/* task->error is set: retry, wait, dead letter or drop, by its class, the facts, the attempts and the deadline. */
void outcome_failed(const struct service *service, struct task *task, const struct failure_facts *facts);
/* From begin's answer for a task that is not to run: stored (takes ownership of begin->reply), busy, conflict. redis_holds: the call failed,
 * and Redis' breaker decides when the task may start again. */
void outcome_not_begun(const struct service *service, struct task *task, struct begin_op *begin, bool redis_holds);
/* The job has failed for good: builds the error reply from task->error. */
void outcome_dead(struct task *task);

/* outcome_dead without session and metadata, after a reply was too large: these, copied from the job, may be the reason. */
void outcome_dead_small(struct task *task);

/* Cancelled by a control record: builds the reply of status cancelled. An answer is thrown away. */
void outcome_cancelled(struct task *task);
/* False for a job that has ended before, and for one that this worker may not end any more. */
bool outcome_may_be_cancelled(enum outcome outcome);

/* True for ends that Redis stores by finish; the others release the claim. */
bool outcome_is_final(enum outcome outcome);

#endif
