/* The Redis side of the journey, for one task (per-thread form: the pool thread) or a batch (batched form: the
 * begin thread and completion). Blocks up to redis.timeout_ms for each pipeline.
 *
 * Session's parts of a task: task->held while it holds a claim (held_claims.h), and task->begin, what begin was asked and has answered, the
 * history among it, and the token. That is made by session_begin and freed by session_settle once no claim can stand under its token: it stays over a
 * wait where begin's answer was lost. Whoever holds the task reads it, completion drops the history; the renewer copies the claim while held. */
#ifndef CHAT_SESSION_SESSION_H
#define CHAT_SESSION_SESSION_H

#include "task/service.h"
#include "task/task.h"

/* Claims a batch of heads in one round trip. Each task ends up claimed, or with an outcome set; one that was cancelled isn't
 * begun any more. */
void session_begin(const struct service *service, struct task **tasks, size_t n);
/* Tells Redis the outcomes of a batch: finish, release; with a finish its task's successor is begun in the same
 * round trip, and ends up as session_begin leaves it. False: Redis couldn't be told; nothing changed, try again.
 * True: each is settled, but for those that Redis refused for a reason of their own (task->refused): try these again; a
 * successor was begun too early then, too.
 * A lost claim turns the outcome into WAIT: it is begun again, and the winner's reply is stored then; its
 * successor was begun too early, and is to go back into its lane.
 * A cancel that came before turns it into CANCELLED, whoever heard of it: we, or another process that told Redis. One
 * without a claim of ours waits (task->cancel_told) while another has it, who is told. */
bool session_settle(const struct service *service, struct task **tasks, size_t n);
/* Frees the history that begin has brought; never begun: nothing happens. */
void session_drop_turns(struct task *task);
#endif
