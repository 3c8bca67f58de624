/* Exactly-once's publisher against an in-memory cluster with injected refusals: aborts, retries, shutdown; and
 * which ends may enter a transaction. (The cluster doesn't hide aborted records: tests/integration/test_exactly_once.py
 * shows what read_committed consumers get.) The test plays intake and completion. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "breakers/breakers.h"
#include "completion/publisher.h"
#include "completion/txn_admission.h"
#include "completion/txn_shares.h"
#include "dispatch/dispatcher.h"
#include "telemetry/metrics.h"
#include "mock_kafka.h"
#include "one_provider.h"

#define ADD_PARTITIONS_TO_TXN 24 /* https://kafka.apache.org/protocol#protocol_api_keys */
#define END_TXN 26
#define TXN_OFFSET_COMMIT 28
#define LIMIT_MS 30000

static struct task *end_of(struct partition *partition, int64_t offset)
{
    struct record record = {.topic = xstrdup(partition->topic), .partition = partition->id, .offset = offset, .timestamp_ms = -1,
                            .key = xstrdup("key"), .key_size = 3, .value = xstrdup("{}"), .value_size = 2};
    struct task *task = task_create(&record, partition);
    task->job.id = xasprintf("job-%lld", (long long)offset);
    task->reply = xasprintf("%lld", (long long)offset);
    end_owe(task, false);
    return task;
}

/* ---- admission ---- */

/* 1 for each that is admitted, in order. */
static const char *admitted(struct end_queue *ends, size_t room)
{
    static char text[64];
    size_t n = 0;
    txn_admit(ends, room);
    for (const struct task *task = ends->owed.first; task != NULL; task = task->next)
        text[n++] = task->end->admitted ? '1' : '0';
    text[n] = '\0';
    return text;
}

static struct partition *received(int from, int to)
{
    struct partition *partition = partition_create("chat.jobs", 0, 1);
    for (int64_t offset = from; offset < to; offset++)
        (void)partition_receive(partition, offset, -1);
    return partition;
}

static struct task *owe(struct end_queue *ends, struct partition *partition, int64_t offset)
{
    struct task *task = end_of(partition, offset);
    end_queue_put(ends, task);
    task_unref(task); /* the queue's reference is left */
    return task;
}

Test(txn_admission, ends_enter_in_order_as_there_is_room_and_a_refused_one_by_itself)
{
    struct partition *partition = received(0, 5);
    struct end_queue ends = {0};
    struct task *tasks[5];
    for (int64_t offset = 0; offset < 5; offset++)
        tasks[offset] = owe(&ends, partition, offset);
    cr_expect_str_eq(admitted(&ends, 9), "11111");
    cr_expect_str_eq(admitted(&ends, 2), "11000");
    tasks[2]->end->apart = true;
    cr_expect_str_eq(admitted(&ends, 9), "11000", "first those before it");
    for (int i = 0; i < 2; i++) {
        end_queue_move(&ends, tasks[i], PUBLISH_SENT);
        end_queue_move(&ends, tasks[i], PUBLISH_DONE);
    }
    cr_expect_str_eq(admitted(&ends, 9), "100", "by itself, and those behind it wait");
    end_queue_move(&ends, tasks[2], PUBLISH_SENT);
    cr_expect_str_eq(admitted(&ends, 9), "00");
    end_queue_move(&ends, tasks[2], PUBLISH_INCOMPLETE);
    tasks[2]->end->not_before_ms = 2000;
    end_queue_again(&ends, tasks[2]);
    end_queue_release(&ends, 1999);
    cr_expect_str_eq(admitted(&ends, 9), "11", "what is held holds nobody");
    end_queue_release(&ends, 2000);
    cr_expect_str_eq(admitted(&ends, 9), "100", "and is at its place again");
    cr_expect_eq(end_queue_drop(&ends, NULL), 3);
    partition_unref(partition);
}

static void enter_admitted(struct end_queue *ends, int64_t *highest_in, int64_t *lowest_out)
{
    for (struct task *task = ends->owed.first, *after; task != NULL; task = after) {
        after = task->next;
        int64_t offset = task->record.offset;
        if (task->end->admitted) {
            *highest_in = offset > *highest_in ? offset : *highest_in;
            end_queue_move(ends, task, PUBLISH_SENT);
        } else {
            *lowest_out = offset < *lowest_out ? offset : *lowest_out;
        }
    }
}

