/* The other side of a hand-over (dispatcher_hand_over_begin): the task's successor was begun in the round trip that told Redis of its end.
 * Then it goes on in its lane, or, where the end wasn't told after all, stands behind its predecessor again. Any thread, with tasks that it
 * holds; blocks on nothing. */
#ifndef CHAT_COMPLETION_SUCCESSORS_H
#define CHAT_COMPLETION_SUCCESSORS_H

#include "task/service.h"
#include "task/task.h"

/* The task has ended: its successor, if one was begun, is ready for a thread, or comes to completion; the lane is the next one's. */
void successors_go_on(const struct service *service, struct task *task);
/* Those of these tasks, begun too early, will be begun anew; one that was cancelled since comes to completion. */
void successors_give_back(const struct service *service, struct task **tasks, size_t n);

#endif
