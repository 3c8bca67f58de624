/* The intake, and the completion that lets it commit, against an in-memory cluster with injected failures:
 * commits, revocations, pauses, refused records. The test plays the pool: it takes tasks and ends them. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "breakers/breakers.h"
#include "completion/completion.h"
#include "completion/publisher.h"
#include "dispatch/dispatcher.h"
#include "intake/committer.h"
#include "intake/fetch_rest.h"
#include "intake/gathering.h"
#include "intake/intake.h"
#include "intake/pausing.h"
#include "intake/prefetch.h"
#include "kafka/fetch_bounds.h"
#include "kafka/kafka_conf.h"
#include "session/held_claims.h"
#include "telemetry/metrics.h"
#include "mock_kafka.h"
#include "one_provider.h"

#define PRODUCE 0
#define FETCH 1
#define OFFSET_COMMIT 8 /* https://kafka.apache.org/protocol#protocol_api_keys */
#define JOIN_GROUP 11
#define HEARTBEAT 12
#define REFUSED RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
#define LIMIT_MS 30000
#define LATE_MS 300

struct world {
    rd_kafka_t *client; /* hosts the cluster, and produces */
    rd_kafka_mock_cluster_t *cluster;
    struct settings *settings;
    struct service service;
    struct intake *intake;
    const char *group; /* the group whose commits are checked */
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

/* Gives topics a leader of their own, so that each broker can fail by itself. */
static void lead(struct world *world, const char *topic, int partitions, int broker)
{
    for (int p = 0; p < partitions; p++)
        cr_assert_eq(rd_kafka_mock_partition_set_leader(world->cluster, topic, p, broker), RD_KAFKA_RESP_ERR_NO_ERROR);
}

#define MORE_MAX 8

struct plan {
    int partitions;
    int brokers;                /* 0: one */
    void (*before)(struct world *world); /* the intake is there; NULL: nothing is done */
    const char *batch_records;  /* of what the test produces; NULL: librdkafka's choice */
    const char *more[MORE_MAX]; /* settings */
};

static rd_kafka_t *consumer_of(struct world *world, const char *group)
{
    return mock_kafka_client(RD_KAFKA_CONSUMER, mock_kafka_group(world->cluster, group));
}

static void commit_for(struct world *world, int64_t offset)
{
    rd_kafka_t *consumer = consumer_of(world, world->group);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "chat.jobs", 0)->offset = offset;
    rd_kafka_resp_err_t err;
    for (int64_t until = clock_mono_ms() + LIMIT_MS; (err = rd_kafka_commit(consumer, list, 0)) != 0 && clock_mono_ms() < until;)
        poll(NULL, 0, 10); /* it looks for its coordinator */
    cr_assert_eq(err, 0, "%s", rd_kafka_err2str(err));
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(consumer);
}

static void begin_planned(struct world *world, const struct plan *plan)
{
    const char *overrides[6 + MORE_MAX] = {"kafka.bootstrap.servers=embedded", "worker.threads=2", "worker.redis_io=per-thread",
                                           "worker.buffered_jobs_max=400", "worker.commit_interval_ms=50"};
    for (size_t i = 0; i < MORE_MAX && plan->more[i] != NULL; i++)
        overrides[5 + i] = plan->more[i];
    struct error err = {0};
    int partitions = plan->partitions;
    *world = (struct world){.settings = one_provider_settings(overrides), .client = mock_kafka_host(plan->brokers > 1 ? "2" : "1", plan->batch_records)};
    world->group = world->settings->kafka.group_id;
    world->cluster = rd_kafka_handle_mock_cluster(world->client);
    rd_kafka_mock_topic_create(world->cluster, "chat.jobs", partitions, 1);
    rd_kafka_mock_topic_create(world->cluster, "chat.replies", 1, 1);
    rd_kafka_mock_topic_create(world->cluster, "chat.dead", 1, 1);
    world->service.settings = world->settings;
    world->service.dispatcher = dispatcher_create(ORDERING_KEY, REDIS_IO_PER_THREAD, 2);
    world->service.claims = held_claims_create(30000);
    world->service.breakers = breakers_create(world->settings, world->service.dispatcher);
    world->service.completion = completion_create(&world->service);
    if (plan->brokers > 1) {
        lead(world, "chat.jobs", partitions, 1);
        lead(world, "chat.replies", 1, 1);
        lead(world, "chat.dead", 1, 1);
        rd_kafka_mock_coordinator_set(world->cluster, "group", world->settings->kafka.group_id, 1);
    }
    cr_assert_eq(publisher_create(&world->service, rd_kafka_mock_cluster_bootstraps(world->cluster), NULL, &world->service.publisher, &err), STATUS_OK, "%s", err.message);
    cr_assert_eq(completion_start(world->service.completion, &err), STATUS_OK);
    if (plan->before != NULL)
        plan->before(world);
    cr_assert_eq(intake_start(&world->service, rd_kafka_mock_cluster_bootstraps(world->cluster), &world->intake, &err), STATUS_OK, "%s", err.message);
}

