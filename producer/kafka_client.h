/* Kafka clients for a command-line tool: quiet, bounded waits, one reason on failure.
 *
 * The broker is the first of: -b, -X bootstrap.servers=, CHATW__KAFKA__BOOTSTRAP_SERVERS, the embedded cluster of
 * a worker that runs here (wire/embedded_address.h). "embedded" in any of them means that cluster too. */
#ifndef CHAT_PRODUCER_KAFKA_CLIENT_H
#define CHAT_PRODUCER_KAFKA_CLIENT_H

#include <librdkafka/rdkafka.h>

#include "base/error.h"
#include "command.h"
#include "wire/record.h"

struct kafka_property_pair {
    const char *name, *value;
};

/* Called from rd_kafka_poll, rd_kafka_flush and similar calls. message->_private is the opaque of kafka_send. */
typedef void kafka_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque);

/* Both wait up to 5 s for a broker. extra (ends with a NULL name, may be NULL): defaults that -X may change.
 * must: properties that it may not. FAILED: class ERROR_UNAVAILABLE when no broker answers, else the options are wrong. */
enum status kafka_producer_open(const struct common *common, const struct kafka_property_pair *extra,
                                const struct kafka_property_pair *must, kafka_delivered *delivered, void *opaque,
                                rd_kafka_t **ret, struct error *err) MUST_CHECK;
enum status kafka_consumer_open(const struct common *common, const struct kafka_property_pair *must, rd_kafka_t **ret,
                                struct error *err) MUST_CHECK;
/* NULL is fine. Records still queued in a producer are given up, with a delivery report each. */
void kafka_producer_close(rd_kafka_t *rk);
void kafka_consumer_close(rd_kafka_t *rk);

/* The exit status for a failed open or lookup. */
int kafka_exit_status(const struct error *err);

#define KAFKA_TOPIC_WAIT_MS 5000 /* for a topic that is being created */

/* The topic's partitions, offsets invalid; the caller destroys the list. wait_ms: for a topic that doesn't exist yet; 0: one request. */
enum status kafka_partitions(rd_kafka_t *rk, const char *topic, int64_t wait_ms, rd_kafka_topic_partition_list_t **ret,
                             struct error *err) MUST_CHECK;
/* Call before the first record is sent: a record for a missing topic would wait for it, and fail only much later. Blocks as kafka_partitions with
 * KAFKA_TOPIC_WAIT_MS; FAILED: *err is ERROR_UNAVAILABLE and names the topic. */
enum status kafka_must_have(rd_kafka_t *rk, const char *topic, struct error *err) MUST_CHECK;
/* Adds the topic's partitions to list, each with its end offset: later records are behind it. */
enum status kafka_add_ends(rd_kafka_t *rk, const char *topic, int64_t wait_ms, rd_kafka_topic_partition_list_t *list, struct error *err) MUST_CHECK;
enum status kafka_assign(rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *list, struct error *err) MUST_CHECK;
/* First and end offset of one partition, from the broker. */
enum status kafka_watermarks(rd_kafka_t *rk, const char *topic, int32_t partition, int64_t *ret_first, int64_t *ret_end,
                             struct error *err) MUST_CHECK;

/* Queues a copy; when the queue is full, polls until there is room or Ctrl-C came twice. A record larger than the whole queue is too large.
 * partition may be RD_KAFKA_PARTITION_UA, headers NULL. */
rd_kafka_resp_err_t kafka_send(rd_kafka_t *rk, const char *topic, int32_t partition, const void *key, size_t key_size,
                               const void *value, size_t value_size, const struct headers *headers, void *opaque) MUST_CHECK;
/* Polls until every record has its delivery report. False: Ctrl-C came more than `patience` times before. */
bool kafka_drain(rd_kafka_t *rk, int patience);

#endif
