/* What the group's own bytes say we own. */
#include <criterion/criterion.h>

#include "intake/group_watch.h"

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
