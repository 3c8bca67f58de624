/* When a batch of ends is full, and for how long an end waits for company: by number, by size, by haste. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "completion/waiting_ends.h"

static struct partition *partition;
static int64_t put_so_far, taken_so_far;

static bool put(struct waiting_ends *ends, size_t bytes, bool urgent)
{
    struct record record = {.topic = xstrdup("chat.jobs"), .offset = put_so_far++, .timestamp_ms = -1};
    struct task *task = task_create(&record, partition);
    task->end_bytes = bytes;
    return waiting_ends_put(ends, task, urgent);
}

/* How many a batch takes that has n of bytes already; in the order of put. */
static size_t take(struct waiting_ends *ends, size_t n, size_t bytes)
{
    struct task *batch[ENDS_MAX];
    size_t all = waiting_ends_take(ends, batch, n, bytes);
    for (size_t i = n; i < all; i++) {
        cr_expect_eq(batch[i]->record.offset, taken_so_far++);
        task_unref(batch[i]);
    }
    return all - n;
}

static void setup(void)
{
    partition = partition_create("chat.jobs", 0, 1);
}

static void teardown(void)
{
    partition_unref(partition);
}

TestSuite(waiting_ends, .init = setup, .fini = teardown);

Test(waiting_ends, a_small_end_waits_for_others)
{
    struct waiting_ends ends = {0};
    cr_expect_not(put(&ends, 100, false));
    cr_expect_not(waiting_ends_are_due(&ends));
    cr_expect_eq(take(&ends, 0, 0), 1, "its time is over");
    cr_expect_not(waiting_ends_are_due(&ends));
    cr_expect_eq(take(&ends, 0, 0), 0);
}

Test(waiting_ends, a_batch_is_full_by_number)
{
    struct waiting_ends ends = {0};
    for (int i = 0; i < ENDS_MAX - 1; i++)
        cr_assert_not(put(&ends, 0, false));
    cr_expect(put(&ends, 0, false), "the one that fills it wakes who waits");
    cr_expect_not(put(&ends, 0, false), "nobody waits any more");
    cr_expect_eq(take(&ends, 0, 0), ENDS_MAX);
    cr_expect(waiting_ends_are_due(&ends), "the one that was left has waited");
    cr_expect_eq(take(&ends, 0, 0), 1);
    cr_expect_not(put(&ends, 0, false), "a later one waits for others again");
    take(&ends, 0, 0);
}

/* Answers of half a MiB (reply and turn: one MiB) are two a batch: if each batch waited for more, gather_ms would bound the throughput. */
Test(waiting_ends, a_batch_is_full_by_size)
{
    struct waiting_ends ends = {0};
    cr_expect_not(put(&ends, ENDS_BYTES / 2, false));
    cr_expect(put(&ends, ENDS_BYTES / 2, false));
    for (int i = 0; i < 3; i++)
        put(&ends, ENDS_BYTES / 2, false);
    cr_expect_eq(take(&ends, 0, 0), 2);
    cr_expect_eq(take(&ends, 0, 0), 2);
    cr_expect(waiting_ends_are_due(&ends));
    cr_expect_eq(take(&ends, 0, 0), 1);
    cr_expect_not(put(&ends, ENDS_BYTES / 2, false), "what has gone counts no more");
    cr_expect_eq(take(&ends, 0, 0), 1);
    cr_expect(put(&ends, 10 * (size_t)ENDS_BYTES, false), "one above the bound is a batch");
    cr_expect_eq(take(&ends, 0, 0), 1);
}

Test(waiting_ends, what_is_urgent_makes_all_before_it_go)
{
    struct waiting_ends ends = {0};
    put(&ends, 1, false);
    cr_expect(put(&ends, 1, true));
    cr_expect_not(put(&ends, 1, true));
    cr_expect_eq(take(&ends, 0, 0), 3);
    cr_expect_not(put(&ends, 1, false), "it has gone");
    take(&ends, 0, 0);
}

Test(waiting_ends, a_batch_that_others_began_is_filled)
{
    struct waiting_ends ends = {0};
    for (int i = 0; i < 5; i++)
        put(&ends, ENDS_BYTES / 4, false);
    cr_expect_eq(take(&ends, ENDS_MAX - 1, 0), 1);
    cr_expect_eq(take(&ends, 7, ENDS_BYTES / 2), 2);
    cr_expect_eq(take(&ends, 7, ENDS_BYTES), 0);
    cr_expect(waiting_ends_are_due(&ends));
    cr_expect_eq(take(&ends, 0, 0), 2);
}
