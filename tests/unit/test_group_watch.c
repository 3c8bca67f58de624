/* What the group's own bytes say we own, and what nobody does; and the member that makes a group rebalance, on a cluster in memory. */
#include <criterion/criterion.h>

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "intake/group_nudge.h"
#include "intake/group_watch.h"
#include "intake/unowned.h"
#include "mock_kafka.h"
#include "one_provider.h"

#define JOIN_GROUP 11 /* https://kafka.apache.org/protocol#protocol_api_keys */

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

/* ---- partitions without an owner ---- */

enum { PARTITIONS = 5 };

/* A member's assignment of the topic "jobs" in the group's format; into bytes. */
static int keep(unsigned char *bytes, const int *partitions, int count)
{
    static const unsigned char head[] = {0, 1, 0, 0, 0, 1, 0, 4, 'j', 'o', 'b', 's', 0, 0, 0};
    memcpy(bytes, head, sizeof head);
    int size = sizeof head;
    bytes[size++] = (unsigned char)count;
    for (int i = 0; i < count; i++) {
        memset(bytes + size, 0, 3);
        bytes[size + 3] = (unsigned char)partitions[i];
        size += 4;
    }
    return size;
}

struct members {
    struct rd_kafka_group_member_info list[3];
    unsigned char bytes[3][64];
};

static void add(struct members *members, struct rd_kafka_group_info *group, const char *id, const int *partitions, int count)
{
    unsigned char *bytes = members->bytes[group->member_cnt];
    members->list[group->member_cnt++] = (struct rd_kafka_group_member_info){.member_id = (char *)(uintptr_t)id, .member_assignment = bytes, .member_assignment_size = keep(bytes, partitions, count)};
    group->members = members->list;
}

Test(unowned, what_no_member_of_a_stable_group_has_is_counted)
{
    struct members members;
    struct rd_kafka_group_info group = {.state = "Stable"};
    struct unowned_view view;
    add(&members, &group, "b", (const int[]){0, 3}, 2);
    add(&members, &group, "a", (const int[]){1, 4, 9}, 3);
    cr_assert(unowned_view(&group, "b", "jobs", PARTITIONS, &view));
    cr_expect_eq(view.count, 1);
    cr_expect_eq(view.first, 2);
    cr_expect_eq(view.rank, 1, "one is before it");
    cr_assert(unowned_view(&group, "a", "jobs", PARTITIONS, &view));
    cr_expect_eq(view.rank, 0);
    cr_assert(unowned_view(&group, "a", "others", PARTITIONS, &view));
    cr_expect_eq(view.count, PARTITIONS, "of that topic nobody has any");
    add(&members, &group, "c", (const int[]){2}, 1);
    cr_assert(unowned_view(&group, "b", "jobs", PARTITIONS, &view));
    cr_expect_eq(view.count, 0);
}

Test(unowned, without_a_stable_group_that_we_are_in_and_can_read_nothing_is_said)
{
    struct members members;
    struct rd_kafka_group_info group = {.state = "Stable"};
    struct unowned_view view;
    add(&members, &group, "a", (const int[]){0}, 1);
    cr_assert(unowned_view(&group, "a", "jobs", PARTITIONS, &view));
    cr_expect_not(unowned_view(&group, "b", "jobs", PARTITIONS, &view));
    group.state = "PreparingRebalance";
    cr_expect_not(unowned_view(&group, "a", "jobs", PARTITIONS, &view));
    group.state = "Stable";
    group.err = RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    cr_expect_not(unowned_view(&group, "a", "jobs", PARTITIONS, &view));
    group.err = RD_KAFKA_RESP_ERR_NO_ERROR;
    members.list[0].member_assignment_size -= 2;
    cr_expect_not(unowned_view(&group, "a", "jobs", PARTITIONS, &view));
    members.list[0].member_assignment_size = 0;
    cr_expect(unowned_view(&group, "a", "jobs", PARTITIONS, &view), "it was given nothing");
}

