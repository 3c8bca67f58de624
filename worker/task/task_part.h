/* Memory for a stage's part of a task (task.h): zeroed, and counted in jobs_alive_bytes from make to free, so that a task's parts
 * bound the intake as the task itself does. Memory that a part owns is freed by its stage before. Any thread. */
#ifndef CHAT_TASK_TASK_PART_H
#define CHAT_TASK_TASK_PART_H

#include <stddef.h>

#include "base/alloc.h"

void *task_part_make(size_t size) RETURNS_OWNED;
void task_part_free(void *part); /* NULL is fine */

#endif
