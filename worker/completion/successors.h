/* The other side of a hand-over (dispatcher_hand_over_begin): the task's successor was begun in the round trip that stored the task's end in Redis.
 * Then the successor is started; or, if the end wasn't stored after all, it waits behind its predecessor again. Any thread, with tasks that it
 * holds; never blocks. */
#ifndef CHAT_COMPLETION_SUCCESSORS_H
#define CHAT_COMPLETION_SUCCESSORS_H

#include "task/service.h"
#include "task/task.h"

/* The task has ended: its successor, if one was begun, is made ready for a thread, or is put to completion; the lane's next job is its head. */
void successors_go_on(const struct service *service, struct task *task);
/* The tasks' successors, begun too early, will be begun again; one that was cancelled since is put to completion. */
void successors_give_back(const struct service *service, struct task **tasks, size_t n);

#endif
