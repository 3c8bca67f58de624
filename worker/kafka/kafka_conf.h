/* librdkafka configurations from the settings: our defaults, then the user's properties. */
#ifndef CHAT_KAFKA_KAFKA_CONF_H
#define CHAT_KAFKA_KAFKA_CONF_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>

#include "base/error.h"
#include "settings/settings.h"

/* bootstrap: what to use for bootstrap.servers (the embedded cluster's address, or the setting). FAILED: librdkafka refuses
 * a property; the message contains where it was set and why it is refused, without secrets. The caller owns *ret. */
enum status kafka_conf_make(const struct settings *settings, const char *bootstrap, rd_kafka_type_t type,
                            rd_kafka_conf_t **ret, struct error *err) MUST_CHECK;

/* For the consumer of the jobs; partitions: of their topic. With many partitions, or where more than FEW_JOBS may run at once, records are
 * fetched in rounds (why: kafka_conf.c), unless the user has set fetch.min.bytes or fetch.wait.max.ms. */
enum status kafka_conf_fetch_in_rounds(rd_kafka_conf_t *conf, const struct settings *settings, int partitions, struct error *err) MUST_CHECK;

/* Where to read a partition without a committed offset, or whose position isn't in its log any more, by kafka.auto.offset.reset:
 * RD_KAFKA_OFFSET_BEGINNING or RD_KAFKA_OFFSET_END; RD_KAFKA_OFFSET_INVALID: an error. */
int64_t kafka_conf_offset_reset(const struct settings *settings);

/* The names of the properties, for settings_load. */
extern const struct kafka_names kafka_conf_names;

#define KAFKA_NOBODY "127.0.0.1:1" /* bootstrap.servers of a client that connects to no broker */

/* Would librdkafka make a client from conf? It checks some properties only then: certificate files, combinations. Takes ownership of conf; logs
 * nothing. FAILED, permanent: the message is librdkafka's. */
enum status kafka_conf_try(rd_kafka_conf_t *conf, rd_kafka_type_t type, struct error *err) MUST_CHECK;

/* Sends the client's log to our log. Before rd_kafka_new. */
void kafka_conf_log(rd_kafka_conf_t *conf);

#endif
