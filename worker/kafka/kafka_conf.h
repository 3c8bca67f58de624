/* librdkafka configurations from the settings: our defaults, then the user's properties as they are. */
#ifndef CHAT_KAFKA_KAFKA_CONF_H
#define CHAT_KAFKA_KAFKA_CONF_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>

#include "base/error.h"
#include "settings/settings.h"

/* bootstrap: what to use for bootstrap.servers (the embedded cluster's address, or the setting). FAILED: librdkafka refuses
 * a property; the message says where it was given and why it is refused, secrets left out. The caller owns *ret. */
enum status kafka_conf_make(const struct settings *settings, const char *bootstrap, rd_kafka_type_t type,
                            rd_kafka_conf_t **ret, struct error *err) MUST_CHECK;

/* For the consumer of the jobs, whose topic has so many partitions: with many, records are fetched in rounds (kafka_conf.c says why), unless the
 * user has set fetch.min.bytes or fetch.wait.max.ms. */
enum status kafka_conf_fetch_in_rounds(rd_kafka_conf_t *conf, const struct settings *settings, int partitions, struct error *err) MUST_CHECK;

/* Where a partition is read from of which nothing is committed, or whose place isn't in its log any more, as kafka.auto.offset.reset
 * says: RD_KAFKA_OFFSET_BEGINNING or RD_KAFKA_OFFSET_END; RD_KAFKA_OFFSET_INVALID: nowhere. */
int64_t kafka_conf_offset_reset(const struct settings *settings);

/* Which properties there are, for settings_load. */
extern const struct kafka_names kafka_conf_names;

#define KAFKA_NOBODY "127.0.0.1:1" /* as bootstrap.servers: a client that reaches no broker */

/* Would librdkafka make a client of it? Some properties it judges only then: files of certificates, what goes with what. Takes conf; says
 * nothing to the log. FAILED, permanent: the message is librdkafka's. */
enum status kafka_conf_try(rd_kafka_conf_t *conf, rd_kafka_type_t type, struct error *err) MUST_CHECK;

/* Sends what the client has to say to our log. Before rd_kafka_new. */
void kafka_conf_log(rd_kafka_conf_t *conf);

#endif
