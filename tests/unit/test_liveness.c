/* What is stuck, and what only waits; what the group's own bytes say we own. */
#include <criterion/criterion.h>
#include <string.h>

#include "intake/group_watch.h"
#include "intake/liveness.h"

enum { BOUND = 1000, CALL = 500, WRITE = BOUND + LIVENESS_ACKNOWLEDGE_MS, LONG = 1000 * BOUND };

Test(liveness, stuck_is_what_nothing_excuses)
{
    static const struct {
        const char *what;
        struct liveness_view view;
        bool stuck;
    } cases[] = {
        {"nothing is pending", {0, PLACE_ENDING, LONG}, false},
        {"runs within its call's time", {BOUND + CALL - 1, PLACE_RUNNING, LONG}, false},
        {"runs beyond it", {BOUND + CALL, PLACE_RUNNING, LONG}, true},
        {"waits for a thread for ever", {BOUND + CALL, PLACE_READY, LONG}, true},
        {"waits to be begun for ever", {BOUND + CALL, PLACE_LINE, LONG}, true},
        {"waits behind another of its session for ever", {BOUND + CALL, PLACE_LANE, LONG}, true},
        {"waits for a retry or a claim", {100 * BOUND, PLACE_TIMER, LONG}, false},
        {"a suspect waits to be alone", {100 * BOUND, PLACE_SUSPECT, LONG}, false},
        {"its reply waits for a broker that is away", {LONG, PLACE_ENDING, 0}, false},
        {"its reply waits since the broker came back", {LONG, PLACE_ENDING, WRITE - 1}, false},
        {"its reply isn't acknowledged by a broker that answers", {WRITE - 1, PLACE_ENDING, LONG}, false},
        {"nor for long after", {WRITE, PLACE_ENDING, WRITE}, true},
        {"runs beyond its time, with the broker away", {BOUND + CALL, PLACE_RUNNING, 0}, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(liveness_is_stuck(&cases[i].view, BOUND, CALL), cases[i].stuck, "%s", cases[i].what);
}

static const unsigned char assignment[] = {0, 1, 0, 0, 0, 2,                                                       /* version, two topics */
                                           0, 4, 'j', 'o', 'b', 's', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 2,           /* jobs: 0, 258 */
                                           0, 1, 'x', 0, 0, 0, 1, 0, 0, 0, 7,                                      /* x: 7 */
                                           0xff, 0xff, 0xff, 0xff};                                                /* no user data */

Test(group_watch, an_assignment_is_read_as_the_group_keeps_it)
{
    rd_kafka_topic_partition_list_t *list = group_assignment_decode(assignment, sizeof assignment);
    cr_assert_not_null(list);
    cr_expect_eq(list->cnt, 3);
    cr_expect_not_null(rd_kafka_topic_partition_list_find(list, "jobs", 0));
    cr_expect_not_null(rd_kafka_topic_partition_list_find(list, "jobs", 258));
    cr_expect_not_null(rd_kafka_topic_partition_list_find(list, "x", 7));
    rd_kafka_topic_partition_list_destroy(list);
}

Test(group_watch, what_is_cut_or_nonsense_is_no_assignment)
{
    for (size_t size = 0; size + 4 < sizeof assignment; size++) /* the user data may be missing */
        cr_expect_null(group_assignment_decode(assignment, size), "%zu bytes", size);
    unsigned char huge[] = {0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    cr_expect_null(group_assignment_decode(huge, sizeof huge));
    cr_expect_null(group_assignment_decode("", 0));
}