/* Offset 0 stays pending; every other of the rest ends. */
Test(txn_admission, what_a_commit_cannot_tell_of_waits_and_all_at_once_may_fit)
{
    enum { RECORDS = 400 };
    struct partition *partition = received(0, RECORDS);
    struct end_queue ends = {0};
    struct partitions none = {0};
    struct shares shares;
    int64_t highest_in = -1, lowest_out = RECORDS;
    partition->metadata_max = 64;
    for (int64_t offset = RECORDS - 1; offset > 0; offset -= 2)
        owe(&ends, partition, offset);
    txn_admit(&ends, RECORDS);
    enter_admitted(&ends, &highest_in, &lowest_out);
    cr_assert_not(shares_make(&ends, &none, &shares), "they outgrow it, which nobody knew before");
    shares_finish(&shares);
    cr_assert(atomic_load(&partition->set_is_full));

    while (ends.sent.last != NULL)
        end_queue_move(&ends, ends.sent.last, PUBLISH_OWED);
    highest_in = -1, lowest_out = RECORDS;
    txn_admit(&ends, RECORDS);
    enter_admitted(&ends, &highest_in, &lowest_out);
    cr_expect_gt(highest_in, 0, "some fit");
    cr_expect_lt(highest_in, lowest_out, "by rising offset: no lane is turned around");
    cr_assert(shares_make(&ends, &none, &shares));
    cr_expect_eq(shares.items[0].offset, 0);
    cr_expect_leq(strlen(shares.items[0].metadata), 64);
    shares_finish(&shares);

    for (int64_t offset = RECORDS - 2; offset >= 0; offset -= 2)
        owe(&ends, partition, offset);
    txn_admit(&ends, 1);
    for (const struct task *task = ends.owed.first; task != NULL; task = task->next)
        cr_assert(task->end->admitted, "all of it is one run, whatever room there is");
    end_queue_drop(&ends, NULL);
    partition_unref(partition);
}

/* ---- against the cluster ---- */

struct world {
    rd_kafka_t *host;
    rd_kafka_mock_cluster_t *cluster;
    rd_kafka_t *consumer; /* a member of the group, for the membership */
    struct settings *settings;
    struct service service;
    struct publisher *publisher;
    struct partition *partition;
};

static bool is_member(struct world *world)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(world->consumer, 10);
    if (message != NULL)
        rd_kafka_message_destroy(message);
    rd_kafka_topic_partition_list_t *list = NULL;
    bool member = rd_kafka_assignment(world->consumer, &list) == 0 && list->cnt > 0;
    rd_kafka_topic_partition_list_destroy(list);
    return member;
}

static bool comes_true(bool (*check)(struct world *), struct world *world)
{
    for (int64_t until = clock_mono_ms() + LIMIT_MS; clock_mono_ms() < until; poll(NULL, 0, 10))
        if (check(world))
            return true;
    return false;
}

struct plan {
    bool letters_are_refused;
    bool apart; /* the group's coordinator is on broker 2, all else on broker 1 */
    const char *property;
};

static void begin_planned(struct world *world, struct plan plan)
{
    const char *const overrides[] = {"worker.delivery=exactly-once", "kafka.topic.metadata.propagation.max.ms=1",
                                     plan.property, NULL};
    struct error err = {0};
    *world = (struct world){.settings = one_provider_settings(overrides), .host = mock_kafka_host(plan.apart ? "2" : "1", NULL)};
    world->cluster = rd_kafka_handle_mock_cluster(world->host);
    rd_kafka_mock_topic_create(world->cluster, "chat.jobs", 1, 1);
    rd_kafka_mock_topic_create(world->cluster, "chat.replies", 1, 1);
    rd_kafka_mock_topic_create(world->cluster, "chat.dead", 1, 1);
    if (plan.apart) {
        rd_kafka_mock_coordinator_set(world->cluster, "group", world->settings->kafka.group_id, 2);
        rd_kafka_mock_coordinator_set(world->cluster, "transaction", "chat-worker.", 1);
        rd_kafka_mock_partition_set_leader(world->cluster, "chat.replies", 0, 1);
        rd_kafka_mock_partition_set_leader(world->cluster, "chat.dead", 0, 1);
    }
    if (plan.letters_are_refused) /* no other error: with those the mock lists partitions, too, and librdkafka before 2.10 crashes (its #4907) */
        rd_kafka_mock_topic_set_error(world->cluster, "chat.dead", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    const char *bootstrap = rd_kafka_mock_cluster_bootstraps(world->cluster);
    world->service.settings = world->settings;
    cr_assert_eq(publisher_create(&world->service, bootstrap, NULL, &world->publisher, &err), STATUS_OK, "%s", err.message);
    world->consumer = mock_kafka_client(RD_KAFKA_CONSUMER, mock_kafka_group(world->cluster, world->settings->kafka.group_id));
    rd_kafka_poll_set_consumer(world->consumer);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, "chat.jobs", RD_KAFKA_PARTITION_UA);
    cr_assert_eq(rd_kafka_subscribe(world->consumer, topics), 0);
    rd_kafka_topic_partition_list_destroy(topics);
    cr_assert(comes_true(is_member, world));
    publisher_follow(world->publisher, world->consumer);
    world->partition = received(0, 10);
}

