#include "completion/end.h"

#include <assert.h>

#include "task/task_part.h"

void end_owe(struct task *task, bool dead_letter)
{
    assert(task->end == NULL);
    task->end = task_part_make(sizeof *task->end);
    task->end->reply_owed = true;
    task->end->dead_letter_owed = dead_letter;
}
