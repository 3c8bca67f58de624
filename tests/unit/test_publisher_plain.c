/* At-least-once's publisher against an in-memory cluster that is away, or refuses. The test plays completion: it puts and polls, and no
 * call may wait for Kafka. */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "breakers/breakers.h"
#include "completion/end.h"
#include "completion/publisher.h"
#include "completion/renewals.h"
#include "dispatch/dispatcher.h"
#include "telemetry/metrics.h"
#include "mock_kafka.h"
#include "one_provider.h"

#define PRODUCE 0 /* https://kafka.apache.org/protocol#protocol_api_keys */
#define LIMIT_MS 30000

static rd_kafka_t *polled;

/* In place of librdkafka's, so that the test knows the publisher's client. */
int rd_kafka_poll(rd_kafka_t *rk, int timeout_ms)
{
    int (*real)(rd_kafka_t *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_poll");
    polled = rk;
    return real(rk, timeout_ms);
}

static bool deaf; /* clients don't hear that their records are to be given up, as while a broker's thread looks up a name */

rd_kafka_resp_err_t rd_kafka_purge(rd_kafka_t *rk, int flags)
{
    rd_kafka_resp_err_t (*real)(rd_kafka_t *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_purge");
    return deaf ? RD_KAFKA_RESP_ERR_NO_ERROR : real(rk, flags);
}

struct world {
    rd_kafka_t *host;
    rd_kafka_mock_cluster_t *cluster;
    struct settings *settings;
    struct service service;
    struct publisher *publisher;
    struct partition *partition;
};

static void begin_world(struct world *world, const char *property)
{
    const char *const overrides[] = {"kafka.reconnect.backoff.max.ms=100", property, NULL};
    struct error err = {0};
    *world = (struct world){.settings = one_provider_settings(overrides), .host = mock_kafka_host("1", NULL)};
    world->cluster = rd_kafka_handle_mock_cluster(world->host);
    rd_kafka_mock_topic_create(world->cluster, "chat.replies", 1, 1);
    rd_kafka_mock_topic_create(world->cluster, "chat.dead", 1, 1);
    world->service.settings = world->settings;
    world->service.dispatcher = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, 8);
    world->service.breakers = breakers_create(world->settings, world->service.dispatcher);
    cr_assert_eq(publisher_create(&world->service, rd_kafka_mock_cluster_bootstraps(world->cluster), NULL, &world->publisher, &err), STATUS_OK, "%s", err.message);
    world->partition = partition_create("chat.jobs", 0, 1);
}

static void end_world(struct world *world)
{
    publisher_end_soon(world->publisher);
    cr_expect(publisher_close(world->publisher, clock_mono_ms()));
    publisher_destroy(world->publisher);
    cr_expect_eq(metric_get(METRIC_jobs_alive), 0, "every task came to its end");
    breakers_destroy(world->service.breakers);
    dispatcher_destroy(world->service.dispatcher);
    partition_unref(world->partition);
    rd_kafka_destroy(world->host);
    settings_destroy(world->settings);
}

static void put(struct world *world, int64_t offset, size_t size, bool dead_letter)
{
    struct record record = {.topic = xstrdup("chat.jobs"), .offset = offset, .timestamp_ms = -1, .key = xstrdup("key"), .key_size = 3,
                            .value = xstrdup("{}"), .value_size = 2};
    (void)partition_receive(world->partition, offset, -1);
    struct task *task = task_create(&record, world->partition);
    task->job.id = xasprintf("job-%lld", (long long)offset);
    task->reply = xasprintf("%0*lld", (int)size, (long long)offset);
    end_owe(task, dead_letter);
    publisher_put(world->publisher, task);
    task_unref(task);
}

static int64_t committable(struct world *world)
{
    return offset_tracker_committable(&world->partition->tracker);
}

static void poll_until_done(struct world *world, int64_t offset)
{
    int64_t until = clock_mono_ms() + LIMIT_MS;
    while (committable(world) < offset && clock_mono_ms() < until)
        publisher_poll(world->publisher, 10);
    cr_assert_eq(committable(world), offset);
}

/* The replies topic contains the replies of these offsets, in this order, and no more. */
static void expect_replies(struct world *world, int64_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "chat.replies", 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_conf_t *conf = mock_kafka_group(world->cluster, "look");
    mock_kafka_set(conf, "enable.partition.eof", "true");
    rd_kafka_t *reader = mock_kafka_client(RD_KAFKA_CONSUMER, conf);
    cr_assert_eq(rd_kafka_assign(reader, list), 0);
    int64_t until = clock_mono_ms() + LIMIT_MS, read = 0;
    for (bool end = false; !end && clock_mono_ms() < until;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader, 100);
        if (message == NULL)
            continue;
        end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            char text[32] = "", *rest;
            memcpy(text, message->payload, message->len < sizeof text ? message->len : sizeof text - 1);
            cr_expect(strtoll(text, &rest, 10) == read && *rest == '\0', "%lld: %s", (long long)read, text);
            read++;
        }
        rd_kafka_message_destroy(message);
    }
    cr_expect_eq(read, count);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(reader);
}