static void begin_world(struct world *world)
{
    begin_planned(world, (struct plan){0});
}

static void end_world(struct world *world)
{
    cr_expect(publisher_close(world->publisher, clock_mono_ms() + LIMIT_MS));
    publisher_destroy(world->publisher);
    partition_unref(world->partition);
    rd_kafka_destroy(world->consumer);
    rd_kafka_destroy(world->host);
    settings_destroy(world->settings);
    cr_expect_eq(metric_get(METRIC_jobs_alive), 0, "every task came to its end");
}

static void put(struct world *world, int64_t offset)
{
    struct task *task = end_of(world->partition, offset);
    publisher_put(world->publisher, task);
    task_unref(task);
}

static int64_t committable(struct world *world)
{
    return offset_tracker_committable(&world->partition->tracker); /* without a lock: all is settled */
}

static bool nothing_is_pending(struct world *world) { return publisher_pending(world->publisher) == 0; }
static bool has_failed(struct world *world)
{
    struct error err;
    return publisher_failed(world->publisher, &err);
}

/* The values on the replies topic, from offset `from` on. */
static void expect_replies(struct world *world, int64_t from, const char *const *values, int count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "chat.replies", 0)->offset = from;
    rd_kafka_t *reader = mock_kafka_client(RD_KAFKA_CONSUMER, mock_kafka_group(world->cluster, "look"));
    cr_assert_eq(rd_kafka_assign(reader, list), 0);
    int64_t until = clock_mono_ms() + LIMIT_MS;
    for (int i = 0; i < count && clock_mono_ms() < until;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader, 100);
        if (message == NULL)
            continue;
        if (message->err == 0) {
            cr_expect(message->len == strlen(values[i]) && memcmp(message->payload, values[i], message->len) == 0, "%d: %.*s", i, (int)message->len, (char *)message->payload);
            i++;
        }
        rd_kafka_message_destroy(message);
    }
    cr_assert_lt(clock_mono_ms(), until);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(reader);
}

Test(publisher_txn, ends_are_done_when_their_transaction_is, .timeout = 120)
{
    struct world world;
    begin_world(&world);
    for (int64_t offset = 0; offset < 5; offset++)
        put(&world, offset);
    cr_expect_eq(committable(&world), 0);
    cr_assert(publisher_commit_now(world.publisher, clock_mono_ms() + LIMIT_MS));
    cr_expect_eq(committable(&world), 5);
    cr_expect_eq(metric_get(METRIC_transactions_committed_total), 1);
    cr_expect_eq(metric_get(METRIC_transactions_aborted_total), 0);
    cr_expect_not(partition_has_news(world.partition), "the offset is committed, too");
    end_world(&world);
}

