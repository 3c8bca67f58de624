/* Which partitions are sought so that librdkafka fetches on. */
#include <criterion/criterion.h>

#include "intake/fetch_wake.h"
#include "intake/fetch_watch.h"

#define UNKNOWN (-1)

static void add(struct assignments *assignments, int32_t id, int32_t broker)
{
    struct partition *partition = assignments_add(assignments, "t", id);
    partition->next = 100 + id;
    partition->broker = broker;
}

/* ids: of the expected partitions, in this order. */
static void expect_sought(const struct assignments *assignments, uint64_t resting, bool all, const char *ids)
{
    char sought[64] = "";
    rd_kafka_topic_partition_list_t *list = fetch_wake_list(assignments, resting, all);
    for (int i = 0; i < list->cnt; i++) {
        cr_expect_eq(list->elems[i].offset, 100 + list->elems[i].partition, "where it is");
        snprintf(sought + strlen(sought), sizeof sought - strlen(sought), "%d", list->elems[i].partition);
    }
    cr_expect_str_eq(sought, ids);
    rd_kafka_topic_partition_list_destroy(list);
}

Test(fetch_wake, one_partition_is_sought_of_each_broker_that_rests)
{
    struct assignments assignments = {0};
    for (int32_t id = 0; id < 9; id++)
        add(&assignments, id, 1 + id % 3);
    uint64_t first = fetch_watch_bit(1), second = fetch_watch_bit(2), third = fetch_watch_bit(3);
    expect_sought(&assignments, first, false, "0");
    expect_sought(&assignments, third, false, "2");
    expect_sought(&assignments, first | second | third, false, "012");
    expect_sought(&assignments, first, true, "012345678");
    assignments_find(&assignments, "t", 0)->paused = true;
    expect_sought(&assignments, first, false, "3");
    assignments_find(&assignments, "t", 3)->next = RD_KAFKA_OFFSET_END;
    expect_sought(&assignments, first, false, "6");
    expect_sought(&assignments, first, true, "1245678");
    assignments_finish(&assignments);
}

Test(fetch_wake, all_are_sought_where_no_partition_is_known_to_be_the_brokers)
{
    struct assignments assignments = {0};
    add(&assignments, 0, 1);
    add(&assignments, 1, UNKNOWN);
    add(&assignments, 2, 1);
    expect_sought(&assignments, fetch_watch_bit(1), false, "0");
    expect_sought(&assignments, fetch_watch_bit(2), false, "012");
    expect_sought(&assignments, fetch_watch_bit(1) | fetch_watch_bit(2), false, "012");
    expect_sought(&assignments, fetch_watch_bit(63), false, "012");
    assignments_finish(&assignments);
}

Test(fetch_wake, brokers_that_share_a_bit_are_woken_each)
{
    struct assignments assignments = {0};
    cr_assert_eq(fetch_watch_bit(5), fetch_watch_bit(69));
    for (int32_t id = 0; id < 6; id++)
        add(&assignments, id, id % 2 == 0 ? 5 : 69);
    expect_sought(&assignments, fetch_watch_bit(5), false, "01");
    assignments_finish(&assignments);
}

Test(fetch_wake, of_more_brokers_than_it_counts_all_are_sought)
{
    struct assignments assignments = {0};
    for (int32_t id = 0; id < 130; id++)
        add(&assignments, id, id / 2);
    rd_kafka_topic_partition_list_t *list = fetch_wake_list(&assignments, UINT64_MAX, false);
    cr_expect_eq(list->cnt, 130);
    rd_kafka_topic_partition_list_destroy(list);
    assignments_finish(&assignments);
}
