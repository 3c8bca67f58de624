/* The intake, and the completion that lets it commit, against a cluster in memory that can be told to misbehave:
 * commits, revocations, pauses, refused records. The test plays the pool: it takes tasks and ends them. */
#include <criterion/criterion.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "completion/completion.h"
#include "completion/publisher.h"
#include "dispatch/dispatcher.h"
#include "dispatch/weather.h"
#include "intake/intake.h"
#include "ops/metrics.h"

#define PRODUCE 0
#define OFFSET_COMMIT 8 /* https://kafka.apache.org/protocol#protocol_api_keys */
#define REFUSED RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
#define LIMIT_MS 30000

struct world {
    rd_kafka_t *client; /* hosts the cluster, and produces */
    rd_kafka_mock_cluster_t *cluster;
    struct settings *settings;
    struct service service;
    struct intake *intake;
};

static void produce_value(struct world *world, int partition, const char *value)
{
    cr_assert_eq(rd_kafka_producev(world->client, RD_KAFKA_V_TOPIC("chat.jobs"), RD_KAFKA_V_PARTITION(partition),
                                   RD_KAFKA_V_VALUE((char *)(uintptr_t)value, strlen(value)), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                   RD_KAFKA_V_END), 0);
}

/* count jobs of one session, or with "" each of its own. */
static void produce(struct world *world, int partition, const char *session, int count)
{
    for (int i = 0; i < count; i++) {
        AUTO_FREE char *own = xasprintf("s%d", i);
        AUTO_FREE char *value = xasprintf("{\"id\":\"p%d-%d\",\"session\":\"%s\",\"message\":\"x\"}", partition, i, session[0] ? session : own);
        produce_value(world, partition, value);
    }
    cr_assert_eq(rd_kafka_flush(world->client, LIMIT_MS), 0);
}

static void begin_world(struct world *world, int partitions)
{
    static const char *const overrides[] = {"kafka.bootstrap.servers=embedded", "provider.main.url=http://localhost:1/v1",
                                            "provider.main.model=m", "worker.threads=2", "worker.redis_io=per-thread",
                                            "worker.buffered_jobs_max=400", "worker.commit_interval_ms=50", NULL};
    struct settings_sources sources = {.overrides = overrides};
    struct error err = {0};
    char why[256];
    *world = (struct world){0};
    cr_assert_eq(settings_load(&sources, &world->settings, &err), STATUS_OK, "%s", err.message);
    log_configure(LOG_ERROR, LOG_LOGFMT);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", why, sizeof why);
    world->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    cr_assert_not_null(world->client);
    world->cluster = rd_kafka_handle_mock_cluster(world->client);
    rd_kafka_mock_topic_create(world->cluster, "chat.jobs", partitions, 1);
    rd_kafka_mock_topic_create(world->cluster, "chat.replies", 1, 1);
    rd_kafka_mock_topic_create(world->cluster, "chat.dead", 1, 1);
    world->service.settings = world->settings;
    world->service.dispatcher = dispatcher_create(ORDERING_KEY, REDIS_IO_PER_THREAD, 2);
    world->service.weather = weather_create(world->settings, world->service.dispatcher);
    world->service.completion = completion_create(&world->service);
    cr_assert_eq(publisher_create(&world->service, rd_kafka_mock_cluster_bootstraps(world->cluster), NULL, &world->service.publisher, &err), STATUS_OK, "%s", err.message);
    cr_assert_eq(completion_start(world->service.completion, &err), STATUS_OK);
    cr_assert_eq(intake_start(&world->service, rd_kafka_mock_cluster_bootstraps(world->cluster), &world->intake, &err), STATUS_OK, "%s", err.message);
}

static void end_world(struct world *world)
{
    if (world->intake != NULL)
        intake_stop(world->intake);
    intake_destroy(world->intake);
    completion_stop(world->service.completion, clock_mono_ms() + LIMIT_MS);
    publisher_destroy(world->service.publisher);
    cr_expect_eq(metric_get(METRIC_jobs_alive), 0, "every task came to its end");
    dispatcher_stop(world->service.dispatcher);
    weather_destroy(world->service.weather);
    dispatcher_destroy(world->service.dispatcher);
    completion_destroy(world->service.completion);
    rd_kafka_destroy(world->client);
    settings_destroy(world->settings);
}

/* The next task; one job of each lane is out at a time. */
static struct task *take(struct world *world)
{
    struct task *task = dispatcher_take(world->service.dispatcher, 0);
    cr_assert_not_null(task);
    dispatcher_taken_done(world->service.dispatcher);
    return task;
}

static void finish(struct world *world, struct task *task)
{
    partition_mark_done(task->partition, task->record.offset);
    dispatcher_end(world->service.dispatcher, task, NULL);
    task_unref(task);
}

/* What the broker holds for the group; -1001: nothing. */
static int64_t committed(struct world *world, int partition)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "group.id", world->settings->kafka.group_id, why, sizeof why);
    rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(world->cluster), why, sizeof why);
    rd_kafka_t *reader = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "chat.jobs", partition);
    cr_assert_eq(rd_kafka_committed(reader, list, LIMIT_MS), 0);
    int64_t offset = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(reader);
    return offset;
}

static bool comes_true(bool (*check)(struct world *), struct world *world)
{
    for (int64_t until = clock_mono_ms() + LIMIT_MS; clock_mono_ms() < until; poll(NULL, 0, 10))
        if (check(world))
            return true;
    return false;
}

