/* Whether the consumer is joining a generation: from the JoinGroup that it sent to the response to its SyncGroup.
 *
 * librdkafka has no call for that; an interceptor sees the requests. A commit made meanwhile would be queued behind the JoinGroup with
 * the old generation, and when it is refused librdkafka (Debian 12's and 13's) loses the whole assignment, also the partitions that
 * the cooperative protocol would have left in place: https://github.com/confluentinc/librdkafka/pull/4908. */
#ifndef CHAT_INTAKE_JOIN_WATCH_H
#define CHAT_INTAKE_JOIN_WATCH_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

/* Before rd_kafka_new; *joining outlives the client. Its threads set it. */
void join_watch_install(rd_kafka_conf_t *conf, atomic_bool *joining);

#endif
