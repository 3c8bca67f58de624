/* The Redis side of the journey, for one task (per-thread form: the pool thread) or a batch (batched form: the
 * begin thread and completion). Blocks up to redis.timeout_ms for each pipeline.
 *
 * Session's parts of a task: task->held while it holds a claim (held_claims.h), and task->begin: begin's request and answer, with the
 * history and the token. task->begin is made by session_begin and freed by session_settle once no claim can exist under its token: it is kept over a
 * wait if begin's answer was lost. The task's holder reads it, completion drops the history; the renewer copies the claim while held. */
#ifndef CHAT_SESSION_SESSION_H
#define CHAT_SESSION_SESSION_H

#include "task/service.h"
#include "task/task.h"

/* Claims a batch of heads in one round trip. Each task is claimed then, or has an outcome; a cancelled task isn't
 * begun any more. */
void session_begin(const struct service *service, struct task **tasks, size_t n);
/* Writes the outcomes of a batch to Redis: finish, release; with a finish its task's successor is begun in the same
 * round trip, with the same results as in session_begin. False: Redis is away; nothing changed, try again.
 * True: each is settled, except those that Redis refused with an error of their own (task->refused): try these again; their
 * successors were begun too early.
 * A lost claim turns the outcome into WAIT: the job begins again, and finds the other worker's reply stored; its
 * successor was begun too early, and must be put back into its lane.
 * An earlier cancel turns the outcome into CANCELLED, whether this process read it or another, which wrote it to Redis. A cancelled
 * task without a claim of ours waits (task->cancel_told) while another worker holds the claim; that worker's finish finds the cancel. */
bool session_settle(const struct service *service, struct task **tasks, size_t n);
/* Frees the history that begin has loaded; does nothing if never begun. */
void session_drop_turns(struct task *task);
#endif
