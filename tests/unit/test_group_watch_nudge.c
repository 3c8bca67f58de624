/* What the group's watch tells while its thread has the group rebalance. The group is this file's: it takes the place of librdkafka's question,
 * which the cluster in memory doesn't answer, and of the nudge, which lasts until it is told to end. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "intake/group_nudge.h"
#include "intake/group_watch.h"
#include "mock_kafka.h"
#include "one_provider.h"

#define LIMIT_MS 60000
#define INTERVAL_MS 50

static atomic_bool nudges, is_over;

bool group_nudge(const struct settings *settings, const char *bootstrap, bool (*go_on)(void *arg), void *arg)
{
    (void)settings, (void)bootstrap;
    atomic_store(&nudges, true);
    while (!atomic_load(&is_over) && go_on(arg))
        poll(NULL, 0, 10);
    return true;
}

char *rd_kafka_memberid(const rd_kafka_t *rk)
{
    (void)rk;
    return xstrdup("we");
}

/* Stable, with one member that has nothing. */
rd_kafka_resp_err_t rd_kafka_list_groups(rd_kafka_t *rk, const char *group, const struct rd_kafka_group_list **ret, int timeout_ms)
{
    static unsigned char nothing[] = {0, 0, 0, 0, 0, 0};
    static struct rd_kafka_group_member_info members[] = {{.member_id = "we", .member_assignment = nothing, .member_assignment_size = sizeof nothing}};
    static struct rd_kafka_group_info groups[] = {{.state = "Stable", .members = members, .member_cnt = 1}};
    static const struct rd_kafka_group_list list = {.groups = groups, .group_cnt = 1};
    (void)rk, (void)timeout_ms;
    groups[0].group = (char *)(uintptr_t)group;
    *ret = &list;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

void rd_kafka_group_list_destroy(const struct rd_kafka_group_list *list)
{
    (void)list;
}

static bool answers(struct group_watch *watch) { return group_watch_answers_ms(watch, clock_mono_ms()) > 0; }
static bool is_nudged(struct group_watch *watch) { (void)watch; return atomic_load(&nudges); }

static bool comes_true(bool (*check)(struct group_watch *), struct group_watch *watch)
{
    for (int64_t until = clock_mono_ms() + LIMIT_MS; clock_mono_ms() < until; poll(NULL, 0, 5))
        if (check(watch))
            return true;
    return false;
}

static bool is_owned_known(struct group_watch *watch)
{
    uint64_t number;
    rd_kafka_topic_partition_list_t *owned = group_watch_owned(watch, &number);
    if (owned != NULL)
        rd_kafka_topic_partition_list_destroy(owned);
    return owned != NULL;
}

/* For a minute and more nobody asks it. Were its last answer to hold until then, an outage meanwhile would be taken for a call that never ends
 * though the brokers answer (telemetry/watchdog.h), and a partition that was just coming for one that isn't read (ownership.h). */
Test(group_watch, while_the_group_is_nudged_nothing_is_known_of_it, .timeout = 120)
{
    struct settings *settings = one_provider_settings((const char *const[]){"worker.revoke_drain_ms=0", NULL});
    rd_kafka_t *host = mock_kafka_host("1", NULL);
    rd_kafka_mock_cluster_t *cluster = rd_kafka_handle_mock_cluster(host);
    rd_kafka_mock_topic_create(cluster, settings->worker.jobs_topic, 1, 1);
    rd_kafka_conf_t *conf = mock_kafka_group(cluster, settings->kafka.group_id);
    mock_kafka_set(conf, "session.timeout.ms", "1000");
    rd_kafka_t *consumer = mock_kafka_client(RD_KAFKA_CONSUMER, conf);
    struct group_watch *watch = group_watch_create(settings, rd_kafka_mock_cluster_bootstraps(cluster), consumer, INTERVAL_MS);
    cr_assert_not_null(watch);
    cr_expect(comes_true(answers, watch));
    cr_expect(comes_true(is_owned_known, watch));
    cr_assert(comes_true(is_nudged, watch));
    cr_expect_not(answers(watch));
    cr_expect_not(is_owned_known(watch));
    atomic_store(&is_over, true);
    cr_expect(comes_true(answers, watch));
    cr_expect(comes_true(is_owned_known, watch));
    group_watch_destroy(watch);
    rd_kafka_destroy(consumer);
    rd_kafka_destroy(host);
    settings_destroy(settings);
}
