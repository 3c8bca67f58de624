/* The record that cancels a job (wire/control.h), as `cancel` and an interrupted `ask` send it. One thread. */
#ifndef CHAT_PRODUCER_CANCEL_H
#define CHAT_PRODUCER_CANCEL_H

#include <librdkafka/rdkafka.h>

#include "base/error.h"

#define CONTROL_TOPIC "chat.control" /* the default of --control-topic */

/* Queues it; its delivery report has opaque as _private. Waits a second at most for the topic's metadata. FAILED: there is no such topic
 * (ERROR_UNAVAILABLE), or a worker would refuse the id (ERROR_PERMANENT). */
enum status cancel_send(rd_kafka_t *producer, const char *control_topic, const char *job, void *opaque, struct error *err) MUST_CHECK;

#endif
