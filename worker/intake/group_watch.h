/* Which partitions this member owns by the broker's description of the group, to compare with what the client fetches: a client may have lost
 * an assignment that the group still has (liveness.h). By the same thread: which partitions have no owner (unowned.h), and which transactions
 * stay open in the jobs' topic (open_transactions.h).
 *
 * A thread of its own, chat-group, asks periodically, since the call blocks. The call is the old rd_kafka_list_groups:
 * librdkafka 2.0.2's asynchronous DescribeConsumerGroups locks up its main thread when the broker can't answer. */
#ifndef CHAT_INTAKE_GROUP_WATCH_H
#define CHAT_INTAKE_GROUP_WATCH_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings/settings.h"

struct group_watch;

/* Borrows its arguments; bootstrap: as kafka_conf_make takes it. NULL: its thread can't be started; then nothing is known. */
struct group_watch *group_watch_create(const struct settings *settings, const char *bootstrap, rd_kafka_t *consumer, int64_t interval_ms);
/* Call before the consumer is destroyed. Waits for a call under way, some seconds at most. NULL is fine. */
void group_watch_destroy(struct group_watch *watch);

/* The last response, to be destroyed by the caller; NULL: none yet, or it doesn't contain this member. *ret_number grows with each response. Any thread. */
rd_kafka_topic_partition_list_t *group_watch_owned(struct group_watch *watch, uint64_t *ret_number);
/* For how long the broker has answered each request, whatever the response; 0: the last one failed or is overdue. Any thread; takes no lock. */
int64_t group_watch_answers_ms(struct group_watch *watch, int64_t now_ms);

/* A member's assignment as the group keeps it (Kafka's ConsumerProtocolAssignment: version, topics with partitions; big
 * endian). NULL: malformed. Pure. */
rd_kafka_topic_partition_list_t *group_assignment_decode(const void *bytes, size_t size);

#endif
