/* What the broker says this member owns, to hold against what it fetches: a client may have lost an assignment that the
 * group counts on (liveness.h). And, since it asks anyway, which partitions nobody owns (unowned.h), and which transactions are left open
 * there (open_transactions.h).
 *
 * A thread of its own, chat-group, asks now and then, since the call blocks. It is the old rd_kafka_list_groups:
 * librdkafka 2.0.2's asynchronous DescribeConsumerGroups locks up its main thread when the broker can't answer it. */
#ifndef CHAT_INTAKE_GROUP_WATCH_H
#define CHAT_INTAKE_GROUP_WATCH_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings/settings.h"

struct group_watch;

/* Keeps what it is given; bootstrap: as kafka_conf_make takes it. NULL: its thread can't be started; then nothing is known. */
struct group_watch *group_watch_create(const struct settings *settings, const char *bootstrap, rd_kafka_t *consumer, int64_t interval_ms);
/* Before the consumer. Waits for a call under way, some seconds at most. NULL is fine. */
void group_watch_destroy(struct group_watch *watch);

/* The last answer, the caller's to destroy; NULL: none, or it doesn't know us. *ret_number grows with each answer. Any thread. */
rd_kafka_topic_partition_list_t *group_watch_owned(struct group_watch *watch, uint64_t *ret_number);
/* For so long the broker has answered each time, whatever it said; 0: it doesn't now. Any thread; takes no lock. */
int64_t group_watch_answers_ms(struct group_watch *watch, int64_t now_ms);

/* A member's assignment as the group keeps it (Kafka's ConsumerProtocolAssignment: version, topics with partitions; big
 * endian). NULL: it isn't one. Pure. */
rd_kafka_topic_partition_list_t *group_assignment_decode(const void *bytes, size_t size);

#endif