TestSuite(publisher_plain, .timeout = 120);

/* Five times as many as the client has room for, while the broker accepts none: put and poll return all the same. */
Test(publisher_plain, what_a_full_client_has_no_room_for_waits_and_goes_in_order)
{
    enum { ENDS = 100 };
    struct world world;
    begin_world(&world, "kafka.queue.buffering.max.messages=21");
    rd_kafka_mock_broker_set_down(world.cluster, 1);
    for (int64_t offset = 0; offset < ENDS; offset++) {
        put(&world, offset, 1, offset % 3 == 0); /* dead letters, too: there is room for a reply, but not for its dead letter */
        publisher_poll(world.publisher, 0);
    }
    for (int i = 0; i < 3; i++)
        publisher_hurry(world.publisher, 10);
    cr_expect_eq(committable(&world), 0);
    cr_expect_gt(publisher_pending(world.publisher), 20, "what waits is pending, too");
    rd_kafka_mock_broker_set_up(world.cluster, 1);
    poll_until_done(&world, ENDS);
    cr_expect_eq(publisher_pending(world.publisher), 0);
    expect_replies(&world, ENDS);
    end_world(&world);
}

/* The client is full to the end: waiting ends are dropped, and the next owner publishes them. */
Test(publisher_plain, a_full_client_whose_broker_stays_away_ends)
{
    struct world world;
    begin_world(&world, "kafka.queue.buffering.max.messages=21");
    rd_kafka_mock_broker_set_down(world.cluster, 1);
    for (int64_t offset = 0; offset < 100; offset++)
        put(&world, offset, 1, true);
    end_world(&world);
}

/* The client returns "queue full", although it is empty. */
Test(publisher_plain, a_reply_larger_than_all_that_the_client_holds_is_replaced_and_holds_nobody)
{
    struct world world;
    begin_world(&world, "kafka.queue.buffering.max.kbytes=16");
    put(&world, 0, 64 * 1024, false);
    put(&world, 1, 1, false);
    poll_until_done(&world, 2);
    cr_expect_eq(metric_get(METRIC_publish_failures_total), 1);
    end_world(&world);
}

