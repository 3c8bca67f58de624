#include "chat/asking.h"

#include <stdlib.h>

#include "task/task_part.h"

uint16_t asking_refused_by(const struct task *task)
{
    return task->asking != NULL ? task->asking->refused_by : 0;
}

int64_t asking_too_slow_ms(const struct task *task)
{
    return task->asking != NULL ? task->asking->too_slow_ms : 0;
}

static struct asking *kept(struct task *task)
{
    if (task->asking == NULL)
        task->asking = task_part_make(sizeof *task->asking);
    return task->asking;
}

void asking_set_refused_by(struct task *task, uint16_t providers)
{
    if (providers != asking_refused_by(task))
        kept(task)->refused_by = providers;
}

void asking_set_too_slow_ms(struct task *task, int64_t since_ms)
{
    if (since_ms != asking_too_slow_ms(task))
        kept(task)->too_slow_ms = since_ms;
}

void asking_end_try(struct task *task)
{
    if (task->outcome == OUTCOME_RETRY || task->outcome == OUTCOME_WAIT)
        return;
    task_part_free(task->asking);
    task->asking = NULL;
}
