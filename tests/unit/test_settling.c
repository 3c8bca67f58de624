/* When completion takes a job's reservations. */
#include "quota/settling.h"

#include <criterion/criterion.h>
#include <string.h>

#include "task/task_part.h"

Test(settling, completion_takes_them_from_the_job_and_leaves_the_one_that_waits_until_it_is_over)
{
    struct partition *partition = partition_create("jobs", 0, 1);
    struct record record = {.topic = strdup("jobs"), .timestamp_ms = -1};
    struct task *task = task_create(&record, partition);
    struct reservations completion = {0};
    struct reservation items[] = {{.provider = 0, .state = RESERVED_CALLED}, {.provider = 1, .state = RESERVED_WAITS}};
    settling_take(task, &completion, false);
    cr_assert_eq(completion.count, 0, "it has asked for none");
    task->reservations = task_part_make(sizeof *task->reservations);
    task->rated = (struct rated_start){.waits = true, .provider = 1};
    for (size_t i = 0; i < 2; i++)
        reservations_add(task->reservations, &items[i]);
    settling_take(task, &completion, true);
    cr_assert(completion.count == 1 && task->rated.waits && reservations_waiting(task->reservations) != NULL);
    settling_take(task, &completion, false);
    cr_assert(completion.count == 2 && !task->rated.waits && task->reservations == NULL);
    reservations_finish(&completion);
    task_unref(task);
    partition_unref(partition);
}