/* An answer is paid: a broker's error that isn't about the record must not replace it. */
Test(publisher_plain, a_reply_that_is_not_taken_now_goes_later_as_it_is)
{
    struct world world;
    begin_world(&world, NULL);
    rd_kafka_mock_push_request_errors(world.cluster, PRODUCE, 2, RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    put(&world, 0, 1, false);
    poll_until_done(&world, 1);
    cr_expect_geq(metric_get(METRIC_publish_failures_total), 2, "and once more, if the client still takes the topic for forbidden a second later");
    expect_replies(&world, 1);
    end_world(&world);
}

/* Refused together, they are sent one by one, in order; those behind them wait. */
Test(publisher_plain, those_refused_in_company_go_alone_in_their_order)
{
    struct world world;
    begin_world(&world, "kafka.linger.ms=50");
    rd_kafka_mock_push_request_errors(world.cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    for (int64_t offset = 0; offset < 5; offset++)
        put(&world, offset, 1, false);
    int64_t until = clock_mono_ms() + LIMIT_MS;
    while (committable(&world) == 0 && clock_mono_ms() < until)
        publisher_poll(world.publisher, 10);
    for (int64_t offset = 5; offset < 8; offset++)
        put(&world, offset, 1, false);
    poll_until_done(&world, 8);
    cr_expect_eq(metric_get(METRIC_publish_failures_total), 0, "nobody's fault");
    expect_replies(&world, 8);
    end_world(&world);
}

/* librdkafka's issue 4438: two requests of a partition are under way when the connection breaks; the broker comes back, refuses the first as it doesn't lead
 * yet, and then misses it before the second. Before 2.3 that is fatal to the client; to later ones, too, if the mock cluster says the latter of the first. */
Test(publisher_plain, a_broker_that_comes_back_before_it_leads_costs_no_reply)
{
    struct world world;
    begin_world(&world, "kafka.batch.num.messages=1");
    put(&world, 0, 1, false);
    poll_until_done(&world, 1);
    rd_kafka_mock_broker_set_rtt(world.cluster, 1, 300);
    put(&world, 1, 1, false);
    publisher_hurry(world.publisher, 20);
    put(&world, 2, 1, false);
    publisher_hurry(world.publisher, 20);
    rd_kafka_mock_broker_set_down(world.cluster, 1);
    rd_kafka_mock_push_request_errors(world.cluster, PRODUCE, 2, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    rd_kafka_mock_broker_set_rtt(world.cluster, 1, 0);
    rd_kafka_mock_broker_set_up(world.cluster, 1);
    poll_until_done(&world, 3);
    cr_expect_leq(metric_get(METRIC_producers_renewed_total), 1, "never, if they weren't under way yet");
    cr_expect_not(publisher_failed(world.publisher, &(struct error){0}));
    cr_expect_eq(metric_get(METRIC_publish_failures_total), 0, "nobody's fault");
    end_world(&world);
}

/* One reply and dead letter are acknowledged; four replies and a dead letter were under way to a broker that went. */
static void begin_with_a_dead_client(struct world *world)
{
    begin_world(world, NULL);
    put(world, 0, 1, true);
    poll_until_done(world, 1);
    rd_kafka_mock_broker_set_down(world->cluster, 1);
    for (int64_t offset = 1; offset < 5; offset++)
        put(world, offset, 1, offset == 2);
    rd_kafka_test_fatal_error(polled, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "test");
}

/* All that wasn't acknowledged is sent again by another client, in order: what was under way and what came since. */
Test(publisher_plain, a_client_that_failed_for_good_is_replaced)
{
    struct world world;
    begin_with_a_dead_client(&world);
    for (int64_t offset = 5; offset < 8; offset++)
        put(&world, offset, 1, false);
    publisher_poll(world.publisher, 0);
    cr_expect_eq(metric_get(METRIC_producers_renewed_total), 1, "at once");
    cr_expect_not(publisher_failed(world.publisher, &(struct error){0}));
    rd_kafka_mock_broker_set_up(world.cluster, 1);
    poll_until_done(&world, 8);
    cr_expect_eq(metric_get(METRIC_producers_renewed_total), 1);
    cr_expect_eq(metric_get(METRIC_publish_failures_total), 0, "nobody's fault");
    expect_replies(&world, 8);
    end_world(&world);
}

/* Nobody waits for a report that never comes; the ends keep their order. */
Test(publisher_plain, records_that_a_dead_client_never_reports_go_again)
{
    struct world world;
    begin_with_a_dead_client(&world);
    put(&world, 5, 1, false);
    deaf = true;
    publisher_poll(world.publisher, 0);
    deaf = false;
    cr_expect_not(publisher_failed(world.publisher, &(struct error){0}));
    rd_kafka_mock_broker_set_up(world.cluster, 1);
    poll_until_done(&world, 6);
    cr_expect_eq(metric_get(METRIC_producers_renewed_total), 1);
    expect_replies(&world, 6);
    end_world(&world);
}

/* Delivered records in between, and there is room for each: it may be one partition of many that brings it about. */
Test(publisher_plain, clients_that_fail_one_after_the_other_end_it)
{
    struct world world;
    struct error err = {0};
    begin_world(&world, NULL);
    for (int64_t offset = 0; offset < RENEWALS_MAX; offset++) {
        put(&world, offset, 1, false);
        poll_until_done(&world, offset + 1);
        rd_kafka_test_fatal_error(polled, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "test");
    }
    put(&world, RENEWALS_MAX, 1, false);
    poll_until_done(&world, RENEWALS_MAX + 1);
    cr_expect_not(publisher_failed(world.publisher, &err));
    cr_expect_eq(metric_get(METRIC_producers_renewed_total), RENEWALS_MAX);
    rd_kafka_test_fatal_error(polled, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "test");
    put(&world, RENEWALS_MAX + 1, 1, false);
    publisher_poll(world.publisher, 0);
    cr_expect(publisher_failed(world.publisher, &err));
    cr_expect_eq(err.class, ERROR_RETRIABLE);
    cr_expect_str_eq(err.code, "OUT_OF_ORDER_SEQUENCE_NUMBER");
    cr_expect_eq(publisher_pending(world.publisher), 0, "what waits is dropped");
    end_world(&world);
}

/* Another client wouldn't be allowed to, either. It is known before anything is put: no job should be paid for. */
Test(publisher_plain, a_client_that_may_not_produce_ends_it_at_once)
{
    struct world world;
    struct error err = {0};
    begin_world(&world, NULL);
    publisher_poll(world.publisher, 0);
    cr_expect_not(publisher_failed(world.publisher, &err));
    rd_kafka_test_fatal_error(polled, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, "test");
    cr_expect(publisher_failed(world.publisher, &err));
    cr_expect_str_eq(err.code, "CLUSTER_AUTHORIZATION_FAILED");
    put(&world, 0, 1, false);
    publisher_poll(world.publisher, 0);
    cr_expect(publisher_failed(world.publisher, &err));
    cr_expect_eq(metric_get(METRIC_producers_renewed_total), 0);
    end_world(&world);
}

/* ---- the rule ---- */

TestSuite(renewals);

Test(renewals, a_few_in_ten_minutes)
{
    struct renewals renewals = {0};
    int64_t now_ms = 5;
    for (int i = 0; i < RENEWALS_MAX; i++)
        cr_expect(renewals_allow(&renewals, now_ms + i));
    cr_expect_not(renewals_allow(&renewals, now_ms + RENEWALS_MAX));
    cr_expect_not(renewals_allow(&renewals, now_ms + RENEWALS_WITHIN_MS - 1));
    cr_expect(renewals_allow(&renewals, now_ms + RENEWALS_WITHIN_MS));
}

Test(renewals, help_where_the_sequence_numbers_are_at_fault)
{
    cr_expect(renewals_help(RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER));
    cr_expect(renewals_help(RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID));
    cr_expect(renewals_help(RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH));
    cr_expect(renewals_help(RD_KAFKA_RESP_ERR__INCONSISTENT));
    cr_expect_not(renewals_help(RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED));
    cr_expect_not(renewals_help(RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE));
    cr_expect_not(renewals_help(RD_KAFKA_RESP_ERR__FENCED));
    cr_expect_not(renewals_help(RD_KAFKA_RESP_ERR_UNKNOWN));
}
