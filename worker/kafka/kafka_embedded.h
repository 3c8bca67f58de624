/* `bootstrap.servers = embedded`: librdkafka's mock cluster inside this process, for trying things out and
 * for tests. In memory; lost with the process. The only file that uses rdkafka_mock.h. */
#ifndef CHAT_KAFKA_KAFKA_EMBEDDED_H
#define CHAT_KAFKA_KAFKA_EMBEDDED_H

#include "settings/settings.h"

struct kafka_embedded;

/* Starts it, creates the topics (12 partitions each, the control topic one) and publishes its address where chat-producer
 * looks (wire/embedded_address.h). */
enum status kafka_embedded_start(const struct settings *settings, struct kafka_embedded **ret, struct error *err) MUST_CHECK;
const char *kafka_embedded_bootstrap(const struct kafka_embedded *embedded);
void kafka_embedded_stop(struct kafka_embedded *embedded); /* NULL is fine */

#endif