static void begin_world(struct world *world, int partitions)
{
    begin_planned(world, &(struct plan){.partitions = partitions});
}

static void end_world(struct world *world)
{
    if (world->intake != NULL)
        intake_stop(world->intake, clock_mono_ms() + 20000);
    intake_destroy(world->intake);
    completion_stop(world->service.completion, clock_mono_ms() + LIMIT_MS);
    publisher_destroy(world->service.publisher);
    cr_expect_eq(metric_get(METRIC_jobs_alive), 0, "every task came to its end");
    dispatcher_stop(world->service.dispatcher);
    breakers_destroy(world->service.breakers);
    held_claims_destroy(world->service.claims);
    dispatcher_destroy(world->service.dispatcher);
    completion_destroy(world->service.completion);
    rd_kafka_destroy(world->client);
    settings_destroy(world->settings);
}

/* The next task; one job of each lane is taken at a time. */
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
    dispatcher_end(world->service.dispatcher, task);
    task_unref(task);
}

/* The group's committed offset at the broker; -1001: none. */
static int64_t committed(struct world *world, int partition)
{
    rd_kafka_t *reader = consumer_of(world, world->group);
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
static bool other_is_committed(struct world *world) { return committed(world, 1) == 1; }
static bool reply_is_written(struct world *world) { return written(world, "chat.replies") == 1; }
static bool dead_letter_is_written(struct world *world) { return written(world, "chat.dead") == 1; }
static bool refused_once(struct world *world) { (void)world; return metric_get(METRIC_publish_failures_total) >= 1; }
static bool is_joined(struct world *world) { return intake_in_group(world->intake); }
static bool both_are_enqueued(struct world *world) { return publisher_pending(world->service.publisher) == 2; }
static bool nothing_is_taken(struct world *world) { (void)world; return metric_get(METRIC_partitions_paused) == 1; }
static bool buffer_is_full(struct world *world) { (void)world; return metric_get(METRIC_jobs_alive) == 3; }
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

Test(intake, a_revoked_partition_has_nothing_to_commit)
{
    struct partition *partition = partition_create("chat.jobs", 0, 1);
    char *metadata = NULL;
    for (int i = 0; i < 2; i++)
        cr_assert_eq(partition_receive(partition, i, -1), OFFSET_NEW);
    partition_mark_done(partition, 0);
    cr_assert_eq(partition_committable(partition, &metadata), 1);
    free(metadata);
    partition_committed(partition, 1);
    partition_revoke(partition);
    partition_mark_done(partition, 1);
    cr_expect_eq(partition_committable(partition, &metadata), -1);
    partition_unref(partition);
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

/* 4,096 jobs are buffered; half of that is what may be behind. */
Test(intake, a_partition_is_paused_when_it_has_more_than_its_share_and_threads_want_for_others)
{
    static const struct {
        const char *what;
        struct pausing_view view;
        bool paused;
    } cases[] = {{"one alone may have a quarter of the buffer", {.behind = 1024, .behind_all = 1024, .to_ask = 1}, false},
                 {"and no more", {.behind = 1025, .behind_all = 1025, .to_ask = 1}, true},
                 {"but for nobody's sake", {.behind = 4000, .behind_all = 4000, .to_ask = 129}, false},
                 {"twice the threads are enough", {.behind = 4000, .behind_all = 4000, .to_ask = 128}, true},
                 {"of a thousand each has its few", {.behind = 8, .behind_all = 8000, .to_ask = 1}, false},
                 {"and no more", {.behind = 9, .behind_all = 8000, .to_ask = 1}, true},
                 {"paused until half is gone", {.behind = 5, .behind_all = 8000, .to_ask = 1, .paused = true}, true},
                 {"whoever wants", {.behind = 5, .behind_all = 8000, .to_ask = 1000, .paused = true}, true},
                 {"and resumed then", {.behind = 4, .behind_all = 8000, .to_ask = 1, .paused = true}, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pausing_view view = cases[i].view;
        view.threads = 64;
        view.buffered_max = 4096;
        cr_expect_eq(pausing_wants(&view), cases[i].paused, "%s", cases[i].what);
    }
    cr_expect(pausing_wants(&(struct pausing_view){.behind = 9, .behind_all = 9, .to_ask = 9, .threads = 8, .buffered_max = 2}), "a buffer that is smaller than the threads");
}

/* A pause throws away read-ahead records, and a resume fetches them again, from exactly there. Each partition has one session, whose jobs
 * wait for each other: it is paused and resumed again and again. */
Test(intake, each_record_comes_once_however_often_its_partition_is_paused, .timeout = 120)
{
    enum { PARTITIONS = 4, EACH = 300 };
    static const char *const sessions[PARTITIONS] = {"a", "b", "c", "d"};
    struct world world;
    int64_t next[PARTITIONS] = {0};
    int64_t received = metric_get(METRIC_jobs_received_total);
    begin_world(&world, PARTITIONS);
    for (int p = 0; p < PARTITIONS; p++)
        produce(&world, p, sessions[p], EACH);
    cr_assert(comes_true(all_are_paused, &world));
    cr_expect_lt(metric_get(METRIC_jobs_alive), PARTITIONS * EACH, "not all of it was read");
    for (int n = 0; n < PARTITIONS * EACH; n++) {
        intake_hold(world.intake, n % 100 >= 90 && metric_get(METRIC_jobs_alive) > 20); /* never until no job is left */
        struct task *task = take(&world);
        cr_assert_eq(task->record.offset, next[task->record.partition]++);
        finish(&world, task);
    }
    cr_expect_eq(metric_get(METRIC_jobs_received_total) - received, PARTITIONS * EACH);
    cr_expect_eq(metric_get(METRIC_jobs_duplicate_offset_total), 0);
    end_world(&world);
}

/* ---- a position that isn't in the log ---- */

static bool three_are_committed(struct world *world) { return committed(world, 0) == 3; }
static bool four_are_committed(struct world *world) { return committed(world, 0) == 4; }

static void take_and_finish(struct world *world, int64_t from, int64_t to)
{
    for (int64_t offset = from; offset < to; offset++) {
        struct task *task = take(world);
        cr_assert_eq(task->record.offset, offset);
        finish(world, task);
    }
}

/* The topic was recreated: the present records at these offsets were never read, and the old log's end isn't their progress. */
static bool log_is_replaced(struct world *world) { (void)world; return metric_get(METRIC_logs_replaced_total) > 0; }

/* A broker returns the error to each fetch: one returned once is lost if a seek comes between. */
static void say_until(struct world *world, rd_kafka_resp_err_t to_fetches, bool (*check)(struct world *))
{
    enum { MANY = 10000 };
    AUTO_FREE rd_kafka_resp_err_t *errors = xcalloc(MANY, sizeof *errors);
    for (size_t i = 0; i < MANY; i++)
        errors[i] = to_fetches;
    rd_kafka_mock_push_request_errors_array(world->cluster, FETCH, MANY, errors);
    cr_assert(comes_true(check, world));
    rd_kafka_mock_clear_request_errors(world->cluster, FETCH);
}

Test(intake, a_log_that_is_shorter_than_what_was_read_of_it_is_another_one, .timeout = 120)
{
    struct world world;
    begin_world(&world, 1);
    produce(&world, 0, "", 10);
    take_and_finish(&world, 0, 9);
    struct task *of_the_old_one = take(&world);
    cr_assert_eq(of_the_old_one->record.offset, 9);
    say_until(&world, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, log_is_replaced);
    take_and_finish(&world, 0, 3);
    cr_expect(comes_true(three_are_committed, &world), "%lld", (long long)committed(&world, 0));
    cr_expect_eq(metric_get(METRIC_jobs_duplicate_offset_total), 0);
    cr_expect_not(atomic_load(&of_the_old_one->partition->revoked), "nobody can read it again: it is answered here");
    finish(&world, of_the_old_one);
    take_and_finish(&world, 3, 4);
    cr_expect(comes_true(four_are_committed, &world), "%lld", (long long)committed(&world, 0));
    end_world(&world);
}

/* The group has removed the member while it was joining. With a group.instance.id it may rejoin at once, and librdkafka doesn't report
 * the loss: it goes on reading the partitions that are assigned to it again. Others may have owned them meanwhile. */
Test(intake, what_a_member_gets_back_under_another_member_id_begins_anew, .timeout = 120)
{
    struct world world;
    begin_planned(&world, &(struct plan){.partitions = 1, .more = {"kafka.heartbeat.interval.ms=100", "kafka.session.timeout.ms=3000"}});
    produce(&world, 0, "", 1);
    struct task *under_the_old_one = take(&world);
    rd_kafka_mock_push_request_errors(world.cluster, JOIN_GROUP, 1, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    rd_kafka_mock_push_request_errors(world.cluster, HEARTBEAT, 1, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS);
    for (int64_t until = clock_mono_ms() + LIMIT_MS; !atomic_load(&under_the_old_one->partition->revoked) && clock_mono_ms() < until;)
        poll(NULL, 0, 10);
    cr_assert(atomic_load(&under_the_old_one->partition->revoked));
    finish(&world, under_the_old_one);
    struct task *again = take(&world);
    cr_expect_eq(again->record.offset, 0, "it is read once more");
    cr_expect_not(atomic_load(&again->partition->revoked));
    cr_expect_leq(committed(&world, 0), 0, "what was done before says nothing of it");
    finish(&world, again);
    cr_expect(comes_true(is_committed, &world), "%lld", (long long)committed(&world, 0));
    end_world(&world);
}

/* The cluster keeps 5 MiB a partition: the first records expire. */
static void let_records_expire(struct world *world)
{
    enum { RECORDS = 10, BYTES = 900000 };
    AUTO_FREE char *text = xcalloc(1, BYTES + 1);
    memset(text, 'x', BYTES);
    AUTO_FREE char *value = xasprintf("{\"id\":\"p\",\"session\":\"s\",\"message\":\"%s\"}", text);
    for (int i = 0; i < RECORDS; i++)
        produce_value(world, 0, value);
    cr_assert_eq(rd_kafka_flush(world->client, LIMIT_MS), 0);
    commit_for(world, 1);
}

Test(intake, where_records_expired_before_they_were_read_it_goes_on_with_the_first_that_is_left, .timeout = 120)
{
    struct world world;
    int64_t low = 0, high = 0;
    begin_planned(&world, &(struct plan){.partitions = 1, .batch_records = "1", .before = let_records_expire});
    cr_assert_eq(rd_kafka_query_watermark_offsets(world.client, "chat.jobs", 0, &low, &high, LIMIT_MS), 0);
    cr_assert_gt(low, 1);
    take_and_finish(&world, low, high);
    cr_expect_eq(metric_get(METRIC_records_expired_total), low - 1);
    cr_expect_eq(metric_get(METRIC_logs_replaced_total), 0);
    end_world(&world);
}

static bool job_is_alive(struct world *world) { (void)world; return metric_get(METRIC_jobs_alive) > 0; }
static bool records_have_expired(struct world *world) { (void)world; return metric_get(METRIC_records_expired_total) > 0; }

/* An eager assignment is made as a whole, so whatever begins or ends by itself stops and starts all others. */
Test(intake, an_eager_assignment_goes_on_with_the_partitions_that_it_has_read_already, .timeout = 120)
{
    struct world world;
    int64_t low = 0, high = 0;
    begin_planned(&world, &(struct plan){.partitions = 3, .batch_records = "1", .before = let_records_expire, .more = {"kafka.partition.assignment.strategy=range"}});
    cr_assert_eq(rd_kafka_query_watermark_offsets(world.client, "chat.jobs", 0, &low, &high, LIMIT_MS), 0);
    cr_assert(comes_true(records_have_expired, &world), "partition 0 was taken out, and has begun anew");
    take_and_finish(&world, low, high);
    for (int partition = 1; partition < 3; partition++) {
        produce(&world, partition, "", 1);
        cr_assert(comes_true(job_is_alive, &world), "partition %d", partition);
        struct task *task = take(&world);
        cr_expect_eq(task->record.partition, partition);
        finish(&world, task);
    }
    end_world(&world);
}

/* ---- the committer alone ---- */

struct desk {
    struct world world;
    rd_kafka_t *consumer;
    struct assignments assignments;
    atomic_bool joining;
    struct committer *committer;
};

/* Offset 0 of its one partition is done. The world's intake has no part in it: another group. */
static void begin_desk(struct desk *desk)
{
    begin_world(&desk->world, 1);
    desk->world.group = "desk";
    desk->consumer = consumer_of(&desk->world, desk->world.group);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "chat.jobs", 0);
    cr_assert_eq(rd_kafka_committed(desk->consumer, list, LIMIT_MS), 0, "its coordinator answers");
    rd_kafka_topic_partition_list_destroy(list);
    desk->assignments = (struct assignments){0};
    assignments_add(&desk->assignments, "chat.jobs", 0);
    atomic_init(&desk->joining, false);
    desk->committer = committer_create(&desk->world.service, desk->consumer, &desk->assignments, &desk->joining);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(partition_receive(desk->assignments.partitions[0], i, -1), OFFSET_NEW);
    partition_mark_done(desk->assignments.partitions[0], 0);
}

static void end_desk(struct desk *desk)
{
    committer_destroy(desk->committer);
    assignments_finish(&desk->assignments);
    rd_kafka_destroy(desk->consumer);
    end_world(&desk->world);
}

/* From a revoke to the next assignment. The broker would accept a commit: its offset shows how many there were. */
Test(intake, nothing_is_committed_while_the_committer_rests, .timeout = 120)
{
    struct desk desk;
    begin_desk(&desk);
    committer_rest(desk.committer, true);
    for (int i = 0; i < 3; i++)
        committer_look(desk.committer); /* the first would send it */
    partition_mark_done(desk.assignments.partitions[0], 1);
    committer_rest(desk.committer, false);
    for (int64_t until = clock_mono_ms() + LIMIT_MS; committed(&desk.world, 0) < 2 && clock_mono_ms() < until;)
        committer_look(desk.committer);
    committer_look(desk.committer); /* reads the answer, if it is there */
    cr_expect_eq(committed(&desk.world, 0), 2);
    cr_expect_leq(metric_get(METRIC_commits_total), 1, "both at once, after the rest");
    end_desk(&desk);
}

Test(intake, the_last_commit_waits_for_the_one_before_and_for_its_own_answer, .timeout = 120)
{
    struct desk desk;
    begin_desk(&desk);
    rd_kafka_mock_broker_push_request_error_rtts(desk.world.cluster, 1, OFFSET_COMMIT, 2, RD_KAFKA_RESP_ERR_NO_ERROR, LATE_MS, RD_KAFKA_RESP_ERR_NO_ERROR,
                                                 LATE_MS);
    committer_look(desk.committer);
    partition_mark_done(desk.assignments.partitions[0], 1);
    committer_now(desk.committer);
    cr_expect_eq(metric_get(METRIC_commits_total), 2, "%lld of them answered", (long long)metric_get(METRIC_commits_total));
    cr_expect_eq(committed(&desk.world, 0), 2);
    end_desk(&desk);
}

/* A job's end is done with both of its acknowledgements. Each of them is delayed alone: its topic is led by a broker of its own. Meanwhile
 * another partition's job ends and is committed, so that this one's would have been, too. */
static void expect_held(struct world *world)
{
    produce(world, 1, "", 1);
    finish(world, take(world));
    cr_expect(comes_true(other_is_committed, world));
    cr_expect_leq(committed(world, 0), 0);
}

static void hold_one_back(const char *topic, bool (*other_is_written)(struct world *), bool (*is_written)(struct world *))
{
    struct world world;
    begin_planned(&world, &(struct plan){.partitions = 2, .brokers = 2});
    lead(&world, topic, 1, 2);
    /* Refused for good, as a missing permission is: the client doesn't try again by itself. */
    rd_kafka_mock_broker_push_request_error_rtts(world.cluster, 2, PRODUCE, 4, REFUSED, 0, REFUSED, 0, REFUSED, 0, REFUSED, 0);
    produce_value(&world, 0, "not a job");
    cr_assert_eq(rd_kafka_flush(world.client, LIMIT_MS), 0);
    cr_assert(comes_true(other_is_written, &world));
    cr_assert(comes_true(refused_once, &world));
    expect_held(&world);
    cr_expect(comes_true(is_committed, &world), "once it is permitted again");
    cr_expect(is_written(&world));
    end_world(&world);
}

Test(intake, a_dead_letter_that_cannot_be_written_holds_the_commit, .timeout = 120)
{
    hold_one_back("chat.dead", reply_is_written, dead_letter_is_written);
}

Test(intake, a_reply_that_cannot_be_written_holds_the_commit, .timeout = 120)
{
    hold_one_back("chat.replies", dead_letter_is_written, reply_is_written);
}

Test(intake, what_is_enqueued_alone_is_not_done, .timeout = 120)
{
    struct world world;
    begin_planned(&world, &(struct plan){.partitions = 2, .brokers = 2});
    lead(&world, "chat.replies", 1, 2);
    lead(&world, "chat.dead", 1, 2);
    /* librdkafka repeats a request to the same broker for a minute: so wait until the consumer has joined before that broker fails. */
    cr_assert(comes_true(is_joined, &world));
    cr_assert_eq(written(&world, "chat.jobs"), 0);
    cr_assert_eq(rd_kafka_mock_broker_set_down(world.cluster, 2), 0);
    produce_value(&world, 0, "not a job");
    cr_assert_eq(rd_kafka_flush(world.client, LIMIT_MS), 0);
    cr_assert(comes_true(both_are_enqueued, &world));
    expect_held(&world);
    cr_assert_eq(rd_kafka_mock_broker_set_up(world.cluster, 2), 0);
    cr_expect(comes_true(is_committed, &world));
    cr_expect(reply_is_written(&world));
    cr_expect(dead_letter_is_written(&world));
    end_world(&world);
}

/* ---- reading ahead ---- */

/* The buffer is full with three jobs; the other records of their batch are with the client. A pause would throw them away, and
 * the broker, which is gone, would have to be asked again. */
Test(intake, a_full_buffer_throws_nothing_away, .timeout = 120)
{
    enum { RECORDS = 50 };
    struct world world;
    begin_planned(&world, &(struct plan){.partitions = 1, .brokers = 2, .more = {"worker.buffered_jobs_max=1"}});
    lead(&world, "chat.jobs", 1, 2);
    produce(&world, 0, "", RECORDS);
    cr_assert(comes_true(buffer_is_full, &world));
    cr_assert(comes_true(nothing_is_taken, &world));
    cr_assert_eq(rd_kafka_mock_broker_set_down(world.cluster, 2), 0);
    for (int i = 0; i < RECORDS; i++) {
        struct task *task = take(&world);
        cr_expect_eq(task->record.offset, i);
        cr_expect_leq(metric_get(METRIC_jobs_alive), 3);
        finish(&world, task);
    }
    cr_assert_eq(rd_kafka_mock_broker_set_up(world.cluster, 2), 0);
    end_world(&world);
}

/* Every batch fills the queue to its bound; with several partitions a Fetch brings one of each. librdkafka alone would look at it again after a second. */
static void read_at_the_bound(const char *bound, int partitions)
{
    enum { BATCH = 25, BATCHES = 40 /* a partition */, REST_MS = 1000 };
    struct world world;
    int64_t next[BATCHES] = {0};
    begin_planned(&world, &(struct plan){.partitions = partitions, .batch_records = "25", .more = {bound, "kafka.fetch.message.max.bytes=100"}});
    intake_hold(world.intake, true);
    for (int p = 0; p < partitions; p++)
        produce(&world, p, "", BATCH * BATCHES);
    int64_t received = metric_get(METRIC_jobs_received_total);
    int64_t began_ms = clock_mono_ms();
    intake_hold(world.intake, false);
    for (int i = 0; i < BATCH * BATCHES * partitions; i++) {
        struct task *task = take(&world);
        cr_assert_eq(task->record.offset, next[task->record.partition]++);
        finish(&world, task);
    }
    cr_expect_lt(clock_mono_ms() - began_ms, (int64_t)BATCHES * REST_MS / 2);
    cr_expect_eq(metric_get(METRIC_jobs_received_total) - received, BATCH * BATCHES * partitions);
    cr_expect_eq(metric_get(METRIC_jobs_duplicate_offset_total), 0);
    end_world(&world);
}

Test(intake, reading_goes_on_after_as_many_records_as_are_read_ahead, .timeout = 120)
{
    read_at_the_bound("kafka.queued.min.messages=20", 1);
}

Test(intake, reading_goes_on_after_as_many_bytes_as_are_read_ahead, .timeout = 120)
{
    read_at_the_bound("kafka.queued.max.messages.kbytes=1", 1);
}

Test(intake, reading_goes_on_of_each_partition, .timeout = 120)
{
    read_at_the_bound("kafka.queued.min.messages=20", 8);
}

Test(intake, records_that_come_one_by_one_gather_when_there_are_many_jobs)
{
    struct gathering gathering = {0};
    cr_expect_eq(gathering_rest_ms(&gathering, true, 20), 0, "the first after a silence");
    gathering_note_taken(&gathering);
    cr_expect_eq(gathering_rest_ms(&gathering, true, 20), 10);
    cr_expect_eq(gathering_rest_ms(&gathering, true, 20), 0, "nothing came meanwhile");
    gathering_note_taken(&gathering);
    cr_expect_eq(gathering_rest_ms(&gathering, false, 20), 0, "there are few jobs");
    gathering_note_taken(&gathering);
    cr_expect_eq(gathering_rest_ms(&gathering, true, 0), 0, "nothing gathers");
    for (int i = 0; i < GATHERING_TRICKLE_MAX; i++)
        gathering_note_taken(&gathering);
    cr_expect_eq(gathering_rest_ms(&gathering, true, 20), 10);
    for (int i = 0; i < GATHERING_TRICKLE_MAX + 1; i++)
        gathering_note_taken(&gathering);
    cr_expect_eq(gathering_rest_ms(&gathering, true, 20), 0, "they came in company");
}

Test(intake, it_may_rest_once_a_bound_was_taken_or_some_was_thrown_away)
{
    struct fetch_rest rest;
    fetch_rest_init(&rest, 3, 1000);
    for (int i = 0; i < 2; i++)
        fetch_rest_note_taken(&rest, 10);
    cr_expect(!fetch_rest_is_likely(&rest));
    fetch_rest_note_taken(&rest, 10);
    cr_expect(fetch_rest_is_likely(&rest), "three records");
    fetch_rest_note_woken(&rest);
    cr_expect(fetch_rest_is_likely(&rest), "nothing came yet");
    fetch_rest_note_taken(&rest, 10);
    cr_expect(!fetch_rest_is_likely(&rest), "it is awake");
    fetch_rest_note_taken(&rest, 990);
    cr_expect(fetch_rest_is_likely(&rest), "a thousand bytes");
    fetch_rest_note_woken(&rest);
    fetch_rest_note_taken(&rest, 10);
    fetch_rest_note_purged(&rest);
    for (int i = 0; i < FETCH_WAKES_MAX; i++) {
        cr_expect(fetch_rest_is_likely(&rest));
        fetch_rest_note_woken(&rest);
    }
    cr_expect(!fetch_rest_is_likely(&rest), "there is nothing to read");
    fetch_rest_note_purged(&rest);
    cr_expect(fetch_rest_is_likely(&rest));
}

/* Besides the buffer there is as much again for all other memory; read-ahead records take less than half of it, with one Fetch response under way. */
Test(intake, what_is_read_ahead_is_bounded_by_the_buffer)
{
    static const int64_t sizes[] = {65536, 1 << 20, 64 << 20, INT64_C(1) << 34};
    struct settings settings = {.worker = {.threads = 64, .buffered_jobs_max = 4096}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        settings.worker.buffered_bytes_max = sizes[i];
        struct fetch_bounds bounds = fetch_bounds(&settings);
        cr_expect_leq(bounds.partition_bytes, bounds.kbytes * 1024);
        cr_expect_geq(bounds.records, 1);
        cr_expect_leq(bounds.records, 2 * (64 + 4096));
        if (sizes[i] >= 1 << 20)
            cr_expect_leq(2 * bounds.kbytes * 1024 + bounds.records * 512, sizes[i] / 2);
    }
}

static void assert_fetches(int partitions, const char *const overrides[], const char *wait_ms, const char *bytes)
{
    struct settings *settings = one_provider_settings(overrides);
    struct error err;
    rd_kafka_conf_t *conf;
    cr_assert_eq(kafka_conf_make(settings, "localhost:1", RD_KAFKA_CONSUMER, &conf, &err), STATUS_OK);
    cr_assert_eq(kafka_conf_fetch_in_rounds(conf, settings, partitions, &err), STATUS_OK);
    const char *const expected[][2] = {{"fetch.wait.max.ms", wait_ms}, {"fetch.min.bytes", bytes}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        char value[32] = "";
        size_t size = sizeof value;
        cr_assert_eq(rd_kafka_conf_get(conf, expected[i][0], value, &size), RD_KAFKA_CONF_OK);
        cr_expect_str_eq(value, expected[i][1], "%s is %s with %d partitions and %s, %s", expected[i][0], value, partitions, overrides[0] ? overrides[0] : "no setting",
                         overrides[0] && overrides[1] ? overrides[1] : "no other");
    }
    rd_kafka_conf_destroy(conf);
    settings_destroy(settings);
}

#define WITH(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(,) NULL})

Test(intake, many_partitions_are_fetched_in_rounds_unless_the_settings_say_how)
{
    assert_fetches(1, WITH(), "100", "1");
    assert_fetches(16, WITH(), "100", "1");
    assert_fetches(17, WITH(), "5", "65536");
    assert_fetches(239, WITH(), "5", "65536");
    assert_fetches(240, WITH(), "6", "65536");
    assert_fetches(1000, WITH(), "25", "65536");
    assert_fetches(10000, WITH(), "50", "65536");
    assert_fetches(1000, WITH("kafka.fetch.wait.max.ms=250"), "250", "1");
    assert_fetches(1000, WITH("kafka.fetch.min.bytes=7"), "100", "7");
}

/* That of the two that asks for the longer rounds holds. */
Test(intake, many_jobs_at_once_are_fetched_in_rounds_unless_nothing_is_to_gather)
{
    assert_fetches(1, WITH("worker.threads=64"), "100", "1");
    assert_fetches(1, WITH("worker.threads=65"), "20", "65536");
    assert_fetches(1, WITH("worker.in_flight=1000"), "100", "1"); /* the other engine's */
    assert_fetches(1, WITH("worker.engine=loop", "worker.in_flight=65"), "20", "65536");
    assert_fetches(1, WITH("worker.engine=loop", "worker.threads=1000"), "100", "1");
    assert_fetches(1, WITH("worker.threads=65", "worker.gather_ms=7"), "7", "65536");
    assert_fetches(1, WITH("worker.threads=65", "worker.gather_ms=5"), "5", "65536");
    assert_fetches(1, WITH("worker.threads=65", "worker.gather_ms=4"), "100", "1");
    assert_fetches(1, WITH("worker.threads=65", "worker.gather_ms=0"), "100", "1");
    assert_fetches(17, WITH("worker.threads=65", "worker.gather_ms=0"), "5", "65536");
    assert_fetches(17, WITH("worker.threads=65"), "20", "65536");
    assert_fetches(1000, WITH("worker.threads=65"), "25", "65536");
    assert_fetches(1, WITH("worker.threads=65", "kafka.fetch.wait.max.ms=250"), "250", "1");
}

#undef WITH

Test(intake, properties_of_the_settings_win)
{
    static const char *const overrides[] = {"kafka.queued.min.messages=17", "kafka.queued.max.messages.kbytes=19", NULL};
    struct settings *settings = one_provider_settings(overrides);
    struct error err;
    rd_kafka_conf_t *conf;
    cr_assert_eq(kafka_conf_make(settings, "localhost:1", RD_KAFKA_CONSUMER, &conf, &err), STATUS_OK);
    static const char *const expected[][2] = {{"queued.min.messages", "17"}, {"queued.max.messages.kbytes", "19"}, {"fetch.message.max.bytes", "262144"}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        char value[32] = "";
        size_t size = sizeof value;
        cr_assert_eq(rd_kafka_conf_get(conf, expected[i][0], value, &size), RD_KAFKA_CONF_OK);
        cr_expect_str_eq(value, expected[i][1]);
    }
    rd_kafka_conf_destroy(conf);
    settings_destroy(settings);
}
