#include "intake/group_nudge.h"

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "kafka/kafka_conf.h"
#include "kafka/kafka_destroy.h"

#define POLL_MS 100
#define LEAVE_MS 5000
#define HURRY_MS 1000 /* to leave, when nobody wants it to go on: without LeaveGroup the group is rid of it when its session has run out */

/* Each that couldn't be destroyed has threads and connections until the process ends. */
static atomic_int left;

/* From within a poll; *opaque: whether it is a member. It never fetches the partitions that it is assigned. */
static void rebalanced(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    (void)list;
    const char *protocol = rd_kafka_rebalance_protocol(rk);
    bool assigns = err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(1);
    if (protocol == NULL || protocol[0] != 'C')
        rd_kafka_assign(rk, NULL);
    else
        rd_kafka_error_destroy(assigns ? rd_kafka_incremental_assign(rk, none) : rd_kafka_incremental_unassign(rk, none));
    rd_kafka_topic_partition_list_destroy(none);
    *(bool *)opaque = *(bool *)opaque || assigns;
}

static rd_kafka_t *make(const struct settings *settings, const char *bootstrap, bool *is_member)
{
    struct error err = {0};
    char why[256] = "";
    rd_kafka_conf_t *conf = NULL;
    rd_kafka_t *client = NULL;
    if (kafka_conf_make(settings, bootstrap, RD_KAFKA_CONSUMER, &conf, &err) != STATUS_OK)
        return NULL; /* the same settings were checked at the start */
    (void)rd_kafka_conf_set(conf, "group.instance.id", NULL, why, sizeof why);
    rd_kafka_conf_set_opaque(conf, is_member);
    rd_kafka_conf_set_rebalance_cb(conf, rebalanced);
    client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (client == NULL) {
        log_warn("group_nudge_failed", F_STR("error", why));
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_poll_set_consumer(client);
    return client;
}

static void poll_once(rd_kafka_t *client)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(client, POLL_MS);
    if (message != NULL)
        rd_kafka_message_destroy(message);
}

/* False: it hasn't in time. */
static bool leave(rd_kafka_t *client, bool (*go_on)(void *arg), void *arg)
{
    int64_t since = clock_mono_ms();
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_error_destroy(rd_kafka_consumer_close_queue(client, queue));
    while (!rd_kafka_consumer_closed(client) && clock_mono_ms() < since + (go_on(arg) ? LEAVE_MS : HURRY_MS)) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, POLL_MS);
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE)
            rd_kafka_assign(client, NULL);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    return rd_kafka_consumer_closed(client);
}

/* librdkafka before 2.3.0 aborts when a consumer is destroyed that joined and was never given anything (its #4381), and any waits for one that
 * isn't closed. */
static void destroy(rd_kafka_t *client, bool is_member, bool is_closed)
{
    kafka_let_coordinator_go();
    if (!is_closed || (!is_member && rd_kafka_version() < 0x020300ff) || !kafka_destroy(client, clock_mono_ms() + LEAVE_MS))
        atomic_fetch_add(&left, 1);
}

bool group_nudge(const struct settings *settings, const char *bootstrap, bool (*go_on)(void *arg), void *arg)
{
    bool is_member = false;
    if (atomic_load(&left) >= GROUP_NUDGES_LEFT_MAX) {
        log_warn("group_nudge_failed", F_STR("error", "too many tries before didn't come to an end; the other members have their turns"));
        return false;
    }
    rd_kafka_t *client = make(settings, bootstrap, &is_member);
    if (client == NULL)
        return false;
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, settings->worker.replies_topic, RD_KAFKA_PARTITION_UA);
    bool subscribed = rd_kafka_subscribe(client, topics) == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_destroy(topics);
    for (int64_t until = clock_mono_ms() + GROUP_NUDGE_MS; subscribed && !is_member && clock_mono_ms() < until && go_on(arg);)
        poll_once(client);
    bool closed = leave(client, go_on, arg);
    log_info("group_nudged", F_INT("joined", is_member));
    destroy(client, is_member, closed);
    return is_member;
}
