/* What is done with a task once Redis was told how its try ended: it is published, parked for another try, lined up as a suspect, or
 * dropped; each is counted and logged here. Completion thread; blocks on nothing. */
#ifndef CHAT_COMPLETION_CARRY_OUT_H
#define CHAT_COMPLETION_CARRY_OUT_H

#include "quota/reservations.h"
#include "task/service.h"
#include "task/task.h"

/* By task->outcome. Gives the task away: to the publisher, the dispatcher or back to completion, or it is gone. Its reservations go to
 * unsettled, but for the one that a parked task waits for. */
void carry_out(const struct service *service, struct task *task, struct reservations *unsettled);

#endif