Test(publisher_txn, what_is_aborted_goes_again_in_the_same_order_and_is_done_once, .timeout = 120)
{
    struct world world;
    static const char *const values[] = {"0", "1", "2", "3", "4"};
    begin_world(&world);
    rd_kafka_mock_push_request_errors(world.cluster, TXN_OFFSET_COMMIT, 2, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    for (int64_t offset = 0; offset < 5; offset++)
        put(&world, offset);
    cr_assert(publisher_commit_now(world.publisher, clock_mono_ms() + LIMIT_MS));
    cr_expect_eq(metric_get(METRIC_transactions_aborted_total), 2);
    cr_expect_eq(metric_get(METRIC_transactions_committed_total), 1);
    cr_expect_eq(committable(&world), 5);
    int64_t low, high;
    cr_assert_eq(rd_kafka_query_watermark_offsets(world.host, "chat.replies", 0, &low, &high, LIMIT_MS), 0);
    expect_replies(&world, high - 5, values, 5);
    end_world(&world);
}

Test(publisher_txn, what_can_be_tried_again_is_not_aborted, .timeout = 120)
{
    struct world world;
    begin_world(&world);
    rd_kafka_mock_push_request_errors(world.cluster, ADD_PARTITIONS_TO_TXN, 1, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS);
    rd_kafka_mock_push_request_errors(world.cluster, END_TXN, 2, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    rd_kafka_mock_broker_set_rtt(world.cluster, 1, 1200); /* longer than a call's time-out: it is repeated */
    put(&world, 0);
    cr_assert(publisher_commit_now(world.publisher, clock_mono_ms() + LIMIT_MS));
    rd_kafka_mock_broker_set_rtt(world.cluster, 1, 0);
    cr_expect_eq(metric_get(METRIC_transactions_aborted_total), 0);
    cr_expect_eq(committable(&world), 1);
    end_world(&world);
}

Test(publisher_txn, a_partition_that_went_takes_its_ends_with_it, .timeout = 120)
{
    struct world world;
    begin_world(&world);
    struct partition *other = partition_create("chat.jobs", 0, 2);
    (void)partition_receive(other, 0, -1);
    put(&world, 0);
    put(&world, 1);
    struct task *task = end_of(other, 0);
    publisher_put(world.publisher, task);
    task_unref(task);
    partition_revoke(world.partition);
    publisher_revoked(world.publisher);
    cr_assert(publisher_commit_now(world.publisher, clock_mono_ms() + LIMIT_MS));
    cr_expect_eq(committable(&world), 0, "not ours to say any more");
    cr_expect_eq(offset_tracker_committable(&other->tracker), 1);
    partition_unref(other);
    end_world(&world);
}

static bool is_aborted(struct world *world) { (void)world; return metric_get(METRIC_transactions_aborted_total) > 0; }

/* The worker is in the group again, and its lost partitions aren't revoked yet: the broker would accept its offsets. */
Test(publisher_txn, nothing_is_said_of_a_partition_that_was_given_to_another_member_id, .timeout = 120)
{
    struct world world;
    begin_world(&world);
    world.partition->member = xstrdup("of-before");
    put(&world, 0);
    publisher_poll(world.publisher, 0);
    cr_assert(comes_true(is_aborted, &world));
    cr_expect_eq(committable(&world), 0);
    cr_expect_eq(metric_get(METRIC_transactions_committed_total), 0);
    partition_revoke(world.partition);
    publisher_revoked(world.publisher);
    cr_expect(comes_true(nothing_is_pending, &world), "its ends go with it");
    cr_expect_eq(metric_get(METRIC_transactions_committed_total), 0);
    end_world(&world);
}

Test(publisher_txn, a_fenced_one_says_so_and_drops_what_it_has, .timeout = 120)
{
    struct world world;
    struct error err = {0};
    begin_world(&world);
    rd_kafka_mock_push_request_errors(world.cluster, END_TXN, 1, RD_KAFKA_RESP_ERR_PRODUCER_FENCED);
    put(&world, 0);
    cr_expect_not(publisher_commit_now(world.publisher, clock_mono_ms() + LIMIT_MS));
    cr_assert(comes_true(has_failed, &world));
    cr_assert(comes_true(nothing_is_pending, &world));
    cr_expect(publisher_failed(world.publisher, &err) && err.class == ERROR_RETRIABLE && strcmp(err.code, "_FENCED") == 0, "%s %s", err.code, err.message);
    put(&world, 1); /* too late: not accepted */
    cr_expect_eq(publisher_pending(world.publisher), 0);
    cr_expect_eq(committable(&world), 0);
    end_world(&world);
}

Test(publisher_txn, offsets_go_without_a_reply_when_nothing_else_does, .timeout = 120)
{
    struct world world;
    begin_world(&world);
    cr_assert(partition_has_news(world.partition));
    publisher_offer(world.publisher, world.partition);
    cr_assert(publisher_commit_now(world.publisher, clock_mono_ms() + LIMIT_MS));
    cr_expect_not(partition_has_news(world.partition));
    cr_expect_eq(metric_get(METRIC_transactions_committed_total), 1);
    end_world(&world);
}

/* librdkafka ignores the time-out while it sends offsets (its issue 5456): without the group's coordinator the call doesn't return. The waiting
 * calls do: for a commit, for the close, for the second close. */
static void leave_behind(void (*silence)(struct world *world), void (*speak)(struct world *world))
{
    struct world world;
    /* If it is reached and doesn't answer, the call returns at the transaction's time-out. */
    begin_planned(&world, (struct plan){.apart = true, .property = "kafka.transaction.timeout.ms=600000"});
    silence(&world);
    put(&world, 0);
    cr_expect_not(publisher_commit_now(world.publisher, clock_mono_ms() + 500));
    cr_expect_eq(publisher_pending(world.publisher), 1);
    cr_expect_not(publisher_close(world.publisher, clock_mono_ms() + 2000), "it is left behind");
    cr_expect_not(publisher_close(world.publisher, clock_mono_ms()));
    publisher_destroy(world.publisher); /* leaves all that the thread may touch */
    cr_expect_eq(committable(&world), 0, "what isn't acknowledged is redelivered");
    speak(&world);
    end_world(&world);
}

static void take_coordinator_down(struct world *world) { rd_kafka_mock_broker_set_down(world->cluster, 2); }
static void take_coordinator_up(struct world *world) { rd_kafka_mock_broker_set_up(world->cluster, 2); }
static void silence_coordinator(struct world *world) { rd_kafka_mock_broker_set_rtt(world->cluster, 2, 3600 * 1000); }
static void let_coordinator_speak(struct world *world)
{
    rd_kafka_mock_broker_set_rtt(world->cluster, 2, 0);
    take_coordinator_down(world); /* what it owes is never answered: anew, then */
    take_coordinator_up(world);
}

Test(publisher_txn, a_group_coordinator_that_is_away_keeps_nobody_who_closes, .timeout = 120)
{
    leave_behind(take_coordinator_down, take_coordinator_up);
}

Test(publisher_txn, a_group_coordinator_that_says_nothing_keeps_nobody_who_closes, .timeout = 120)
{
    leave_behind(silence_coordinator, let_coordinator_speak);
}

/* What there is no room for goes with the next: no end is waited for in the middle of one. */
Test(publisher_txn, what_a_full_client_has_no_room_for_goes_with_the_next, .timeout = 120)
{
    enum { ENDS = 50 };
    struct world world;
    begin_planned(&world, (struct plan){.property = "kafka.queue.buffering.max.messages=7"});
    struct dispatcher *dispatcher = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, 8);
    world.service.breakers = breakers_create(world.settings, dispatcher);
    partition_unref(world.partition);
    world.partition = received(0, ENDS);
    for (int64_t offset = 0; offset < ENDS; offset++) {
        struct task *task = end_of(world.partition, offset);
        task->end->dead_letter_owed = offset % 3 == 0;
        publisher_put(world.publisher, task);
        task_unref(task);
    }
    cr_assert(publisher_commit_now(world.publisher, clock_mono_ms() + LIMIT_MS));
    cr_assert(comes_true(nothing_is_pending, &world));
    cr_expect_eq(committable(&world), ENDS);
    cr_expect_eq(metric_get(METRIC_transactions_aborted_total), 0);
    cr_expect_geq(metric_get(METRIC_transactions_committed_total), ENDS / 7);
    end_world(&world);
    breakers_destroy(world.service.breakers);
    dispatcher_destroy(dispatcher);
}

Test(publisher_txn, what_the_client_refuses_gets_its_other_form_in_the_same_transaction, .timeout = 120)
{
    enum { LARGE = 5000 };
    struct world world;
    begin_planned(&world, (struct plan){.property = "kafka.message.max.bytes=2000"});
    struct dispatcher *dispatcher = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, 8);
    world.service.breakers = breakers_create(world.settings, dispatcher);
    struct task *task = end_of(world.partition, 0);
    free(task->record.value);
    task->record.value = xcalloc(1, LARGE);
    task->record.value_size = LARGE;
    task->end->dead_letter_owed = true; /* its reply has entered by then */
    publisher_put(world.publisher, task);
    task_unref(task);
    put(&world, 1);
    cr_assert(publisher_commit_now(world.publisher, clock_mono_ms() + LIMIT_MS));
    cr_expect_eq(committable(&world), 2);
    cr_expect_eq(metric_get(METRIC_transactions_aborted_total), 0);
    cr_expect_eq(metric_get(METRIC_publish_failures_total), 1);
    end_world(&world);
    breakers_destroy(world.service.breakers);
    dispatcher_destroy(dispatcher);
}

