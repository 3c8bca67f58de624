/* Where assignments begin, with an in-memory cluster: how many requests there are, and that an unknown start delays no other partition. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "intake/set_restore.h"
#include "intake/start_search.h"
#include "task/offset_codec.h"
#include "mock_kafka.h"
#include "one_provider.h"

#define LIST_OFFSETS 2 /* https://kafka.apache.org/protocol#protocol_api_keys */
#define OFFSET_FETCH 9
#define LIMIT_MS 30000
#define TOPIC "chat.jobs"

static struct {
    atomic_int offset_fetches, list_offsets;
} sent;

static rd_kafka_resp_err_t count(rd_kafka_t *rk, int fd, const char *broker, int32_t broker_id, int16_t key, int16_t version, int32_t correlation,
                                 size_t size, void *opaque)
{
    (void)rk, (void)fd, (void)broker, (void)broker_id, (void)version, (void)correlation, (void)size, (void)opaque;
    atomic_fetch_add(&sent.offset_fetches, key == OFFSET_FETCH);
    atomic_fetch_add(&sent.list_offsets, key == LIST_OFFSETS);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t made(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque, char *why, size_t why_size)
{
    (void)conf, (void)why, (void)why_size;
    return rd_kafka_interceptor_add_on_request_sent(rk, "count", count, opaque);
}

struct world {
    rd_kafka_t *host, *consumer;
    rd_kafka_mock_cluster_t *cluster;
    struct settings *settings;
    struct set_restore *restore;
};

static void begin_world(struct world *world, int partitions, const char *reset)
{
    AUTO_FREE char *setting = xasprintf("kafka.auto.offset.reset=%s", reset);
    const char *const overrides[] = {"kafka.bootstrap.servers=embedded", setting, NULL};
    *world = (struct world){.settings = one_provider_settings(overrides), .host = mock_kafka_host("1", NULL)};
    world->cluster = rd_kafka_handle_mock_cluster(world->host);
    rd_kafka_mock_topic_create(world->cluster, TOPIC, partitions, 1);
    rd_kafka_conf_t *conf = mock_kafka_group(world->cluster, "chat-worker");
    rd_kafka_conf_interceptor_add_on_new(conf, "count", made, NULL);
    world->consumer = mock_kafka_client(RD_KAFKA_CONSUMER, conf);
    world->restore = set_restore_create(world->consumer, world->settings);
}

static void end_world(struct world *world)
{
    set_restore_stop(world->restore);
    set_restore_destroy(world->restore);
    rd_kafka_destroy(world->consumer);
    rd_kafka_destroy(world->host);
    settings_destroy(world->settings);
}

static void produce(struct world *world, int partition, int records)
{
    for (int i = 0; i < records; i++)
        cr_assert_eq(rd_kafka_producev(world->host, RD_KAFKA_V_TOPIC(TOPIC), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_VALUE("x", 1), RD_KAFKA_V_END), 0);
}

/* Offset 1, and 2 is done, too. */
static void commit_with_sets(struct world *world, int partitions)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    struct offset_runs runs = {0};
    offset_runs_append(&runs, 2, 3);
    for (int i = 0; i < partitions; i++) {
        rd_kafka_topic_partition_t *item = rd_kafka_topic_partition_list_add(list, TOPIC, i);
        item->offset = 1;
        item->metadata = offset_encode(1, &runs, -1, OFFSET_TEXT_MAX).text; /* the list's */
        item->metadata_size = strlen(item->metadata);
    }
    offset_runs_finish(&runs);
    rd_kafka_resp_err_t err;
    for (int64_t until = clock_mono_ms() + LIMIT_MS; (err = rd_kafka_commit(world->consumer, list, 0)) != 0 && clock_mono_ms() < until;)
        poll(NULL, 0, 10); /* it looks for its coordinator */
    cr_assert_eq(err, 0, "%s", rd_kafka_err2str(err));
    rd_kafka_topic_partition_list_destroy(list);
}

static bool take(struct world *world, struct assignment_start *ret)
{
    for (int64_t until = clock_mono_ms() + LIMIT_MS; clock_mono_ms() < until; poll(NULL, 0, 5))
        if (set_restore_take(world->restore, ret))
            return true;
    return false;
}

static struct partition *ask(struct world *world, int id)
{
    struct partition *partition = partition_create(TOPIC, id, 1);
    set_restore_ask(world->restore, partition);
    return partition;
}

static bool has_its_set(struct partition *partition)
{
    return partition_receive(partition, 1, -1) == OFFSET_NEW && partition_receive(partition, 2, -1) == OFFSET_DONE_BEFORE;
}

static void expect_found(struct world *world, int64_t offset, bool with_set)
{
    struct assignment_start found;
    cr_assert(take(world, &found));
    cr_expect_eq(found.offset, offset, "%lld", (long long)found.offset);
    cr_expect(!with_set || has_its_set(found.partition));
    partition_unref(found.partition);
}

Test(set_restore, a_transaction_hangs_when_its_offset_is_unstable_for_a_minute)
{
    struct search search = {.since_ms = 1000, .err = RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT};
    cr_expect_not(search_hangs(&search, 60999));
    cr_expect(search_hangs(&search, 61000));
    search.err = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    cr_expect_not(search_hangs(&search, 3600000), "that is no transaction's fault");
}

