/* The tracker against a model so simple that it can't be wrong: a table of what was received and done. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "intake/offset_tracker.h"

Test(offset_tracker, an_empty_one_has_nothing_to_commit)
{
    struct offset_tracker tracker = {0};
    cr_assert_eq(offset_tracker_committable(&tracker), -1);
    offset_tracker_mark_done(&tracker, 5);
    cr_assert_eq(offset_tracker_committable(&tracker), -1);
    offset_tracker_finish(&tracker);
}

Test(offset_tracker, a_late_first_offset_holds_the_commit)
{
    struct offset_tracker tracker = {0};
    for (int64_t offset = 100; offset < 103; offset++)
        cr_assert(offset_tracker_receive(&tracker, offset));
    offset_tracker_mark_done(&tracker, 101);
    offset_tracker_mark_done(&tracker, 102);
    cr_assert_eq(offset_tracker_committable(&tracker), 100);
    offset_tracker_mark_done(&tracker, 100);
    cr_assert_eq(offset_tracker_committable(&tracker), 103);
    offset_tracker_finish(&tracker);
}

Test(offset_tracker, gaps_of_markers_and_compaction_are_stepped_over)
{
    struct offset_tracker tracker = {0};
    cr_assert(offset_tracker_receive(&tracker, 3));
    cr_assert(offset_tracker_receive(&tracker, 9));
    offset_tracker_mark_done(&tracker, 5); /* never received */
    offset_tracker_mark_done(&tracker, 3);
    cr_assert_eq(offset_tracker_committable(&tracker), 9);
    offset_tracker_finish(&tracker);
}

Test(offset_tracker, a_rewound_fetch_is_seen)
{
    struct offset_tracker tracker = {0};
    cr_assert(offset_tracker_receive(&tracker, 7));
    cr_assert_not(offset_tracker_receive(&tracker, 7));
    cr_assert_not(offset_tracker_receive(&tracker, 2));
    cr_assert(offset_tracker_receive(&tracker, 8));
    offset_tracker_finish(&tracker);
}

#define OFFSETS 4000

/* Invariants 1 to 3 of the header, after every step of a random interleaving. */
static void one_interleaving(unsigned seed)
{
    static enum { UNSEEN, RECEIVED, DONE } model[OFFSETS];
    struct offset_tracker tracker = {0};
    int64_t next = 0, before = -1;
    for (int i = 0; i < OFFSETS; i++)
        model[i] = UNSEEN;
    while (next < OFFSETS - 5) {
        if (rand_r(&seed) % 2 == 0) {
            next += rand_r(&seed) % 4 == 0 ? rand_r(&seed) % 4 : 0;
            cr_assert(offset_tracker_receive(&tracker, next));
            model[next++] = RECEIVED;
        } else if (next > 0) {
            int64_t offset = next - 1 - rand_r(&seed) % (next < 200 ? (int)next : 200);
            offset_tracker_mark_done(&tracker, offset);
            if (model[offset] == RECEIVED)
                model[offset] = DONE;
        }
        int64_t expected = -1;
        for (int64_t i = 0; i < next && expected < 0; i++)
            if (model[i] == RECEIVED)
                expected = i;
        if (expected < 0 && next > 0)
            expected = next;
        cr_assert_eq(offset_tracker_committable(&tracker), expected);
        cr_assert_geq(expected, before);
        before = expected;
    }
    offset_tracker_finish(&tracker);
}

Test(offset_tracker, agrees_with_the_model_over_random_interleavings)
{
    for (unsigned seed = 1; seed <= 12; seed++) {
        fprintf(stderr, "seed %u\n", seed);
        one_interleaving(seed);
    }
}
