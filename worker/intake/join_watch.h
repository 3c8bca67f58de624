/* Says whether the consumer is on its way into a generation: from the JoinGroup it sent to the answer to its SyncGroup.
 *
 * librdkafka doesn't tell; an interceptor sees it. A commit made meanwhile would stand in line behind the JoinGroup with
 * the old generation on it, and its refusal makes librdkafka (Debian 12's and 13's) lose the whole assignment, with all
 * the cooperative protocol would have left in place: https://github.com/confluentinc/librdkafka/pull/4908. */
#ifndef CHAT_INTAKE_JOIN_WATCH_H
#define CHAT_INTAKE_JOIN_WATCH_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

/* Before rd_kafka_new; *joining outlives the client. Its threads set it. */
void join_watch_install(rd_kafka_conf_t *conf, atomic_bool *joining);

#endif