static bool has_backed_off(struct world *world)
{
    (void)world;
    return metric_get(METRIC_transactions_aborted_total) == 7; /* the next one waits more than a second */
}

/* A rebalance while it backs off, and nothing left to commit: else the revoke would wait for its own limit. */
Test(publisher_txn, a_commit_of_nothing_is_made_when_the_backoff_ends, .timeout = 120)
{
    struct world world;
    begin_world(&world);
    rd_kafka_mock_push_request_errors(world.cluster, TXN_OFFSET_COMMIT, 7, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
                                      RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
                                      RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
    put(&world, 0);
    publisher_poll(world.publisher, 0);
    cr_assert(comes_true(has_backed_off, &world));
    partition_revoke(world.partition);
    publisher_revoked(world.publisher);
    cr_assert(comes_true(nothing_is_pending, &world));
    cr_expect(publisher_commit_now(world.publisher, clock_mono_ms() + LIMIT_MS));
    end_world(&world);
}

static bool intake_is_closed(struct world *world) { return breakers_intake(world->service.breakers, 5) == INTAKE_CLOSED; }
static bool intake_is_free(struct world *world) { return breakers_intake(world->service.breakers, 5) == INTAKE_FREE; }

/* Until the topic's breaker has opened. */
static void put_dead_letters(struct world *world, int64_t count)
{
    for (int64_t offset = 0; offset < count; offset++) {
        struct task *task = end_of(world->partition, offset);
        task->end->dead_letter_owed = true;
        publisher_put(world->publisher, task);
        task_unref(task);
    }
    publisher_poll(world->publisher, 0);
    cr_assert(comes_true(intake_is_closed, world));
}

/* The new owner's breaker, not ours, hears of the topic from now on. */
Test(publisher_txn, letters_that_went_with_their_partition_hold_the_intake_no_more, .timeout = 120)
{
    struct world world;
    begin_planned(&world, (struct plan){.letters_are_refused = true});
    struct dispatcher *dispatcher = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, 8);
    world.service.breakers = breakers_create(world.settings, dispatcher);
    put_dead_letters(&world, 5);
    partition_revoke(world.partition);
    publisher_revoked(world.publisher);
    cr_assert(comes_true(nothing_is_pending, &world));
    cr_expect(comes_true(intake_is_free, &world));
    end_world(&world);
    breakers_destroy(world.service.breakers);
    dispatcher_destroy(dispatcher);
}

