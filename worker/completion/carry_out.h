/* What is done with a task once the end of its attempt is stored in Redis: it is published, parked for another attempt, queued as a suspect, or
 * dropped; each is counted and logged here. Completion thread; never blocks. */
#ifndef CHAT_COMPLETION_CARRY_OUT_H
#define CHAT_COMPLETION_CARRY_OUT_H

#include "quota/reservations.h"
#include "task/service.h"
#include "task/task.h"

/* By task->outcome. Gives the task to the publisher, to the dispatcher or back to completion, or frees it. Its reservations are moved to
 * unsettled, except the one that a parked task waits for. */
void carry_out(const struct service *service, struct task *task, struct reservations *unsettled);

#endif
