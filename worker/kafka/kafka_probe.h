/* Start-up checks of Kafka: can the cluster be reached, and are the topics there? */
#ifndef CHAT_KAFKA_KAFKA_PROBE_H
#define CHAT_KAFKA_KAFKA_PROBE_H

#include "settings/settings.h"

/* Blocks up to timeout_ms. *ret_partitions, on OK: the number of partitions of the jobs' topic; may be NULL. FAILED: ERROR_UNAVAILABLE
 * (unreachable, topic missing) or ERROR_PERMANENT (refused: wrong password, no such property); one line with what, where and what to do. */
enum status kafka_probe(const struct settings *settings, const char *bootstrap, int timeout_ms, int *ret_partitions, struct error *err) MUST_CHECK;

#endif