Test(set_restore, fifty_partitions_are_asked_of_together, .timeout = 120)
{
    enum { PARTITIONS = 50 };
    struct world world;
    begin_world(&world, PARTITIONS, "earliest");
    for (int p = 0; p < PARTITIONS; p++)
        produce(&world, p, 3);
    cr_assert_eq(rd_kafka_flush(world.host, LIMIT_MS), 0);
    commit_with_sets(&world, PARTITIONS);
    int fetches = sent.offset_fetches, lists = sent.list_offsets;
    struct partition *partitions[PARTITIONS];
    for (int p = 0; p < PARTITIONS; p++)
        partitions[p] = partition_create(TOPIC, p, 1);
    for (int p = 0; p < PARTITIONS; p++)
        set_restore_ask(world.restore, partitions[p]);
    for (int p = 0; p < PARTITIONS; p++)
        expect_found(&world, 1, true);
    cr_expect_leq(sent.offset_fetches - fetches, 3, "%d: those that came while the first were asked of are the second", sent.offset_fetches - fetches);
    cr_expect_leq(sent.list_offsets - lists, 3, "%d", sent.list_offsets - lists);
    for (int p = 0; p < PARTITIONS; p++)
        partition_unref(partitions[p]);
    end_world(&world);
}

Test(set_restore, one_whose_log_nobody_leads_keeps_no_other, .timeout = 120)
{
    struct world world;
    struct assignment_start found;
    begin_world(&world, 3, "earliest");
    for (int p = 0; p < 3; p++)
        produce(&world, p, 3);
    cr_assert_eq(rd_kafka_flush(world.host, LIMIT_MS), 0);
    commit_with_sets(&world, 3);
    cr_assert_eq(rd_kafka_mock_partition_set_leader(world.cluster, TOPIC, 1, -1), 0);
    struct partition *partitions[3];
    for (int p = 0; p < 3; p++)
        partitions[p] = ask(&world, p);
    for (int n = 0; n < 2; n++) {
        cr_assert(take(&world, &found));
        cr_expect_neq(found.partition->id, 1);
        cr_expect(has_its_set(found.partition));
        partition_unref(found.partition);
    }
    cr_assert_eq(rd_kafka_mock_partition_set_leader(world.cluster, TOPIC, 1, 1), 0);
    cr_assert(take(&world, &found));
    cr_expect_eq(found.partition->id, 1);
    cr_expect(has_its_set(found.partition), "it waited, and its set wasn't given up");
    partition_unref(found.partition);
    for (int p = 0; p < 3; p++)
        partition_unref(partitions[p]);
    end_world(&world);
}

Test(set_restore, what_was_not_committed_begins_where_the_settings_say, .timeout = 120)
{
    static const struct {
        const char *reset;
        int64_t offset;
    } cases[] = {{"earliest", 0}, {"smallest", 0}, {"latest", RD_KAFKA_OFFSET_END}, {"error", RD_KAFKA_OFFSET_INVALID}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world world;
        begin_world(&world, 1, cases[i].reset);
        produce(&world, 0, 3);
        cr_assert_eq(rd_kafka_flush(world.host, LIMIT_MS), 0);
        struct partition *partition = ask(&world, 0);
        expect_found(&world, cases[i].offset, false);
        partition_unref(partition);
        end_world(&world);
    }
}

/* With the answers of a broker that has the offsets in an open transaction, or is no longer the coordinator. */
Test(set_restore, it_asks_until_there_is_an_answer, .timeout = 120)
{
    struct world world;
    begin_world(&world, 1, "earliest");
    produce(&world, 0, 3);
    cr_assert_eq(rd_kafka_flush(world.host, LIMIT_MS), 0);
    commit_with_sets(&world, 1);
    rd_kafka_mock_push_request_errors(world.cluster, OFFSET_FETCH, 6, RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT,
                                      RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    struct partition *partition = ask(&world, 0);
    expect_found(&world, 1, true);
    partition_unref(partition);
    end_world(&world);
}

Test(set_restore, one_that_was_revoked_meanwhile_is_forgotten, .timeout = 120)
{
    struct world world;
    begin_world(&world, 2, "earliest");
    rd_kafka_mock_push_request_errors(world.cluster, OFFSET_FETCH, 3, RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT,
                                      RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT);
    struct partition *gone = ask(&world, 0);
    partition_revoke(gone);
    struct partition *stays = ask(&world, 1);
    struct assignment_start found;
    do {
        cr_assert(take(&world, &found));
        cr_expect(found.partition == stays || atomic_load(&found.partition->revoked));
        partition_unref(found.partition);
    } while (found.partition != stays);
    for (int64_t until = clock_mono_ms() + LIMIT_MS; atomic_load(&gone->references) > 1 && clock_mono_ms() < until; poll(NULL, 0, 5))
        if (set_restore_take(world.restore, &found)) { /* its answer may have come before the revoke */
            cr_expect_eq(found.partition, gone);
            partition_unref(found.partition);
        }
    cr_expect_eq(atomic_load(&gone->references), 1, "nobody holds it any more");
    partition_unref(gone);
    partition_unref(stays);
    end_world(&world);
}

Test(set_restore, a_coordinator_that_is_away_is_asked_when_it_is_back, .timeout = 120)
{
    struct world world;
    begin_world(&world, 1, "earliest");
    produce(&world, 0, 3);
    cr_assert_eq(rd_kafka_flush(world.host, LIMIT_MS), 0);
    commit_with_sets(&world, 1);
    cr_assert_eq(rd_kafka_mock_broker_set_down(world.cluster, 1), 0);
    struct partition *partition = ask(&world, 0);
    for (int64_t until = clock_mono_ms() + LIMIT_MS; atomic_load(&partition->references) < 2 && clock_mono_ms() < until;)
        poll(NULL, 0, 5);
    poll(NULL, 0, 3000); /* whatever librdkafka does meanwhile, its call returns */
    cr_assert_eq(rd_kafka_mock_broker_set_up(world.cluster, 1), 0);
    expect_found(&world, 1, true);
    partition_unref(partition);
    end_world(&world);
}
