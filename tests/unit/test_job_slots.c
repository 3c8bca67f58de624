/* Slots of the event loops: each is had by one job, and those that are shown are had first. */
#include <criterion/criterion.h>

#include "engine/job_slots.h"

static struct job_slots slots;

static void take_expecting(int count, const int *expected)
{
    for (int i = 0; i < count; i++)
        cr_expect_eq(job_slots_take(&slots), expected[i], "the %d. of %d", i + 1, count);
}

static void give(int count, const int *given)
{
    for (int i = 0; i < count; i++)
        job_slots_give(&slots, given[i]);
}

Test(job_slots, from_the_first_on)
{
    job_slots_init(&slots, 4, 5000);
    take_expecting(4, (const int[]){0, 1, 2, 3});
    job_slots_finish(&slots);
}

Test(job_slots, the_last_freed_is_the_next)
{
    job_slots_init(&slots, 4, 4);
    take_expecting(4, (const int[]){0, 1, 2, 3});
    give(3, (const int[]){1, 3, 0});
    take_expecting(3, (const int[]){0, 3, 1});
    job_slots_finish(&slots);
}

/* Five at once, of which the last to end were the last to begin. */
Test(job_slots, after_more_jobs_than_lanes_the_next_ones_are_seen)
{
    job_slots_init(&slots, 5, 3);
    take_expecting(5, (const int[]){0, 1, 2, 3, 4});
    give(5, (const int[]){0, 1, 2, 3, 4});
    take_expecting(5, (const int[]){2, 1, 0, 4, 3});
    job_slots_finish(&slots);
}