/* A member may drain what leaves it, and die then. */
Test(unowned, what_leaves_a_member_that_drains_is_waited_for, .timeout = 120)
{
    struct settings *settings = one_provider_settings((const char *const[]){"worker.revoke_drain_ms=60000", NULL});
    cr_expect_geq(unowned_patience_ms(settings, 6000), 6000 + 60000);
    settings_destroy(settings);
}

Test(unowned, members_take_turns_after_a_session_and_twice_as_late_each_time)
{
    struct unowned unowned = {0};
    const struct unowned_view first = {.count = 1}, third = {.count = 1, .rank = 2}, none = {0};
    cr_expect_not(unowned_is_due(&unowned, &first, 1000, 6000, 100));
    cr_expect_not(unowned_is_due(&unowned, &first, 6999, 6000, 100));
    cr_expect(unowned_is_due(&unowned, &first, 7000, 6000, 100));
    cr_expect_not(unowned_is_due(&unowned, &first, 18999, 6000, 100));
    cr_expect(unowned_is_due(&unowned, &first, 19000, 6000, 100));
    cr_expect_not(unowned_is_due(&unowned, NULL, 20000, 6000, 100), "it rebalances");
    cr_expect_not(unowned_is_due(&unowned, &first, 43000, 6000, 100), "from when it is stable again");
    cr_expect(unowned_is_due(&unowned, &first, 67000, 6000, 100));
    cr_expect_not(unowned_is_due(&unowned, &none, 68000, 6000, 100));
    cr_expect_not(unowned_is_due(&unowned, &third, 70000, 6000, 100));
    cr_expect_not(unowned_is_due(&unowned, &third, 76199, 6000, 100));
    cr_expect(unowned_is_due(&unowned, &third, 76200, 6000, 100), "all that came before is forgotten");
}

/* ---- the passing member ---- */

struct place {
    struct settings *settings;
    rd_kafka_t *host;
    rd_kafka_mock_cluster_t *cluster;
    int asked, asks_max; /* go_on: so often it may */
};

static void begin_place(struct place *place)
{
    *place = (struct place){.settings = one_provider_settings((const char *const[]){"kafka.group.instance.id=static", NULL}), .host = mock_kafka_host("1", NULL), .asks_max = 300};
    place->cluster = rd_kafka_handle_mock_cluster(place->host);
    rd_kafka_mock_topic_create(place->cluster, place->settings->worker.replies_topic, 1, 1);
}

static void end_place(struct place *place)
{
    rd_kafka_destroy(place->host);
    settings_destroy(place->settings);
}

static bool goes_on(void *arg)
{
    struct place *place = arg;
    return ++place->asked <= place->asks_max;
}

static bool nudge(struct place *place)
{
    place->asked = 0;
    return group_nudge(place->settings, rd_kafka_mock_cluster_bootstraps(place->cluster), goes_on, place);
}

/* The group doesn't let it in. */
static void refuse_joins(struct place *place)
{
    for (int i = 0; i < 100; i++)
        rd_kafka_mock_push_request_errors(place->cluster, JOIN_GROUP, 1, RD_KAFKA_RESP_ERR_GROUP_MAX_SIZE_REACHED);
}

/* Each client has one main thread. */
static int count_clients(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    cr_assert_not_null(tasks);
    for (const struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue;
        count += fgets(name, sizeof name, file) != NULL && strcmp(name, "rdk:main\n") == 0;
        fclose(file);
    }
    closedir(tasks);
    return count;
}

Test(group_nudge, it_becomes_a_member_and_leaves_nothing_behind, .timeout = 120)
{
    struct place place;
    begin_place(&place);
    int before = count_clients();
    cr_expect(nudge(&place));
    cr_expect_eq(count_clients(), before);
    end_place(&place);
}

Test(group_nudge, clients_that_can_not_be_destroyed_do_not_heap_up, .timeout = 120)
{
    struct place place;
    begin_place(&place);
    int before = count_clients();
    place.asks_max = 3;
    for (int i = 0; i < 2 * GROUP_NUDGES_LEFT_MAX; i++) {
        refuse_joins(&place);
        cr_expect_not(nudge(&place));
    }
    cr_expect_leq(count_clients() - before, GROUP_NUDGES_LEFT_MAX);
    end_place(&place);
}