static struct partition *other_partition;
static bool other_is_done(struct world *world)
{
    (void)world;
    return atomic_load(&other_partition->references) == 1 && !partition_has_news(other_partition);
}

/* Each is tried again in a transaction of its own, which is aborted: all of the time, were there no bound. */
Test(publisher_txn, however_many_dead_letters_are_refused_replies_go_on, .timeout = 120)
{
    enum { DEAD_LETTERS = 40 };
    struct world world;
    begin_planned(&world, (struct plan){.letters_are_refused = true});
    struct dispatcher *dispatcher = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, 8);
    world.service.breakers = breakers_create(world.settings, dispatcher);
    partition_unref(world.partition);
    world.partition = received(0, DEAD_LETTERS);
    put_dead_letters(&world, DEAD_LETTERS);
    other_partition = partition_create("chat.jobs", 0, 2);
    for (int64_t offset = 0; offset < 3; offset++) {
        (void)partition_receive(other_partition, offset, -1);
        struct task *task = end_of(other_partition, offset);
        publisher_put(world.publisher, task);
        task_unref(task);
        publisher_poll(world.publisher, 0);
        cr_assert(comes_true(other_is_done, &world), "%d", (int)offset);
    }
    partition_revoke(world.partition);
    publisher_revoked(world.publisher);
    partition_unref(other_partition);
    end_world(&world);
    breakers_destroy(world.service.breakers);
    dispatcher_destroy(dispatcher);
}