/* How many records the one partition of a topic has had. */
static int64_t written(struct world *world, const char *topic)
{
    int64_t low = 0, high = 0;
    cr_assert_eq(rd_kafka_query_watermark_offsets(world->client, topic, 0, &low, &high, LIMIT_MS), 0);
    return high;
}

static bool is_committed(struct world *world) { return committed(world, 0) == 1; }
static bool refused_often(struct world *world) { (void)world; return metric_get(METRIC_publish_failures_total) >= 4; }
static bool ten_are_committed(struct world *world) { return committed(world, 0) == 10; }
static bool hot_partition_is_paused(struct world *world) { (void)world; return metric_get(METRIC_partitions_paused) == 1; }
static bool all_are_paused(struct world *world) { (void)world; return metric_get(METRIC_partitions_paused) == 4; }
static bool none_is_paused(struct world *world) { (void)world; return metric_get(METRIC_partitions_paused) == 0; }

Test(intake, a_refused_commit_is_said_again, .timeout = 120)
{
    struct world world;
    begin_world(&world, 1);
    rd_kafka_mock_push_request_errors(world.cluster, OFFSET_COMMIT, 3, RD_KAFKA_RESP_ERR_UNKNOWN,
                                      RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE, RD_KAFKA_RESP_ERR_UNKNOWN);
    produce(&world, 0, "", 10);
    for (int i = 0; i < 10; i++)
        finish(&world, take(&world));
    cr_expect(comes_true(ten_are_committed, &world), "%lld", (long long)committed(&world, 0));
    cr_expect_geq(metric_get(METRIC_commit_failures_total), 3);
    end_world(&world);
}

Test(intake, what_is_finished_after_the_revoke_is_not_committed, .timeout = 120)
{
    struct world world;
    struct task *tasks[5];
    begin_world(&world, 1);
    produce(&world, 0, "", 5);
    for (int i = 0; i < 5; i++)
        tasks[i] = take(&world);
    finish(&world, tasks[4]); /* out of order: holds nothing back, allows nothing */
    for (int i = 0; i < 3; i++)
        finish(&world, tasks[i]);
    intake_stop(world.intake); /* commits, revokes, leaves */
    world.intake = NULL;
    cr_expect_eq(committed(&world, 0), 3);
    cr_expect(atomic_load(&tasks[3]->partition->revoked));
    finish(&world, tasks[3]);
    cr_expect_eq(committed(&world, 0), 3);
    end_world(&world);
}

Test(intake, a_hot_session_pauses_its_own_partition_alone, .timeout = 120)
{
    struct world world;
    begin_world(&world, 2);
    produce(&world, 0, "hot", 1000);
    struct task *head = take(&world);
    cr_assert(comes_true(hot_partition_is_paused, &world));
    cr_expect_lt(metric_get(METRIC_jobs_alive), 400, "paused by its share, before the whole buffer is full");
    produce(&world, 1, "", 600); /* more than the buffer: it must flow, not just fit */
    for (int i = 0; i < 600; i++) {
        struct task *task = take(&world);
        cr_assert_eq(task->record.partition, 1);
        cr_assert_eq(task->record.offset, i);
        finish(&world, task);
    }
    cr_expect(comes_true(hot_partition_is_paused, &world));
    finish(&world, head);
    for (int i = 1; i < 1000; i++) {
        struct task *task = take(&world);
        cr_assert_eq(task->record.offset, i, "in order, none lost by pausing");
        finish(&world, task);
    }
    cr_expect(comes_true(none_is_paused, &world));
    end_world(&world);
    cr_expect_geq(metric_get(METRIC_commits_total), 2);
}

/* A pause throws away what was read ahead, and a resume goes back for it: to just there. */
Test(intake, each_record_comes_once_however_often_its_partition_is_paused, .timeout = 120)
{
    enum { PARTITIONS = 4, EACH = 300 };
    struct world world;
    begin_world(&world, PARTITIONS);
    intake_hold(world.intake, true); /* before the first record */
    for (int p = 0; p < PARTITIONS; p++)
        produce(&world, p, "", EACH);
    cr_assert(comes_true(all_are_paused, &world));
    int64_t received = metric_get(METRIC_jobs_received_total);
    for (int n = 0; n < PARTITIONS * EACH; n++) {
        intake_hold(world.intake, n % 100 >= 90 && metric_get(METRIC_jobs_alive) > 20); /* never until nothing is left */
        finish(&world, take(&world));
    }
    cr_expect_eq(metric_get(METRIC_jobs_received_total) - received, PARTITIONS * EACH);
    cr_expect_eq(metric_get(METRIC_jobs_duplicate_offset_total), 0);
    end_world(&world);
}

Test(intake, a_dead_letter_that_cannot_be_written_holds_the_commit, .timeout = 120)
{
    struct world world;
    begin_world(&world, 1);
    produce_value(&world, 0, "not a job");
    cr_assert_eq(rd_kafka_flush(world.client, LIMIT_MS), 0);
    /* Refused for good, as a missing permission is: the client doesn't try again by itself. */
    rd_kafka_mock_push_request_errors(world.cluster, PRODUCE, 6, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED);
    cr_assert(comes_true(refused_often, &world));
    cr_expect_leq(committed(&world, 0), 0, "not beyond it: its dead letter isn't written");
    cr_expect(comes_true(is_committed, &world), "once it is permitted again");
    cr_expect_geq(written(&world, "chat.dead"), 1);
    cr_expect_geq(written(&world, "chat.replies"), 1);
    end_world(&world);
}
